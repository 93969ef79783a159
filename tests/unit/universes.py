"""Verdicts of made-up universes, in the shape that the steps of the multiverse read."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from icl_contrastive.artifacts.files import save_table
from icl_contrastive.artifacts.tables import MAY_BE_EMPTY
from icl_contrastive.claims import Claim, read_claims
from icl_contrastive.config import Experiment, jobs
from icl_contrastive.config.multiverse import list_analyses
from icl_contrastive.multiverse import TABLES
from icl_contrastive.multiverse.judge import FAILED, HOLDS, UNTESTED
from icl_contrastive.multiverse.judged import Judged
from icl_contrastive.multiverse.space import universe_name
from icl_contrastive.steps import multiverse, multiverse_best, multiverse_joint

ROOT = Path(__file__).parents[2]
CLAIMS = ROOT / "workflow/claims.yaml"
RUNS = 5


def listed_claims() -> dict[str, Claim]:
    """The claims by name, but for identities."""
    _, claims = read_claims(yaml.safe_load(CLAIMS.read_text(encoding="utf-8")))
    return {claim.id: claim for claim in claims if claim.kind != "identity"}


def job(experiment: Experiment) -> dict[str, Any]:
    """Of the steps that make tables, as these read it: JSON keeps no order of keys."""
    read: dict[str, Any] = json.loads(jobs.as_json(jobs.multiverse(experiment)))
    return read


def write_judged(experiment: Experiment, path: Path, seed: int = 0) -> Judged:
    """The verdicts of all universes, in which decisions move each claim's number by fixed amounts.

    The first claim is tested nowhere; the second universe's trainings failed for some claims.
    """
    rng, config = np.random.default_rng(seed), job(experiment)
    claims = listed_claims()
    rows: list[dict[str, Any]] = []
    moves = {
        name: {
            (key, value): rng.normal(0, 1 if i in rng.choice(10, 3) else 0.1)
            for i, (key, one) in enumerate(config["space"]["decisions"].items())
            for value in (*one["values"], *one["added"])
        }
        for name in claims
    }
    for number, choices in enumerate(config["universes"]):
        trained = universe_name(choices)
        for after in list_analyses(experiment):
            whole = choices | after
            noise = rng.normal(0, 0.3, RUNS)
            for place, (name, claim) in enumerate(claims.items()):
                level = sum(moves[name][one] for one in whole.items())
                row = {"universe": universe_name(whole), "trained": trained, "id": name}
                if place == 0 or (number == 1 and place % 5 == 1):
                    verdict = FAILED if place else UNTESTED
                    rows.append(row | _nothing(verdict))
                else:
                    rows.append(row | _judged(claim, level + noise))
    save_table(path, pd.DataFrame(rows), MAY_BE_EMPTY["universe_claims"])
    return Judged.read(path, config)


def write_universes(experiment: Experiment, folder: Path) -> Judged:
    """All tables of the multiverse, from verdicts that lie beside them."""
    config, judged = job(experiment), folder / "all.csv"
    read = write_judged(experiment, judged)
    write_judged(experiment, folder / "fresh.csv", seed=1)
    paths = {name: folder / f"{name}.csv" for name in TABLES}
    multiverse.main(argparse.Namespace(judged=judged, claims=CLAIMS, **paths), config)
    best = folder / "best.csv"
    multiverse_best.main(argparse.Namespace(judged=judged, output=best), config)
    inputs, output = [judged, best, folder / "fresh.csv"], folder / "multiverse_joint.csv"
    multiverse_joint.main(argparse.Namespace(judged=inputs, output=output), config)
    return read


def _nothing(verdict: str) -> dict[str, Any]:
    numbers = dict.fromkeys(("ours", "interval_low", "interval_high", "p_value"), np.nan)
    return numbers | {"verdict": verdict, "effects": "[]"}


def _judged(claim: Claim, levels: np.ndarray) -> dict[str, Any]:
    """A verdict by the side that the mean is on; a ratio, but for what is held against zero."""
    first, parts = claim.criterion.claimed[0], len(claim.criterion.claimed)
    below = math.isinf(first.low)
    is_ratio = (first.high if below else first.low) > 0
    mean, spread = float(levels.mean()), float(levels.std())
    distance = -mean if below else mean
    verdict = HOLDS if distance > 0.5 else "partly" if distance > 0 else "contradicted"
    ends = np.array([mean, mean - spread, mean + spread])
    numbers = dict(
        zip(
            ("ours", "interval_low", "interval_high"),
            np.exp(ends) if is_ratio else ends,
            strict=True,
        )
    )
    values = (np.exp(levels) if is_ratio else levels).tolist()
    effects = [{"scale": "ratio" if is_ratio else "number", "values": values} for _ in range(parts)]
    return {**numbers, "p_value": 0.03125, "verdict": verdict, "effects": json.dumps(effects)}
