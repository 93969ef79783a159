"""Figure 5: pretraining of the modified models, by α, augmentations, and negatives.

Config: ``setting`` and three groups, each with the variant ``base`` to compare with:
``regularized`` (``eq15, eq14``), ``augmented`` (``variants``), ``negative`` (``variants``). Their
lists hold ``{"variant": name, "model": {hyperparameters}}``. Tables: ``pretraining``.
"""

from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from icl_contrastive.figures import style
from icl_contrastive.figures.common import Config, Table, main, place, use_log_scale
from icl_contrastive.figures.curves import draw_curve

# Inches. The curves of a column share one block; below it are the errors after the last epoch.
_HEIGHT = 5.0
_LEFT = 0.46
_WIDTH = 1.78
_PITCH = 2.28
_CURVES_BOTTOM, _CURVES_HEIGHT = 1.98, 2.63
_FINAL_BOTTOM, _FINAL_HEIGHT = 0.56, 1.0
_GAP = 0.08

_LINES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1)))
_HUES = (style.VERMILLION, style.BLUE, style.PURPLE, style.GREEN, style.ORANGE, style.SKY)
_BASE_LINE: dict[str, Any] = {"color": style.BLACK, "linestyle": "-", "linewidth": 0.9}
_MARKERS = "oD"


@dataclass(frozen=True)
class Curve:
    """One variant: the panel of its curve, the place of its dots, and its look in both."""

    variant: str
    panel: str
    place: str
    line: dict[str, Any]


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
    figure = Figure(figsize=(style.PAGE_WIDTH, _HEIGHT))
    columns = {
        "regularized": _regularized(config["regularized"]),
        "augmented": _augmented(config["augmented"]),
        "negative": _negative(config["negative"]),
    }
    for index, (group, column) in enumerate(columns.items()):
        left = _LEFT + index * _PITCH
        base = config[group]["base"]
        _draw_curves(figure, left, column, base, pretraining, config["setting"])
        final = place(figure, left, _FINAL_BOTTOM, _WIDTH, _FINAL_HEIGHT)
        _draw_final(final, column, base, pretraining, config["setting"])
        if index == 0:
            middle = (_CURVES_BOTTOM + _CURVES_HEIGHT / 2) / _HEIGHT
            figure.text(0.008, middle, "training error", rotation=90, va="center")
            middle = (_FINAL_BOTTOM + _FINAL_HEIGHT / 2) / _HEIGHT
            figure.text(0.008, middle, "after the last epoch", rotation=90, va="center")
    return figure


def _signed(value: float) -> str:
    return f"{value:g}".replace("-", "\N{MINUS SIGN}")


def _regularized(group: Config) -> Column:
    """Both forms over the same α: blue and solid below 0, red and dashed above."""
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
        )
        for form, panel in forms
        for cell in group[form]
    ]
    places = [_signed(alpha) for alpha in sorted(looks)]
    ends = sorted({alphas[0], 0.0, alphas[-1]})
    legend = {rf"$\alpha = {alpha:g}$": looks[alpha] for alpha in ends}
    return Column("regularized-model", r"$\alpha$", curves, _signed(0.0), places, legend)


def _augmented(group: Config) -> Column:
    """With an augmentation of the values, or of the keys alone."""
    curves = []
    for index, cell in enumerate(group["variants"]):
        layers = {name: cell["model"].get(name, 0) for name in ("g1", "g2")}
        name = ", ".join(_augmentation(*item) for item in layers.items() if item[1])
        panel = "values augmented" if layers["g1"] else "only keys augmented"
        line = {"color": _HUES[index % len(_HUES)], "linestyle": _LINES[1 + index % 3]}
        curves.append(Curve(cell["variant"], panel, name, line))
    curves.sort(key=lambda curve: curve.panel, reverse=True)
    places = ["none", *(curve.place for curve in curves)]
    legend = {curve.place: curve.line for curve in curves}
    return Column("augmented-model", "augmentation", curves, "none", places, legend)


def _augmentation(name: str, layers: int) -> str:
    """The paper's symbol: one plus for every layer after the first."""
    plus = "+" * (layers - 1)
    return rf"${name[0]}_{name[1]}^{{{plus}}}$" if plus else rf"${name[0]}_{name[1]}$"


def _negative(group: Config) -> Column:
    """A panel and hue for each k, a line for each β, section 5.5's form and Eq. 18's."""
    models = [cell["model"] for cell in group["variants"]]
    ks = sorted({model["k"] for model in models})
    betas = sorted({model["beta"] for model in models})
    curves = []
    legend = {}
    for cell in group["variants"]:
        k, beta = cell["model"]["k"], cell["model"]["beta"]
        hue, line = _HUES[ks.index(k) % len(_HUES)], _LINES[betas.index(beta) % len(_LINES)]
        spot, label, legend_hue = f"{k}, {beta:g}", rf"$\beta = {beta:g}$", style.GREY
        if cell["model"]["form"] == "eq18":
            hue = legend_hue = style.ORANGE
            spot, label = f"{spot}*", "Eq. 18*"
        curves.append(
            Curve(cell["variant"], rf"$k = {k}$", spot, {"color": hue, "linestyle": line})
        )
        legend[label] = {"color": legend_hue, "linestyle": line}
    curves.sort(key=lambda curve: (curve.panel, curve.place))
    places = ["none", *(curve.place for curve in curves)]
    return Column("negative-model", r"$k$, $\beta$", curves, "none", places, legend)


def _draw_curves(
    figure: Figure, left: float, column: Column, base: str, pretraining: Table, setting: str
) -> None:
    """A stack of panels on common scales, the base's curve in each of them."""
    names = list(dict.fromkeys(curve.panel for curve in column.curves))
    height = (_CURVES_HEIGHT - (len(names) - 1) * _GAP) / len(names)
    panels = []
    for index, name in enumerate(names):
        bottom = _CURVES_BOTTOM + (len(names) - 1 - index) * (height + _GAP)
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
    panels[0].set_title(column.title, pad=15)
    panels[0].legend(
        [Line2D([], [], **line) for line in column.legend.values()],
        list(column.legend),
        loc="lower center",
        bbox_to_anchor=(0.46, 0.99),
        ncols=len(column.legend),
        handlelength=1.7,
        handletextpad=0.4,
        columnspacing=0.7,
    )
    panels[-1].set_xlabel("epoch")


def _draw_final(axes: Axes, column: Column, base: str, pretraining: Table, setting: str) -> None:
    """Every run's error after the last epoch as a dot, the median over the runs as a bar."""
    base_curve = Curve(base, "", column.base_place, _BASE_LINE)
    panels = list(dict.fromkeys(curve.panel for curve in column.curves))
    shared = len(column.places) <= len(column.curves)
    for curve in (base_curve, *column.curves):
        runs = pretraining.where(setting=setting, variant=curve.variant).rows
        final = runs.loc[runs["epoch"] == runs["epoch"].max(), "train_mse"].to_numpy()
        # Two forms of one α stand side by side, told apart by their markers.
        side = panels.index(curve.panel) if shared and curve.panel else 0
        offset = 0.36 * (side - 0.5) if shared and curve.panel else 0.0
        center = column.places.index(curve.place) + offset
        axes.plot(
            np.full(len(final), center),
            final,
            linestyle="none",
            marker=_MARKERS[side],
            markersize=2.2,
            markeredgewidth=0,
            color=curve.line["color"],
            alpha=0.55,
        )
        axes.hlines(np.median(final), center - 0.17, center + 0.17, color=style.BLACK, linewidth=1)
    axes.set_xticks(range(len(column.places)), column.places, rotation=90)
    axes.set_xlim(-0.6, len(column.places) - 0.4)
    axes.set_yscale("log")
    use_log_scale(axes)
    axes.set_xlabel(column.axis)


if __name__ == "__main__":
    main(draw)
