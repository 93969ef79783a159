"""Learning curves of all variants and settings as one tidy table."""

import argparse
from collections.abc import Mapping
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
        errors = {name: tensors[name] for name in ("train_mse", "test_mse")}
        tables.append(tidy_curves(made_by["setting"], made_by["variant"], errors))
    save_table(arguments.output, pd.concat(tables))


def tidy_curves(setting: str, variant: str, errors: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """A row for each run and epoch of errors (runs, epochs)."""
    runs, epochs = next(iter(errors.values())).shape
    table = {
        "setting": setting,
        "variant": variant,
        "run": np.repeat(np.arange(runs), epochs),
        "epoch": np.tile(np.arange(1, epochs + 1), runs),
        **{name: error.ravel() for name, error in errors.items()},
    }
    return pd.DataFrame(table)


if __name__ == "__main__":
    run_step(main, "output", many=["pretrained"])
