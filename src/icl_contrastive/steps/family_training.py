"""Final errors of a layer trained with other random features, beside those of its base."""

import argparse
from typing import Any

import numpy as np
import pandas as pd

from icl_contrastive.artifacts.files import load_tensors, save_table
from icl_contrastive.artifacts.tables import MAY_BE_EMPTY
from icl_contrastive.command import run_step
from icl_contrastive.statistics import mean_interval
from icl_contrastive.steps.family import load_family


def main(arguments: argparse.Namespace, config: dict[str, Any]) -> None:
    """Write a row for each error (train, test) after the last epoch and each file, the base first.

    ``mean``, ``low`` and ``high`` are over the runs, in logarithms, and so are those of the runs'
    own ratios to the base: run r of all variants has the same prompts and initial weights.
    """
    files = [load_tensors(path) for path in arguments.pretrained]
    rows: list[dict[str, Any]] = []
    for error in ("train", "test"):
        base = files[0][0][f"{error}_mse"][:, -1].astype(np.float64)  # (runs,)
        for tensors, made_by in files:
            family = load_family(made_by["features"])
            d_r = family.dimension(tensors["W_Q"].shape[-1], made_by["features"]["d_r"])
            row = {"setting": made_by["setting"], "variant": made_by["variant"]}
            row |= {"family": made_by["features"]["family"], "projection": family.projection}
            row |= {"d_r": d_r, "error": error}
            final = tensors[f"{error}_mse"][:, -1].astype(np.float64)
            for name, prefix, values in (("mean", "", final), ("ratio", "ratio_", final / base)):
                low, high = np.exp(mean_interval(np.log(values)))
                row |= {name: np.exp(np.log(values).mean())}
                row |= {f"{prefix}low": low, f"{prefix}high": high}
            rows.append(row)
    save_table(arguments.output, pd.DataFrame(rows), MAY_BE_EMPTY["family_training"])


if __name__ == "__main__":
    run_step(main, "output", many=["pretrained"])
