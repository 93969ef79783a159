"""Axes: where they stand, and how they are scaled."""

from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogFormatterMathtext, LogLocator, NullLocator

from icl_contrastive.figures import style


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


def scale_by_d_r(axes: Axes, d_r_used: int, **line: Any) -> None:
    """Logarithmic axes of errors by d_r, with a line at the d_r that is used elsewhere.

    The limits are those of what has been drawn: the guides that follow may leave the panel.
    """
    axes.axvline(d_r_used, color=style.GREY, linewidth=0.7, zorder=0, **line)
    axes.set_yscale("log")
    axes.set_ylim(axes.get_ylim())
    use_log_scale(axes)
    use_log_scale(axes, "x")
    axes.set_xlabel(r"number of random features $d_r$")
