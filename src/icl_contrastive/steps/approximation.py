"""The sweep over the number of random features d_r in one setting (section 5.2)."""

import argparse
import logging
from typing import Any

import pandas as pd

from icl_contrastive.analysis.estimates import (
    Matrices,
    approximation_errors,
    estimated_matrices,
    exact_matrices,
)
from icl_contrastive.artifacts.files import save_table
from icl_contrastive.artifacts.tables import MAY_BE_EMPTY
from icl_contrastive.command import check_origin, run_step
from icl_contrastive.features import build_family
from icl_contrastive.steps.layer import draw_map, entries, load_projections
from icl_contrastive.streams import stream

log = logging.getLogger(__name__)


def matrix_rows(setting: str, d_r: int | None, matrices: Matrices) -> pd.DataFrame:
    """Every entry of both matrices as a row; d_r is empty for the exact ones."""
    tables = []
    for name, matrix in matrices._asdict().items():
        sizes = pd.array([d_r] * matrix.numel(), dtype="Int64")
        tables.append(entries(matrix, setting=setting, d_r=sizes, matrix=name))
    return pd.concat(tables)


def main(arguments: argparse.Namespace, config: dict[str, Any]) -> None:
    """Write every repeat's errors, and the matrices of the first repeat of the d_r shown."""
    check_origin(config, arguments.data, arguments.pretrained)
    setting, run = config["setting"], config["run"]
    projections, statistics = load_projections(
        arguments.data, arguments.pretrained, run, config["prompt"]
    )
    family, d = build_family(config["features"]), projections.keys.shape[-1]
    exact = exact_matrices(projections)
    errors, matrices = [], [matrix_rows(setting, None, exact)]
    for d_r in config["d_r"]:
        for repeat in range(config["repeats"]):
            rng = stream(config["seed"], "approximation", setting, d_r, repeat)
            features = draw_map(family, rng, d, d_r, statistics)
            estimate = estimated_matrices(projections, features)
            for name in Matrices._fields:
                error = approximation_errors(getattr(estimate, name), getattr(exact, name))
                errors.append((setting, d_r, repeat, name, *error))
            if repeat == 0 and d_r in config["shown"]:
                matrices.append(matrix_rows(setting, d_r, estimate))
        log.info("d_r = %d: %d repeats", d_r, config["repeats"])
    columns = ["setting", "d_r", "repeat", "matrix", "mse", "mae"]
    save_table(arguments.errors, pd.DataFrame(errors, columns=columns))
    save_table(arguments.matrices, pd.concat(matrices), MAY_BE_EMPTY["matrices"])


if __name__ == "__main__":
    run_step(main, "data", "pretrained", "errors", "matrices")
