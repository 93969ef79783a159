"""Is it in-context learning at all? The layer's error beside that of its controls.

Config: empty. Tables: ``controls, solutions``.
"""

import re
import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from icl_contrastive.artifacts.tables import Array, Table
from icl_contrastive.command import Config
from icl_contrastive.figures import style
from icl_contrastive.figures.dots import draw_dots
from icl_contrastive.figures.wording import Numbers, number, scientific

KEYS = ()

# From the layer itself to what could be known at best, by color; the table may lack some.
_GROUPS: dict[str, tuple[str, ...]] = {
    style.BLUE: ("layer",),
    style.PURPLE: ("zero-shot part", "demonstrations' part"),
    style.GREEN: ("fresh features", "exact softmax", "exact softmax, trained"),
    style.VERMILLION: (  # other prompts
        *("half the demonstrations", "shuffled labels", "zero labels"),
        *("zeroed demonstrations", "fresh task"),
    ),
    style.DARK_GREY: ("zero", "ridge regression", "least squares", "true task"),  # no layer
}
_LOWEST = 1e-3
"""Regression on noise-free labels is exact up to rounding: such errors are written, not drawn."""
_ROW = 0.165  # inches
_LETTERS = 80  # of titles that fit side by side
_SCATTER = 1.5  # inches
_MARKERS = "osD^vP"


def draw(config: Config, controls: Table, solutions: Table) -> Figure:
    """A panel for each setting: every run as a dot, the median over the runs as a bar.

    Below, which kind of solution each run's layer is.
    """
    settings = list(controls.rows["setting"].unique())
    there = set(controls.rows["predictor"])
    predictors = {
        name: color for color, names in _GROUPS.items() for name in names if name in there
    }
    height = _ROW * len(predictors) + 0.75
    figure = Figure(figsize=(style.PAGE_WIDTH, height + _SCATTER), layout="constrained")
    upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=(height, _SCATTER))[:, 0]
    panels = upper.subplots(1, len(settings), sharey=True, sharex=True, squeeze=False)[0]
    for axes, setting in zip(panels, settings, strict=True):
        _draw_setting(axes, controls.where(setting=setting), predictors)
        title = textwrap.wrap(setting.replace("_", ", "), max(8, _LETTERS // len(settings)))
        axes.set_title("\n".join(title))
    upper.supxlabel(
        "mean squared error over that of predicting zero", fontsize=style.SMALL["fontsize"] + 1
    )
    _draw_solutions(lower.subplots(), solutions)
    return figure


def _draw_solutions(axes: Axes, solutions: Table) -> None:
    """By run: whether right labels leave values of zero, and how much is there before them."""
    known = solutions.rows.dropna(subset=["value_cosine", "zero_shot_share"])
    settings = known["setting"].unique()
    for place, (setting, color) in enumerate(zip(settings, style.hues(len(settings)), strict=True)):
        rows = known[known["setting"] == setting]
        axes.plot(
            rows["value_cosine"],
            rows["zero_shot_share"],
            linestyle="none",
            marker=_MARKERS[place % len(_MARKERS)],
            markersize=3.5,
            markeredgewidth=0,
            color=color,
            alpha=0.6,
            label=setting.replace("_", ", "),
        )
    axes.set_xlabel(r"cosine of $w_V$ with $(W, {-}1)$")
    axes.set_ylabel("share of the\nzero-shot part")
    axes.margins(0.06, 0.12)
    axes.text(
        *(0.99, 0.04),
        "(1, 1): the query answers from itself",
        transform=axes.transAxes,
        ha="right",
        **style.SMALL,
    )
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def unexplained(controls: Table, predictor: str) -> Array:
    """Mean squared error of every run over the mean of y² on the same prompts, (runs,)."""
    rows = controls.where(predictor=predictor).rows
    runs = rows.assign(square=rows["y_true"] ** 2).groupby("run", sort=True)
    return np.asarray(runs["squared_error"].mean() / runs["square"].mean(), np.float64)


def _draw_setting(axes: Axes, controls: Table, predictors: dict[str, str]) -> None:
    there = set(controls.rows["predictor"])
    axes.axvline(1.0, **style.TRUE_LINE)
    layer = np.median(unexplained(controls, "layer"))
    axes.axvline(layer, color=style.BLUE, linewidth=0.7, alpha=0.5)
    for place, (name, color) in enumerate(predictors.items()):
        if name not in there:
            axes.text(_LOWEST, place, "  \N{EM DASH}", va="center", color=style.GREY, **style.SMALL)
            continue
        errors = unexplained(controls, name)
        median = float(np.median(errors))
        if median < _LOWEST:
            text = f"  \N{LEFTWARDS ARROW} {scientific(median, 0)}"
            axes.text(_LOWEST, place, text, va="center", color=color, **style.SMALL)
        else:
            draw_dots(axes, errors, place, color)
    axes.set_xscale("log")
    axes.set_xlim(left=_LOWEST)
    axes.xaxis.set_major_locator(LogLocator())
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_yticks(range(len(predictors)), list(predictors))
    axes.set_ylim(len(predictors) - 0.5, -0.5)
    axes.grid(axis="y", color=style.GREY, alpha=0.2, linewidth=0.5)
    axes.tick_params(axis="y", length=0)


def caption_numbers(config: Config, controls: Table, solutions: Table) -> Numbers:
    """In the first setting, the median share of the labels' variance that is left, by predictor.

    And which kind of solution its layers are, in the median.
    """
    setting = str(controls.rows["setting"].iloc[0])
    rows = controls.where(setting=setting)
    numbers = {"setting": setting}
    for predictor in rows.rows["predictor"].unique():
        share = float(np.median(unexplained(rows, predictor)))
        numbers[re.sub(r"\W+", "_", str(predictor))] = number(share)
    kinds = solutions.where(setting=setting).rows[["value_cosine", "zero_shot_share"]].median()
    return numbers | {str(measure): number(median) for measure, median in kinds.items()}
