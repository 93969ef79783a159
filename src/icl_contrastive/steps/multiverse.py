"""The tables of all universes: what is decided in them, and what they say to each claim."""

import argparse
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from icl_contrastive.artifacts.files import save_table
from icl_contrastive.artifacts.tables import MAY_BE_EMPTY
from icl_contrastive.command import run_step
from icl_contrastive.multiverse import TABLES
from icl_contrastive.multiverse.flips import in_words, smallest_flips
from icl_contrastive.multiverse.inference import Numbers
from icl_contrastive.multiverse.judge import FAILED, HOLDS, UNTESTED
from icl_contrastive.multiverse.judged import Judged
from icl_contrastive.multiverse.space import changes
from icl_contrastive.multiverse.variance import explain
from icl_contrastive.steps.claim_list import read_claim_list
from icl_contrastive.streams import stream

log = logging.getLogger(__name__)

Rows = Iterator[dict[Any, Any]]
Claims = Mapping[str, tuple[pd.DataFrame, Numbers]]
"""Of each, its rows by its number, and its numbers by run."""


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


def verdicts(claims: Claims) -> Rows:
    """Rows of a universe and a claim, claim by claim, the universes by the claim's number."""
    for rows, numbers in claims.values():
        low, high = numbers.band
        found = {"p_joint": numbers.joint.adjusted, "null_low": low, "null_high": high}
        more = pd.DataFrame(found, index=numbers.universes)
        yield from rows.drop(columns="effects").join(more, on="universe").to_dict("records")


def tests(claims: Claims) -> Rows:
    """What all universes together say to each claim."""
    for name, (rows, numbers) in claims.items():
        counts, joint = rows["verdict"].value_counts(), numbers.joint
        yield {
            "id": name,
            "universes": len(rows),
            "holds": counts.get(HOLDS, 0),
            "failed": counts.get(FAILED, 0),
            "not_tested": counts.get(UNTESTED, 0),
            "smallest": rows["ours"].min(),
            "median": rows["ours"].median(),
            "largest": rows["ours"].max(),
            "p_joint": min(joint.adjusted, default=np.nan),
            "share_on_side": joint.share,
            "p_median": joint.median,
        }


def decisions(judged: Judged, claims: Claims, confidence: float, seed: int) -> Rows:
    """Rows of a claim, a decision and a value of it."""
    for name, (rows, numbers) in claims.items():
        rng = stream(seed, "multiverse", "bootstrap", name)
        explained = explain(judged, numbers, confidence, rng)
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
    for name, found in grid.items():
        turned = smallest_flips(dict(found), judged.universes, judged.universes[default])
        about = {"id": name, "default_verdict": found[default]}
        for flip in turned:
            which = {"changes": len(flip.changes), "which": in_words(flip.changes)}
            yield about | which | {"verdict": flip.verdict, "universe": flip.universe}
        if not turned:
            yield about | {"changes": np.nan, "which": "", "verdict": "", "universe": ""}


def main(arguments: argparse.Namespace, config: dict[str, Any]) -> None:
    """Write one table of universes, and four of what they say, where their options say."""
    settings, listed = read_claim_list(arguments.claims)
    judged, how = Judged.read(arguments.judged, config), (settings.confidence, config["seed"])
    by_number = judged.rows.sort_values("ours", kind="stable")
    claims = {
        claim.id: (rows, Numbers(rows, claim, *how))
        for claim in listed
        if len(rows := by_number[by_number["id"] == claim.id])
    }
    tables = (
        universes(judged),
        verdicts(claims),
        tests(claims),
        decisions(judged, claims, *how),
        flips(judged),
    )
    for name, table in zip(TABLES, tables, strict=True):
        save_table(getattr(arguments, name), pd.DataFrame(table), MAY_BE_EMPTY.get(name, ()))
        log.info("%s: written", name)


if __name__ == "__main__":
    run_step(main, "judged", "claims", *TABLES)
