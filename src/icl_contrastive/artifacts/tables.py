"""The tables that others read: their columns, types, what may be empty, and a reader of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from icl_contrastive.artifacts.files import ArtifactError, DamagedArtifactError, load_table

if TYPE_CHECKING:
    import pandas as pd

Array = npt.NDArray[np.float64]


COLUMNS: dict[str, dict[str, type]] = {
    "pretraining": {
        "setting": str,
        "variant": str,
        "run": int,
        "epoch": int,
        "train_mse": float,
        "test_mse": float,
    },
    "equivalence": {
        "setting": str,
        "variant": str,
        "run": int,
        "prompt": int,
        "scheme": str,
        "exact": str,
        "y_true": float,
        "y_layer": float,
        "y_reference": float,
        "lowest_weight": float,
        "relative_error": float,
        "relative_error_float32": float,
        "full_width_deviation": float,
    },
    "trajectory": {
        "setting": str,
        "variant": str,
        "run": int,
        "prompt": int,
        "scheme": str,
        "step": int,
        "y_reference": float,
        "cosine": float,
        "cosine_others": float,
        "y_layer": float,
        "y_true": float,
    },
    "approximation": {
        "setting": str,
        "d_r": int,
        "repeat": int,
        "matrix": str,
        "mse": float,
        "mae": float,
    },
    "attention_errors": {
        "setting": str,
        "run": int,
        "projection": str,
        "trained": str,
        "d_r": int,
        "draw": int,
        "matrix": str,
        "prompt": int,
        "mse": float,
        "mae": float,
        "size": float,
        "mse_uniform": float,
        "nearer_than_uniform": float,
        "absolute_largest": float,
        "absolute_rest": float,
        "relative": float,
        "relative_largest": float,
        "relative_rest": float,
    },
    "attention_bias": {
        "setting": str,
        "run": int,
        "projection": str,
        "trained": str,
        "d_r": int,
        "matrix": str,
        "prompt": int,
        "bias2": float,
        "variance": float,
    },
    "matrices": {
        "setting": str,
        "d_r": float,
        "matrix": str,
        "row": int,
        "column": int,
        "value": float,
    },
    "diagram": {"matrix": str, "row": int, "column": int, "value": float},
    "controls": {
        "setting": str,
        "run": int,
        "prompt": int,
        "predictor": str,
        "prediction": float,
        "y_true": float,
        "squared_error": float,
    },
    "solutions": {"setting": str, "run": int, "value_cosine": float, "zero_shot_share": float},
    "ablations": {
        "decision": str,
        "value": str,
        "default": str,
        "run": int,
        "train_mse": float,
        "test_mse": float,
        "equivalence_error": float,
        "relative_deviation": float,
        "weight_error": float,
    },
    "heads": {
        "network": str,
        "layer": int,
        "head": int,
        "equivalence_error": float,
        "own_share": float,
        "cosine_gain": float,
        "log10_d_r_positive": float,
        "log10_d_r_positive_drawn": float,
        "log10_d_r_balanced": float,
        "log10_d_r_balanced_drawn": float,
        "median_weight": float,
        "largest_weight": float,
    },
    "universes": {"universe": str, "trained": str, "changes": int, "choices": str},
    "multiverse": {
        "universe": str,
        "trained": str,
        "id": str,
        "ours": float,
        "interval_low": float,
        "interval_high": float,
        "null_low": float,
        "null_high": float,
        "verdict": str,
    },
    "multiverse_decisions": {
        "id": str,
        "decision": str,
        "value": str,
        "universes": int,
        "holds": int,
        "alone": float,
        "total": float,
    },
    "training_length": {
        "setting": str,
        "run": int,
        "epoch": int,
        "train_mse": float,
        "test_mse": float,
        "absolute_error": float,
        "absolute_error_exact": float,
        "query_weight": float,
        "relative_deviation": float,
        "weight_error": float,
    },
    "families": {
        "setting": str,
        "family": str,
        "projection": str,
        "d_r": int,
        "repeat": int,
        "matrix": str,
        "mse": float,
        "mae": float,
    },
    "family_closed_forms": {
        "setting": str,
        "family": str,
        "projection": str,
        "d_r": int,
        "mse": float,
    },
    "family_requirements": {
        "setting": str,
        "matrix": str,
        "error": str,
        "family": str,
        "projection": str,
        "reached": str,
        "d_r": float,
    },
}
"""By table; ``trajectory`` is any in ``trajectories``. ``d_r`` of the exact matrices is empty."""

MAY_BE_EMPTY: dict[str, tuple[str, ...]] = {
    "ablations": ("relative_deviation",),
    "attention_bias": ("bias2", "variance"),
    "claims": (
        *("ours", "interval_low", "interval_high", "p_value", "p_corrected", "p_opposite"),
        *("ours_confirm", "ours_scaled", "ours_before"),
    ),
    "equivalence": ("relative_error_float32", "full_width_deviation"),
    "family_requirements": (
        *("d_r", "d_r_low", "d_r_high", "factor", "factor_low", "factor_high"),
        *("multiply_adds", "transcendentals", "cost"),
    ),
    "family_training": ("low", "high", "ratio_low", "ratio_high"),
    "heads": ("log10_d_r_positive_drawn", "log10_d_r_balanced_drawn"),
    "matrices": ("d_r",),
    "solutions": ("value_cosine", "zero_shot_share"),
    "training_length": ("relative_deviation",),
    "trajectory": ("cosine_others",),
    "multiverse_decisions": (
        *("share", "alone", "alone_low", "alone_high", "total", "total_low", "total_high"),
    ),
    "multiverse_flips": ("changes",),
    "multiverse_joint": ("fresh_tested", "fresh_holds", "hold_again"),
    "multiverse_tests": (
        *("smallest", "median", "largest", "p_joint", "share_on_side", "p_median"),
    ),
    "multiverse": (
        *("ours", "interval_low", "interval_high", "p_value", "p_joint", "null_low", "null_high"),
    ),
    "universe_claims": ("ours", "interval_low", "interval_high", "p_value"),
}
"""The columns of numbers in which there may be none, by table."""


def columns_of(name: str) -> dict[str, type]:
    """The columns of a table by its name below the folder of tables."""
    return COLUMNS["trajectory" if name.startswith("trajectories/") else name.partition("/")[0]]


@dataclass(frozen=True)
class Table:
    """Rows of a tidy table, with the file they come from for messages."""

    path: Path
    rows: pd.DataFrame

    def where(self, **values: object) -> Table:
        """The rows whose columns have these values; raises ArtifactError when there are none."""
        rows = self.rows
        for column, value in values.items():
            selected = rows[rows[column] == value]
            if selected.empty:
                there = ", ".join(str(other) for other in rows[column].unique()[:20])
                wanted = ", ".join(f"{name} = {wish}" for name, wish in values.items())
                raise ArtifactError(
                    f"{self.path}: no row with {wanted}: the column {column!r} has {there}"
                )
            rows = selected
        return Table(self.path, rows)

    def array(self, column: str) -> Array:
        """One column as numbers, in the order of the rows."""
        return self.rows[column].to_numpy(dtype=np.float64)

    def pivot(self, index: str, columns: str | list[str], values: str) -> pd.DataFrame:
        """Spread `values` over a grid; raises ArtifactError on holes and repeated cells."""
        keys = [index, *([columns] if isinstance(columns, str) else columns)]
        if self.rows.duplicated(keys).any():
            raise ArtifactError(f"{self.path}: several rows share the same {', '.join(keys)}")
        grid = self.rows.pivot(index=index, columns=columns, values=values)
        if grid.isna().to_numpy().any():
            raise ArtifactError(f"{self.path}: rows are missing for some {', '.join(keys)}")
        return grid

    def matrix(self, **values: object) -> Array:
        """The matrix that the columns ``row, column, value`` of the chosen rows spell out."""
        return self.where(**values).pivot("row", "column", "value").to_numpy(dtype=np.float64)


def read_table(name: str, path: Path) -> Table:
    """Read the table `name`, with its known columns only and every value checked.

    Raises ArtifactError, naming the file, when it is damaged, lacks a column or has something else
    where a finite number belongs, and FileNotFoundError.
    """
    columns = COLUMNS[name]
    fields = load_table(path, columns)
    rows = {}
    for column, kind in columns.items():
        may_be_empty = column in MAY_BE_EMPTY.get(name, ())
        for line, field in enumerate(fields[column], 2):
            if not _is_a(kind, field) and not (may_be_empty and field == ""):
                why = f"line {line}: the value of {column!r} is {field!r}"
                raise DamagedArtifactError(path, why)
        rows[column] = fields[column].replace("", "nan").astype(kind)
    import pandas as pd

    return Table(path, pd.DataFrame(rows))


def _is_a(kind: type, field: str) -> bool:
    try:
        value = kind(field)
    except ValueError:
        return False
    return field != "" and (kind is not float or math.isfinite(value))
