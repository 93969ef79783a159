"""The course of one cell's descents as a tidy table, for the figures."""

import argparse
from typing import Any

import numpy as np
import pandas as pd

from icl_contrastive.artifacts.files import load_tensors, save_table
from icl_contrastive.artifacts.tables import MAY_BE_EMPTY
from icl_contrastive.command import check_origin, run_step


def main(arguments: argparse.Namespace, config: dict[str, Any]) -> None:
    """Write setting, variant, run, prompt, scheme, step, and the numbers of ``COLUMNS``."""
    check_origin(config, arguments.trajectory)
    tensors, _ = load_tensors(arguments.trajectory)
    tables = []
    for scheme in ("single_sample", "single_sample_shared_decay"):
        if scheme != "single_sample" and f"{scheme}/path" not in tensors:
            continue  # it differs for regularized variants only
        path = tensors[f"{scheme}/path"]  # (runs, prompts, steps + 1)
        run, prompt, step = np.indices(path.shape)
        tables.append(
            pd.DataFrame(
                {
                    "setting": config["setting"],
                    "variant": config["variant"],
                    "run": run.ravel(),
                    "prompt": prompt.ravel(),
                    "scheme": scheme,
                    "step": step.ravel(),
                    "y_reference": path.ravel(),
                    "cosine": tensors[f"{scheme}/cosine"].ravel(),
                    "cosine_others": tensors[f"{scheme}/cosine_others"].ravel(),
                    "y_layer": tensors["y_layer"][run, prompt].ravel(),
                    "y_true": tensors["y_true"][run, prompt].ravel(),
                }
            )
        )
    table = pd.concat(tables).sort_values(["run", "prompt"], kind="stable")
    save_table(arguments.table, table, MAY_BE_EMPTY["trajectory"])


if __name__ == "__main__":
    run_step(main, "trajectory", "table")
