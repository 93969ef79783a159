"""Learning curves of all variants and settings as one tidy table."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import pandas as pd

from icl_contrastive.artifacts.files import load_tensors, save_table
from icl_contrastive.command import run_step


def main(arguments: argparse.Namespace, config: dict[str, Any]) -> None:
    """Write setting, variant, run, epoch (from 1), train_mse, test_mse."""
    tables = []
    for path in arguments.pretrained:
        tensors, made_by = load_tensors(path)
        runs, epochs = tensors["train_mse"].shape
        tables.append(
            pd.DataFrame(
                {
                    "setting": made_by["setting"],
                    "variant": made_by["variant"],
                    "run": np.repeat(np.arange(runs), epochs),
                    "epoch": np.tile(np.arange(1, epochs + 1), runs),
                    "train_mse": tensors["train_mse"].ravel(),
                    "test_mse": tensors["test_mse"].ravel(),
                }
            )
        )
    save_table(arguments.output, pd.concat(tables))


if __name__ == "__main__":
    run_step(main, "output", many=["pretrained"])
