"""The tables of all universes: what is decided in them, and what they say to each claim."""

import argparse
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from icl_contrastive.artifacts.files import save_table
from icl_contrastive.artifacts.tables import MAY_BE_EMPTY
from icl_contrastive.claims import Claim, Settings
from icl_contrastive.command import run_step
from icl_contrastive.multiverse import TABLES
from icl_contrastive.multiverse.explained import explain
from icl_contrastive.multiverse.flips import in_words, smallest_flips
from icl_contrastive.multiverse.inference import RESAMPLES, joint_test, null_band, signs
from icl_contrastive.multiverse.judge import FAILED, HOLDS, UNTESTED
from icl_contrastive.multiverse.judged import Judged
from icl_contrastive.multiverse.numbers import Numbers
from icl_contrastive.multiverse.space import changes
from icl_contrastive.steps.claim_list import read_claim_list
from icl_contrastive.streams import stream

log = logging.getLogger(__name__)

Rows = Iterator[dict[str, Any]]


def universes(judged: Judged) -> Rows:
    """What is decided in each, in how many decisions it differs, and how to run it alone."""
    default = judged.universes[judged.default]
    for name, choices in judged.universes.items():
        trained = judged.trained[name]
        yield {
            "universe": name,
            "trained": trained,
            **{key: str(value) for key, value in choices.items()},
            "changes": len(changes(choices, default)),
            "choices": in_words(choices),
            "command": f"snakemake --cores 2 results/multiverse/{trained}.csv",
        }


def verdicts(judged: Judged, claims: Mapping[str, Claim], settings: Settings, seed: int) -> Rows:
    """Rows of a universe and a claim, claim by claim, the universes by the claim's number."""
    for name, rows in judged.rows.groupby("id", sort=False):
        ordered = rows.sort_values("ours", kind="stable")
        numbers = Numbers(ordered, claims[str(name)])
        more: dict[str, dict[str, Any]] = {one: {} for one in ordered["universe"]}
        if numbers.margins is not None:
            rng = stream(seed, "multiverse", "flips", str(name))
            flips = signs(numbers.values.shape[1], RESAMPLES, rng)
            adjusted = joint_test(numbers.margins, flips).adjusted
            band = null_band(numbers.values, numbers.limit, flips, settings.confidence)
            if numbers.is_ratio:
                band = (np.exp(band[0]), np.exp(band[1]))
            for one, *found in zip(numbers.universes, adjusted, *band, strict=True):
                more[one] = dict(zip(("p_joint", "null_low", "null_high"), found, strict=True))
        for row in ordered.drop(columns="effects").to_dict("records"):
            yield {str(k): v for k, v in row.items()} | {
                key: more[row["universe"]].get(key, np.nan)
                for key in ("p_joint", "null_low", "null_high")
            }


def tests(judged: Judged, claims: Mapping[str, Claim], settings: Settings, seed: int) -> Rows:
    """What all universes together say to each claim."""
    for name, rows in judged.rows.groupby("id", sort=False):
        numbers, found = Numbers(rows, claims[str(name)]), rows["verdict"]
        row = {
            "id": name,
            "universes": len(rows),
            "holds": int((found == HOLDS).sum()),
            "failed": int((found == FAILED).sum()),
            "not_tested": int((found == UNTESTED).sum()),
            "smallest": rows["ours"].min(),
            "median": rows["ours"].median(),
            "largest": rows["ours"].max(),
            "p_joint": np.nan,
            "share_on_side": np.nan,
            "p_median": np.nan,
        }
        if numbers.margins is not None:
            rng = stream(seed, "multiverse", "flips", str(name))
            flips = signs(numbers.values.shape[1], RESAMPLES, rng)
            joint = joint_test(numbers.margins, flips)
            row |= {
                "p_joint": joint.adjusted.min(),
                "share_on_side": joint.share,
                "p_median": joint.median,
            }
        yield row


def decisions(judged: Judged, claims: Mapping[str, Claim], settings: Settings, seed: int) -> Rows:
    """Rows of a claim, a decision and a value of it."""
    for name, rows in judged.rows.groupby("id", sort=False):
        rng = stream(seed, "multiverse", "bootstrap", str(name))
        numbers = Numbers(rows, claims[str(name)])
        explained = explain(judged, numbers, settings.confidence, rng)
        found = dict(zip(rows["universe"], rows["verdict"], strict=True))
        for index, (key, decision) in enumerate(judged.space.decisions.items()):
            for value in (*decision.values, *decision.added):
                having = [one for one in found if judged.universes[one][key] == value]
                decided = [found[one] for one in having if found[one] != UNTESTED]
                holds = decided.count(HOLDS)
                yield {
                    "id": name,
                    "decision": key,
                    "value": value,
                    "universes": len(decided),
                    "holds": holds,
                    "share": holds / len(decided) if decided else np.nan,
                    **{share: float(values[index]) for share, values in explained.items()},
                }


def flips(judged: Judged) -> Rows:
    """The fewest changes of the default universe that turn each verdict, every such set."""
    default, grid = judged.default, judged.verdicts()
    for name in judged.ids:
        own = str(grid.loc[default, name])
        found = dict(zip(grid.index, grid[name], strict=True))
        turned = smallest_flips(found, judged.universes, judged.universes[default])
        about = {"id": name, "default_verdict": own}
        for flip in turned:
            which = {"changes": len(flip.changes), "which": in_words(flip.changes)}
            yield about | which | {"verdict": flip.verdict, "universe": flip.universe}
        if not turned:
            yield about | {"changes": np.nan, "which": "", "verdict": "", "universe": ""}


def main(arguments: argparse.Namespace, config: dict[str, Any]) -> None:
    """Write one table of universes, and four of what they say, where their options say."""
    settings, listed = read_claim_list(arguments.claims)
    claims = {claim.id: claim for claim in listed}
    judged = Judged.read(arguments.judged, config)
    how = judged, claims, settings, config["seed"]
    tables = universes(judged), verdicts(*how), tests(*how), decisions(*how), flips(judged)
    for name, rows in zip(TABLES, tables, strict=True):
        save_table(getattr(arguments, name), pd.DataFrame(rows), MAY_BE_EMPTY.get(name, ()))
        log.info("%s: written", name)


if __name__ == "__main__":
    run_step(main, "judged", "claims", *TABLES)
