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

_KINDS: dict[type, str] = {
    str: "setting variant scheme exact matrix projection trained predictor decision default "
    "network universe choices id verdict family error reached",
    int: "run prompt epoch step d_r repeat draw row column layer head changes universes holds",
}
KIND_OF = {name: kind for kind, names in _KINDS.items() for name in names.split()}
"""What a column holds, in whatever table; all others hold numbers with decimals."""


def _columns(names: str, **otherwise: type) -> dict[str, type]:
    return {name: KIND_OF.get(name, float) for name in names.split()} | otherwise


COLUMNS: dict[str, dict[str, type]] = {
    "pretraining": _columns("setting variant run epoch train_mse test_mse"),
    "equivalence": _columns(
        "setting variant run prompt scheme exact y_true y_layer y_reference lowest_weight "
        "relative_error relative_error_float32 full_width_deviation"
    ),
    "trajectory": _columns(
        "setting variant run prompt scheme step y_reference cosine cosine_others y_layer y_true"
    ),
    "approximation": _columns("setting d_r repeat matrix mse mae"),
    "attention_errors": _columns(
        "setting run projection trained d_r draw matrix prompt mse mae size mse_uniform "
        "nearer_than_uniform absolute_largest absolute_rest relative relative_largest "
        "relative_rest"
    ),
    "attention_bias": _columns("setting run projection trained d_r matrix prompt bias2 variance"),
    "matrices": _columns("setting d_r matrix row column value", d_r=float),
    "diagram": _columns("matrix row column value"),
    "controls": _columns("setting run prompt predictor prediction y_true squared_error"),
    "solutions": _columns("setting run value_cosine zero_shot_share"),
    "ablations": _columns(
        "decision value default run train_mse test_mse equivalence_error relative_deviation "
        "weight_error",
        value=str,
    ),
    "heads": _columns(
        "network layer head equivalence_error own_share cosine_gain log10_d_r_positive "
        "log10_d_r_positive_drawn log10_d_r_balanced log10_d_r_balanced_drawn median_weight "
        "largest_weight"
    ),
    "universes": _columns("universe trained changes choices"),
    "multiverse": _columns(
        "universe trained id ours interval_low interval_high null_low null_high verdict"
    ),
    "multiverse_decisions": _columns("id decision value universes holds alone total", value=str),
    "training_length": _columns(
        "setting run epoch train_mse test_mse absolute_error absolute_error_exact query_weight "
        "relative_deviation weight_error"
    ),
    "families": _columns("setting family projection d_r repeat matrix mse mae"),
    "family_closed_forms": _columns("setting family projection d_r mse"),
    "family_requirements": _columns(
        "setting matrix error family projection reached d_r", d_r=float
    ),
}
"""By table; ``trajectory`` is any in ``trajectories``. ``d_r`` is a float where it may be empty."""

_EMPTY = {
    "ablations": "relative_deviation",
    "attention_bias": "bias2 variance",
    "claims": "ours interval_low interval_high p_value p_corrected p_opposite ours_confirm "
    "ours_scaled ours_before",
    "equivalence": "relative_error_float32 full_width_deviation",
    "family_closed_forms": "mse",
    "family_requirements": "d_r d_r_low d_r_high factor factor_low factor_high multiply_adds "
    "transcendentals cost",
    "family_training": "low high ratio_low ratio_high",
    "heads": "log10_d_r_positive_drawn log10_d_r_balanced_drawn",
    "matrices": "d_r",
    "solutions": "value_cosine zero_shot_share",
    "training_length": "relative_deviation",
    "trajectory": "cosine_others",
    "multiverse_decisions": "share alone alone_low alone_high total total_low total_high",
    "multiverse_flips": "changes",
    "multiverse_joint": "fresh_tested fresh_holds hold_again",
    "multiverse_tests": "smallest median largest p_joint share_on_side p_median",
    "multiverse": "ours interval_low interval_high p_value p_joint null_low null_high",
    "universe_claims": "ours interval_low interval_high p_value",
}
MAY_BE_EMPTY = {table: tuple(names.split()) for table, names in _EMPTY.items()}
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
