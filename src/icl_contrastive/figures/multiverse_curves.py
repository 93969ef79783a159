"""Each claim's number in all universes, sorted, and what is decided in each of them.

Config: empty. Tables: ``multiverse``, ``universes``, ``multiverse_decisions``.
"""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from icl_contrastive.artifacts.tables import Table
from icl_contrastive.command import Config
from icl_contrastive.figures import style
from icl_contrastive.figures.axes import use_log_scale
from icl_contrastive.figures.universes import (
    LOOKS,
    color_of,
    draw_no_claim,
    label,
    read_choices,
    read_values,
)
from icl_contrastive.figures.wording import Numbers

_COLUMNS = 3
_CURVE, _VALUE = 0.95, 0.05  # inches
_GAP = 0.6  # between decisions, in rows of values


def draw(
    config: Config, multiverse: Table, universes: Table, multiverse_decisions: Table
) -> Figure:
    """For each claim, values with intervals over a null band, and dots for the decisions below."""
    choices = read_choices(universes)
    decisions = read_values(multiverse_decisions)
    claims = _claims_with_numbers(multiverse)
    if not claims:
        return draw_no_claim()
    rows = math.ceil(len(claims) / _COLUMNS)
    heights = _heights(decisions)
    dots = _VALUE * _depth(heights)
    height = rows * (_CURVE + dots + 0.4) + 0.13 * len(decisions)
    figure = Figure(figsize=(style.PAGE_WIDTH, height), layout="constrained")
    ratios = [_CURVE, dots] * rows
    grid = figure.subplots(2 * rows, _COLUMNS, squeeze=False, height_ratios=ratios)
    for place, claim in enumerate(claims):
        row, column = divmod(place, _COLUMNS)
        of_claim = multiverse.where(id=claim)
        order = of_claim.rows.dropna(subset=["ours"]).sort_values("ours", kind="stable")
        curve, below = grid[2 * row, column], grid[2 * row + 1, column]
        _draw_curve(curve, Table(of_claim.path, order), next(iter(choices)))
        curve.set_title(label(claim))
        _draw_dots(below, [choices[name] for name in order["universe"]], decisions, heights)
        below.set_xlim(curve.get_xlim())
        if column == 0:
            below.set_yticks([float(np.mean(one)) for one in heights], list(decisions), fontsize=6)
    for place in range(len(claims), rows * _COLUMNS):
        row, column = divmod(place, _COLUMNS)
        grid[2 * row, column].axis("off")
        grid[2 * row + 1, column].axis("off")
    if decisions:
        _draw_legend(figure, decisions)
    return figure


def _claims_with_numbers(multiverse: Table) -> list[str]:
    return list(multiverse.rows.dropna(subset=["ours"])["id"].unique())


def _draw_curve(axes: Axes, claim: Table, default: str) -> None:
    values, x = claim.array("ours"), np.arange(len(claim.rows))
    low, high = (claim.array(f"interval_{end}") for end in ("low", "high"))
    null_low, null_high = (claim.array(f"null_{end}") for end in ("low", "high"))
    axes.fill_between(x, null_low, null_high, color=style.GREY, alpha=0.25, linewidth=0)
    axes.vlines(x, low, high, color=style.GREY, linewidth=0.3)
    for verdict, look in LOOKS.items():
        there = np.array(claim.rows["verdict"] == verdict)
        color = look.color if verdict != "not tested" else style.GREY
        axes.plot(x[there], values[there], ".", color=color, markersize=2)
    own = np.flatnonzero(np.array(claim.rows["universe"] == default))
    axes.plot(x[own], values[own], "D", color="black", fillstyle="none", markersize=4.5)
    if (values > 0).all() and values.max() > 10 * values.min():
        use_log_scale(axes)
    axes.tick_params(axis="x", labelbottom=False, length=0)
    axes.set_xlim(-1, max(len(x), 2))


def _heights(decisions: dict[str, list[str]]) -> list[list[float]]:
    """Of the dots of each value, from the top, in rows."""
    heights: list[list[float]] = []
    start = 0.0
    for values in decisions.values():
        heights.append([start + row for row in range(len(values))])
        start += len(values) + _GAP
    return heights


def _depth(heights: list[list[float]]) -> float:
    """Of all dots; there are none where each decision has one value."""
    return (heights[-1][-1] if heights else 0.0) + _GAP


def _draw_dots(
    axes: Axes,
    universes: list[dict[str, str]],
    decisions: dict[str, list[str]],
    heights: list[list[float]],
) -> None:
    """A decision's values from top to bottom, each in its color."""
    for (decision, values), rows in zip(decisions.items(), heights, strict=True):
        for index, (value, row) in enumerate(zip(values, rows, strict=True)):
            having = [x for x, one in enumerate(universes) if one[decision] == value]
            axes.plot(having, [row] * len(having), ".", color=color_of(index), markersize=1.1)
    axes.set_ylim(_depth(heights), -_GAP)
    axes.set_yticks([])
    axes.tick_params(length=0, labelbottom=False)
    axes.spines[:].set_visible(False)


def _draw_legend(figure: Figure, decisions: dict[str, list[str]]) -> None:
    width = max(map(len, decisions.values()), default=1)
    handles, labels = [], []
    for place in range(width + 1):  # a legend is filled column by column
        for name, values in decisions.items():
            there = 0 < place <= len(values)
            color = color_of(place - 1) if there else "none"
            handles.append(Line2D([], [], linestyle="none", marker="o", color=color))
            labels.append(values[place - 1] if there else f"{name}:" if place == 0 else "")
    figure.legend(
        handles,
        labels,
        ncols=width + 1,
        loc="outside lower center",
        handletextpad=0.1,
        fontsize=6,
    )


def caption_numbers(
    config: Config, multiverse: Table, universes: Table, multiverse_decisions: Table
) -> Numbers:
    """How many there are."""
    return {
        "universes": str(len(universes.rows)),
        "claims": str(len(_claims_with_numbers(multiverse))),
    }
