"""Figure 5: pretraining of the modified models, by α, augmentations, and negatives.

Config: ``setting`` and three groups, each with the plain layer to compare with as ``base``:
``regularized`` (``eq15, eq14``), ``augmented`` (``variants``), ``negative`` (``variants``). All of
these are lists of ``{"variant": name, "model": {hyperparameters}}``. Tables: ``pretraining``.
It is long because each of its panels compares in a way of its own.
"""

import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from icl_contrastive.artifacts.tables import Table
from icl_contrastive.command import Config
from icl_contrastive.figures import style
from icl_contrastive.figures.axes import place, use_log_scale
from icl_contrastive.figures.command import main
from icl_contrastive.figures.curves import draw_curve, final_errors
from icl_contrastive.figures.wording import Numbers, number
from icl_contrastive.variants import build_variant
from icl_contrastive.variants.base import in_words

KEYS = ("setting", "regularized", "augmented", "negative")

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

_LINES: tuple[Any, ...] = (
    *("-", (0, (4, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1))),
    *((0, (7, 2)), (0, (2, 1.5)), (0, (4, 1, 1, 1, 1, 1)), (0, (7, 1, 3, 1))),
)
_HUES = (style.VERMILLION, style.BLUE, style.PURPLE, style.GREEN, style.ORANGE, style.SKY)
_BASE_LINE: dict[str, Any] = {"color": style.BLACK, "linestyle": "-", "linewidth": 0.9}
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
    """One of the paper's three panels; `places` orders the dots, the base's `base_place` too."""

    title: str
    axis: str
    curves: list[Curve]
    base_place: str
    places: list[str]
    legend: dict[str, dict[str, Any]]


def draw(config: Config, pretraining: Table) -> Figure:
    """Three columns; curves over the epochs on top, errors after the last epoch below."""
    columns = {
        "regularized": _regularized(config["regularized"]),
        "augmented": _augmented(config["augmented"]),
        "negative": _negative(config["negative"]),
    }
    rows = max(math.ceil(len(one.legend) / _LEGEND_COLUMNS) for one in columns.values())
    letters = max(
        len(re.sub(r"[$_^{}]", "", name)) for one in columns.values() for name in one.places
    )
    below = _LETTER * max(0, letters - _ROOM)
    panels = max(len({curve.panel for curve in one.curves}) for one in columns.values())
    curves_height = max(_CURVES_HEIGHT, panels * (_LEAST_PANEL + _GAP))
    height = _HEIGHT - _CURVES_HEIGHT + curves_height + below + _LEGEND_ROW * (rows - 1)
    figure = Figure(figsize=(style.PAGE_WIDTH, height))
    for index, (group, column) in enumerate(columns.items()):
        left = _LEFT + index * _PITCH
        (base,) = (one["variant"] for one in config[group]["base"])
        block = (left, below + _CURVES_BOTTOM, curves_height)
        _draw_curves(figure, block, rows, column, base, pretraining, config["setting"])
        final = place(figure, left, below + _FINAL_BOTTOM, _WIDTH, _FINAL_HEIGHT)
        _draw_final(final, column, base, pretraining, config["setting"])
        if index == 0:
            middle = (below + _CURVES_BOTTOM + curves_height / 2) / height
            figure.text(0.008, middle, "training error", rotation=90, va="center")
            middle = (below + _FINAL_BOTTOM + _FINAL_HEIGHT / 2) / height
            figure.text(0.008, middle, "after the last epoch", rotation=90, va="center")
    return figure


def _signed(value: float) -> str:
    return f"{value:g}".replace("-", "\N{MINUS SIGN}")


def _regularized(group: Config) -> Column:
    """Left: both forms over the same α, blue and solid below 0, red and dashed above."""
    forms = (("eq15", "Eq. 15 (circles)"), ("eq14", "Eq. 14 (diamonds)"))
    alphas = sorted({cell["model"]["alpha"] for form, _ in forms for cell in group[form]})
    looks: dict[float, dict[str, Any]] = {0.0: _BASE_LINE}
    for sign, extreme, weakest, line in ((-1, 1.0, 0.68, _LINES[0]), (1, 0.0, 0.32, _LINES[1])):
        # By rank and not by size: values near 0 matter most and would all look alike.
        same = sorted((alpha for alpha in alphas if alpha * sign > 0), key=abs, reverse=True)
        for alpha, shade in zip(same, np.linspace(extreme, weakest, len(same)), strict=True):
            looks[alpha] = {"color": matplotlib.colormaps["RdBu"](shade), "linestyle": line}
    curves = [
        Curve(
            cell["variant"],
            panel,
            _signed(alpha := cell["model"]["alpha"]),
            looks[alpha],
            side,
        )
        for side, (form, panel) in enumerate(forms)
        for cell in group[form]
    ]
    places = [_signed(alpha) for alpha in sorted(looks)]
    ends = sorted({alphas[0], 0.0, alphas[-1]})
    legend = {rf"$\alpha = {alpha:g}$": looks[alpha] for alpha in ends}
    return Column("regularized-model", r"$\alpha$", curves, _signed(0.0), places, legend)


_AUGMENTED_PANELS = ("values augmented", "only keys augmented", "other models")


def _augmented(group: Config) -> Column:
    """Center: values augmented, or keys alone; and models of the user's own."""
    variants = [build_variant(cell["model"]) for cell in group["variants"]]
    names = _unique([one.label for one in variants], group["variants"])
    curves = []
    for index, (cell, variant, name) in enumerate(
        zip(group["variants"], variants, names, strict=True)
    ):
        kind = 2 if cell["model"]["model"] != "augmented" else 0 if variant.g1 else 1
        # All of the first hues have a line of their own, in other pairs after that.
        line = _LINES[1 + (index + index // len(_HUES)) % 3]
        look = {"color": _HUES[index % len(_HUES)], "linestyle": line}
        curves.append(Curve(cell["variant"], _AUGMENTED_PANELS[kind], name, look))
    curves.sort(key=lambda curve: _AUGMENTED_PANELS.index(curve.panel))
    legend = {"none": _BASE_LINE} | {curve.place: curve.line for curve in curves}
    panels = {curve.panel for curve in curves}
    title, axis = "augmented-model", "augmentation"
    if _AUGMENTED_PANELS[-1] in panels:
        title, axis = (
            "other models" if len(panels) == 1 else "augmented-model and others",
            "variant",
        )
    return Column(title, axis, curves, "none", list(legend), legend)


def _unique(labels: list[str], cells: list[Config]) -> list[str]:
    """The labels as mathtext, or the names of the variants that share one."""
    counts = Counter(labels)
    return [
        _mathtext(label) if counts[label] == 1 else cell["variant"]
        for label, cell in zip(labels, cells, strict=True)
    ]


def _mathtext(label: str) -> str:
    """With indices that every font has: ``g₂⁺`` as ``$g_2^{+}$``."""
    return re.sub(
        "(\\w)([₀-₉])(⁺*)",
        lambda found: rf"${found[1]}_{ord(found[2]) - ord('₀')}^{{{'+' * len(found[3])}}}$",
        label,
    ).replace("^{}", "")


def _negative(group: Config) -> Column:
    """Right: a panel and hue for each k, a line for each β, section 5.5's form and Eq. 18's."""
    cells = sorted(
        group["variants"],
        key=lambda cell: [
            *(cell["model"][key] for key in ("k", "beta")),
            cell["model"]["form"] == "eq18",
        ],
    )
    models = [cell["model"] for cell in cells]
    ks = sorted({model["k"] for model in models})
    betas = sorted({model["beta"] for model in models})
    spots = [f"{one['k']}, {one['beta']:g}{'*' if one['form'] == 'eq18' else ''}" for one in models]
    curves = []
    legend = {"none": _BASE_LINE}
    for cell, spot in zip(cells, _unique(spots, cells), strict=True):
        k, beta = cell["model"]["k"], cell["model"]["beta"]
        hue, line = _HUES[ks.index(k) % len(_HUES)], _LINES[betas.index(beta) % len(_LINES)]
        label, legend_hue = rf"$\beta = {beta:g}$", style.GREY
        if cell["model"]["form"] == "eq18":
            hue = legend_hue = style.ORANGE
            label = "Eq. 18*"
        curves.append(
            Curve(cell["variant"], rf"$k = {k}$", spot, {"color": hue, "linestyle": line})
        )
        legend[label] = {"color": legend_hue, "linestyle": line}
    places = ["none", *(curve.place for curve in curves)]
    return Column("negative-model", r"$k$, $\beta$", curves, "none", places, legend)


def _draw_curves(
    figure: Figure,
    block: tuple[float, float, float],
    rows: int,
    column: Column,
    base: str,
    pretraining: Table,
    setting: str,
) -> None:
    """A stack of panels on common scales, the base's curve in each of them.

    The block is its left, bottom and height; above it is room for a legend of so many rows.
    """
    left, lowest, whole = block
    names = list(dict.fromkeys(curve.panel for curve in column.curves))
    height = (whole - (len(names) - 1) * _GAP) / len(names)
    panels = []
    for index, name in enumerate(names):
        bottom = lowest + (len(names) - 1 - index) * (height + _GAP)
        axes = place(figure, left, bottom, _WIDTH, height)
        runs = pretraining.where(setting=setting, variant=base)
        draw_curve(axes, runs, "epoch", "train_mse", "run", zorder=3, **_BASE_LINE)
        shown = [curve for curve in column.curves if curve.panel == name]
        for curve in shown:
            runs = pretraining.where(setting=setting, variant=curve.variant)
            band = min(0.15, 0.3 / len(shown))
            draw_curve(axes, runs, "epoch", "train_mse", "run", band=band, **curve.line)
        axes.text(1.02, 0.5, name, transform=axes.transAxes, rotation=270, va="center")
        axes.margins(x=0)
        axes.set_yscale("log")
        # Most of the way is gone in the first epochs, and the paper speaks of convergence there.
        use_log_scale(axes, "x")
        axes.tick_params(labelbottom=index == len(names) - 1)
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


def _draw_final(axes: Axes, column: Column, base: str, pretraining: Table, setting: str) -> None:
    """Every run's error after the last epoch as a dot, the median over the runs as a bar."""
    base_curve = Curve(base, "", column.base_place, _BASE_LINE)
    for curve in (base_curve, *column.curves):
        runs = pretraining.where(setting=setting, variant=curve.variant).rows
        final = runs.loc[runs["epoch"] == runs["epoch"].max(), "train_mse"].to_numpy()
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


def caption_numbers(config: Config, pretraining: Table) -> Numbers:
    """Final training errors of all panels, beside those of their bases."""
    setting = config["setting"]

    def against(cell: Config, panel: str) -> str:
        """What it is, median error, and in how many runs it is above that of the base."""
        ends, bases = (
            final_errors(pretraining, setting, one) for one in (cell["variant"], plain[panel])
        )
        above = f"{(ends > bases).sum()} of {len(ends)} above"
        label = build_variant(cell["model"]).label
        return f"{label}: {number(float(np.median(ends)))} ({above})"

    left = config["regularized"]
    panels = ("regularized", "augmented", "negative")
    plain = {panel: config[panel]["base"][0]["variant"] for panel in panels}
    numbers = {
        key: number(float(np.median(final_errors(pretraining, setting, plain[panel]))))
        for key, panel in zip(("base", "base_center", "base_right"), panels, strict=True)
    }
    unlike = [
        one["variant"]
        for panel in panels
        for cells in config[panel].values()
        for one in cells
        if any(one[key] != config[panel]["base"][0][key] for key in ("learning_rate", "features"))
    ]
    numbers["unlike"] = f", but for those of {', '.join(unlike)}" if unlike else ""
    for form in ("eq15", "eq14"):
        base = float(np.median(final_errors(pretraining, setting, plain["regularized"])))
        ends = {
            one["model"]["alpha"]: float(
                np.median(final_errors(pretraining, setting, one["variant"]))
            )
            for one in left[form]
        }
        best = min(ends, key=lambda alpha: ends[alpha])
        numbers[f"{form}_best"] = number(ends[best])
        numbers[f"{form}_best_alpha"] = in_words(best)
        for sign, name in ((1, "positive"), (-1, "negative")):
            side = [alpha for alpha in ends if alpha * sign > 0]
            below = [in_words(alpha) for alpha in side if ends[alpha] <= base]
            but = (
                f" (not α = {', '.join(below)})" if sign > 0 and 0 < len(below) < len(side) else ""
            )
            numbers[f"{form}_{name}"] = f"{len(side) - len(below)} of {len(side)}{but}"
    numbers["augmented"] = "; ".join(
        against(one, "augmented") for one in config["augmented"]["variants"]
    )
    negative = config["negative"]["variants"]
    least = min(one["model"]["beta"] for one in negative)
    numbers["negative"] = "; ".join(
        against(one, "negative") for one in negative if one["model"]["beta"] == least
    )
    return numbers


if __name__ == "__main__":
    main(draw)
