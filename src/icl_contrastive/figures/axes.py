"""Axes: where they stand, and how they are scaled."""

from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogFormatterMathtext, LogLocator, NullLocator


def place(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Axes at a place given in inches from the figure's lower left corner."""
    across, up = figure.get_size_inches()
    return figure.add_axes((left / across, bottom / up, width / across, height / up))


def use_log_scale(axes: Axes, which: Literal["x", "y"] = "y") -> None:
    """A logarithmic axis; its ticks suit its present range.

    They are plain numbers, or powers of ten where plain ones would have many digits.
    """
    axes.set(**{f"{which}scale": "log"})
    axis, (low, high) = {
        "x": (axes.xaxis, axes.get_xlim()),
        "y": (axes.yaxis, axes.get_ylim()),
    }[which]
    narrow = high < 100 * low
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if narrow else (1,)))
    plain = FuncFormatter(lambda value, _: f"{value:g}")
    axis.set_major_formatter(LogFormatterMathtext() if low < 1e-3 and not narrow else plain)
    axis.set_minor_locator(NullLocator())
