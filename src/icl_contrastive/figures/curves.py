"""A statistic of many runs or draws along an axis, with a band for their spread."""

from typing import Any, Literal

import numpy as np
import seaborn
from matplotlib.axes import Axes

from icl_contrastive.artifacts.tables import Array, Table


def draw_curve(
    axes: Axes,
    table: Table,
    x: str,
    y: str,
    unit: str,
    center: Literal["median", "mean"] = "median",
    spread: int = 50,
    band: float = 0.15,
    **line: Any,
) -> None:
    """The center of ``y`` over the units as a line, their middle ``spread`` percent as a band.

    A single ``x`` makes a point. Raises ArtifactError unless each ``x`` and unit has one row.
    Axes must become logarithmic afterwards: on such ones seaborn averages logarithms.
    """
    if len(table.pivot(x, unit, y)) == 1:
        line = {"marker": "o"} | line  # a line of one point cannot be seen
    if "log" in (axes.get_xscale(), axes.get_yscale()):
        raise ValueError("the axes are logarithmic already")
    seaborn.lineplot(
        table.rows,
        x=x,
        y=y,
        estimator=center,
        errorbar=("pi", spread),
        err_kws={"alpha": band, "linewidth": 0},
        ax=axes,
        **line,
    )
    axes.set(xlabel="", ylabel="")
    if legend := axes.get_legend():
        legend.remove()


def final_errors(pretraining: Table, error: str = "train_mse") -> Array:
    """Error of every run of one variant in the last epoch, (runs,)."""
    rows = pretraining.rows.sort_values("run")
    last = rows.loc[rows["epoch"] == rows["epoch"].max(), error]
    return np.asarray(last, np.float64)
