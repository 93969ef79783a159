"""Final errors of one layer trained with other random features, beside those of its base."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import pandas as pd

from icl_contrastive.artifacts import load_table, save_table
from icl_contrastive.claims.statistics import bootstrap_interval
from icl_contrastive.features import build_family
from icl_contrastive.steps.common import run_step
from icl_contrastive.streams import stream

CONFIDENCE = 0.95
RESAMPLES = 10_000


def main(arguments: argparse.Namespace, config: dict[str, Any]) -> None:
    """Write a row for each variant and error (train, test) after the last epoch.

    ``mean``, ``low`` and ``high`` are over the runs. ``ratio`` to the base is the geometric mean of
    the runs' own ratios, since run r of all variants has the same prompts and initial weights.
    """
    types = {"run": int, "epoch": int, "train_mse": float, "test_mse": float}
    table = load_table(arguments.pretraining).astype(types)
    table = table[
        (table["setting"] == config["setting"]) & (table["epoch"] == table["epoch"].max())
    ]
    rows = []
    for error in ("train", "test"):
        runs = table.pivot(index="run", columns="variant", values=f"{error}_mse")
        for one in config["variants"]:
            final = runs[one["variant"]].to_numpy()
            ratios = np.log(final / runs[config["base"]].to_numpy())
            rng = stream(config["seed"], "family training", one["variant"], error)
            interval, of_ratio = (
                bootstrap_interval(values, CONFIDENCE, RESAMPLES, rng) for values in (final, ratios)
            )
            family = build_family(one["features"])
            row = {"setting": config["setting"], "variant": one["variant"]}
            row |= {"family": one["features"]["family"], "projection": family.projection}
            row |= {"d_r": family.dimension(config["d"], one["features"]["d_r"]), "error": error}
            row |= {"mean": final.mean(), "low": interval[0], "high": interval[1]}
            row |= {"ratio": np.exp(ratios.mean())}
            row |= {"ratio_low": np.exp(of_ratio[0]), "ratio_high": np.exp(of_ratio[1])}
            rows.append(row)
    save_table(arguments.output, pd.DataFrame(rows))


if __name__ == "__main__":
    run_step(main, "pretraining", "output")
