"""One dot per run in a row of its own, and their median: for comparisons of many things."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_dots(axes: Axes, values: npt.NDArray[np.float64], place: float, color: str) -> None:
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
