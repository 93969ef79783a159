"""Columns of learning curves, and of the errors that they end at: how figure 5 is laid out."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from icl_contrastive.artifacts.tables import Table
from icl_contrastive.figures import style
from icl_contrastive.figures.axes import place, use_log_scale
from icl_contrastive.figures.curves import draw_curve, final_errors

# Inches. The curves of a column share one block; below it are the errors after the last epoch.
# More height is added for many panels, legends of several rows and long labels.
_HEIGHT = 4.85
_LEFT = 0.46
_WIDTH = 1.78
_PITCH = 2.28
_CURVES_BOTTOM, _CURVES_HEIGHT = 1.98, 2.48
_FINAL_BOTTOM, _FINAL_HEIGHT = 0.56, 1.0
_GAP = 0.08
_LEAST_PANEL = 0.55
_LEGEND_COLUMNS, _LEGEND_ROW = 4, 0.145
_LETTER = 0.05  # about as long as one of a label
_ROOM = 8  # letters of a label that fit below the dots

_MARKERS = "oD"


@dataclass(frozen=True)
class Curve:
    """One variant: the panel of its curve, the place of its dots, and its look in both.

    Where two forms share a place, ``side`` says on which side of it the dots are, 0 or 1.
    """

    variant: str
    panel: str
    place: str
    line: dict[str, Any]
    side: int | None = None


@dataclass(frozen=True)
class Column:
    """Curves to be compared with that of the base, and the order of the dots' places."""

    title: str
    axis: str
    base: Curve
    curves: list[Curve]
    places: list[str]
    legend: dict[str, dict[str, Any]]

    @property
    def panels(self) -> list[str]:
        """Names of the panels, from the top."""
        return list(dict.fromkeys(curve.panel for curve in self.curves))


def draw_columns(columns: Sequence[Column], runs: Table) -> Figure:
    """Curves over the epochs on top, errors after the last epoch below; of one setting's runs."""
    rows = max(math.ceil(len(one.legend) / _LEGEND_COLUMNS) for one in columns)
    letters = max(len(re.sub(r"[$_^{}]", "", name)) for one in columns for name in one.places)
    below = _LETTER * max(0, letters - _ROOM)
    panels = max(len(one.panels) for one in columns)
    curves_height = max(_CURVES_HEIGHT, panels * (_LEAST_PANEL + _GAP))
    height = _HEIGHT - _CURVES_HEIGHT + curves_height + below + _LEGEND_ROW * (rows - 1)
    figure = Figure(figsize=(style.PAGE_WIDTH, height))
    for index, column in enumerate(columns):
        left = _LEFT + index * _PITCH
        block = (left, below + _CURVES_BOTTOM, curves_height)
        _draw_curves(figure, block, rows, column, runs)
        final = place(figure, left, below + _FINAL_BOTTOM, _WIDTH, _FINAL_HEIGHT)
        _draw_final(final, column, runs)
    for text, middle in (
        ("training error", _CURVES_BOTTOM + curves_height / 2),
        ("after the last epoch", _FINAL_BOTTOM + _FINAL_HEIGHT / 2),
    ):
        figure.text(0.008, (below + middle) / height, text, rotation=90, va="center")
    return figure


def _draw_curves(
    figure: Figure, block: tuple[float, float, float], rows: int, column: Column, runs: Table
) -> None:
    """A stack of panels on common scales, the base's curve in each of them.

    The block is its left, bottom and height; above it is room for a legend of so many rows.
    """
    left, lowest, whole = block
    below = len(column.panels) - 1
    height = (whole - below * _GAP) / len(column.panels)
    panels = []
    for index, name in enumerate(column.panels):
        bottom = lowest + (below - index) * (height + _GAP)
        axes = place(figure, left, bottom, _WIDTH, height)
        of_base = runs.where(variant=column.base.variant)
        draw_curve(axes, of_base, "epoch", "train_mse", "run", zorder=3, **column.base.line)
        shown = [curve for curve in column.curves if curve.panel == name]
        for curve in shown:
            of_curve = runs.where(variant=curve.variant)
            band = min(0.15, 0.3 / len(shown))
            draw_curve(axes, of_curve, "epoch", "train_mse", "run", band=band, **curve.line)
        axes.text(1.02, 0.5, name, transform=axes.transAxes, rotation=270, va="center")
        axes.margins(x=0)
        axes.set_yscale("log")
        # Most of the way is gone in the first epochs, and the paper speaks of convergence there.
        use_log_scale(axes, "x")
        axes.tick_params(labelbottom=index == below)
        panels.append(axes)
    low = min(axes.get_ylim()[0] for axes in panels)
    high = max(axes.get_ylim()[1] for axes in panels)
    for axes in panels:
        axes.set_ylim(low, high)
        use_log_scale(axes)
    panels[0].set_title(column.title, pad=15 + 72 * _LEGEND_ROW * (rows - 1))
    panels[0].legend(
        [Line2D([], [], **line) for line in column.legend.values()],
        list(column.legend),
        loc="lower center",
        bbox_to_anchor=(0.46, 0.99),
        ncols=math.ceil(len(column.legend) / math.ceil(len(column.legend) / _LEGEND_COLUMNS)),
        handlelength=1.7,
        handletextpad=0.4,
        columnspacing=0.7,
    )
    panels[-1].set_xlabel("epoch")


def _draw_final(axes: Axes, column: Column, runs: Table) -> None:
    """Every run's error after the last epoch as a dot, the median over the runs as a bar."""
    for curve in (column.base, *column.curves):
        final = final_errors(runs.where(variant=curve.variant))
        # Two forms of one α stand side by side, told apart by their markers.
        offset = 0.0 if curve.side is None else 0.36 * (curve.side - 0.5)
        center = column.places.index(curve.place) + offset
        axes.plot(
            np.full(len(final), center),
            final,
            linestyle="none",
            marker=_MARKERS[curve.side or 0],
            markersize=2.2,
            markeredgewidth=0,
            color=curve.line["color"],
            alpha=0.55,
        )
        axes.hlines(np.median(final), center - 0.17, center + 0.17, color=style.BLACK, linewidth=1)
    axes.set_xticks(range(len(column.places)), column.places, rotation=90)
    axes.set_xlim(-0.6, len(column.places) - 0.4)
    # Of many labels each has less room.
    apart = 0.9 * 72 * _WIDTH / len(column.places)
    axes.tick_params(axis="x", labelsize=min(style.SMALL["fontsize"], apart))
    axes.set_yscale("log")
    use_log_scale(axes)
    axes.set_xlabel(column.axis)
