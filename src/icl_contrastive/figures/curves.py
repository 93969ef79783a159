"""Learning curves: the median over the runs with a band between the quartiles."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from icl_contrastive.figures.common import Array, Table

_QUARTILES = (0.25, 0.75)


def read_curves(pretraining: Table, setting: str, variant: str, column: str) -> tuple[Array, Array]:
    """Epochs (epochs,) and the errors of every run (epochs, runs) of one pretraining job."""
    grid = pretraining.where(setting=setting, variant=variant).pivot("epoch", "run", column)
    return grid.index.to_numpy(dtype=np.float64), grid.to_numpy(dtype=np.float64)


def draw_curve(axes: Axes, epochs: Array, errors: Array, band: float = 0.15, **line: Any) -> None:
    """The median over the runs (last axis) as a line, the interquartile range as a band."""
    low, high = np.quantile(errors, _QUARTILES, axis=1)
    if band:
        axes.fill_between(epochs, low, high, color=line["color"], alpha=band, linewidth=0)
    axes.plot(epochs, np.median(errors, axis=1), **line)
