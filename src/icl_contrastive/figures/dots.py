"""One dot per run in a row of its own, and their median: for comparisons of many things."""

import numpy as np
from matplotlib.axes import Axes

from icl_contrastive.artifacts.tables import Array


def draw_dots(axes: Axes, values: Array, place: float, color: str) -> None:
    """Draw the values along x at the height ``place``, and their median as a bar."""
    axes.plot(
        values,
        np.full(len(values), place),
        linestyle="none",
        marker="o",
        markersize=2.4,
        markeredgewidth=0,
        color=color,
        alpha=0.5,
    )
    axes.vlines(np.median(values), place - 0.32, place + 0.32, color=color, linewidth=1.6)
