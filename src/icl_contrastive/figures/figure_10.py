"""Figure 10: the descent on the regularized loss, where it ends and where it should.

Config: ``setting, variant, run``. Tables: ``trajectory``, with both conventions of the
regularizer: in full at every single-sample step, and shared over the samples of an epoch.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from icl_contrastive.artifacts.tables import Table
from icl_contrastive.command import Config
from icl_contrastive.figures import style
from icl_contrastive.figures.trajectory import (
    Course,
    draw_frame,
    mark_end,
    read_descent,
    read_ends,
)
from icl_contrastive.figures.wording import Numbers, many, percent

KEYS = ("setting", "variant", "run")

_SCHEMES = (
    ("single_sample", "GD-CL, decay at every step", style.VERMILLION, "-"),
    ("single_sample_shared_decay", "GD-CL, decay shared over an epoch", style.GREEN, (0, (3, 1))),
)
# The part of the descent that the zoom shows.
_ZOOM = 0.1


def draw(config: Config, trajectory: Table) -> Figure:
    """Both descents in full (left) and their last steps enlarged (right)."""
    figure = Figure(figsize=(style.PAGE_WIDTH, 2.5), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.35, 1))
    descents = [read_descent(config, trajectory, scheme) for scheme, *_ in _SCHEMES]
    for axes in (left, right):
        for descent, (_, label, color, line) in zip(descents, _SCHEMES, strict=True):
            axes.plot(descent.step, descent.y_reference, color=color, linestyle=line, label=label)
            mark_end(axes, descent, color)
        draw_frame(axes, descents[0])
    _zoom(right, descents)
    (x_0, x_1), (y_0, y_1) = right.get_xlim(), right.get_ylim()
    left.indicate_inset((x_0, y_0, x_1 - x_0, y_1 - y_0), edgecolor="black", linewidth=0.6, alpha=1)
    right.spines[:].set_visible(True)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    # The ends may lie close together: their notes stand apart, in the same order.
    upper_first = sorted(
        zip(descents, _SCHEMES, strict=True), key=lambda pair: -pair[0].y_reference[-1]
    )
    for height, (_, (scheme, _, color, _)) in zip((0.7, 0.3), upper_first, strict=True):
        own, median = _off(config, trajectory, scheme)
        right.text(
            1.04,
            height,
            f"off by {_percent(own)}\n(median {_percent(median)})",
            transform=right.transAxes,
            va="center",
            color=color,
            **style.SMALL,
        )
    return figure


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.01 else f"{100 * share:.2g}%"


def _off(config: Config, trajectory: Table, scheme: str) -> tuple[float, float]:
    """|y_CL − y_TF| / |y_TF| at the end of the descent that is shown, and its median over all."""
    shown, ends = read_descent(config, trajectory, scheme), read_ends(config, trajectory, scheme)
    everywhere = ends["gap"] / ends["y_layer"].abs()
    return shown.gap / abs(shown.y_layer), float(everywhere.median())


def _zoom(axes: Axes, descents: list[Course]) -> None:
    """Limit the axes to the last steps."""
    steps = descents[0].step
    start = steps[-1] * (1 - _ZOOM)
    shown = [descent.y_reference[steps >= start] for descent in descents]
    values = np.append(np.concatenate(shown), descents[0].y_layer)
    # A descent that does not move needs limits too.
    margin = 0.12 * float(np.ptp(values)) or 0.1
    axes.set_xlim(start, steps[-1])
    axes.set_ylim(values.min() - margin, values.max() + margin)
    axes.set_ylabel("")
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.set_xlabel(f"last {_ZOOM:.0%} of the steps")


def caption_numbers(config: Config, trajectory: Table) -> Numbers:
    """How far off both descents end, here and in the median."""
    numbers: Numbers = {}
    for (scheme, *_), name in zip(_SCHEMES, ("full", "shared"), strict=True):
        own, median = _off(config, trajectory, scheme)
        numbers |= {name: percent(own), f"{name}_median": percent(median)}
    ends = read_ends(config, trajectory, scheme)
    return numbers | {
        "prompts": many(len(ends), "prompt"),
        "runs": many(ends["run"].nunique(), "run"),
    }
