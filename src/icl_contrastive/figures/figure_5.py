"""Figure 5: pretraining of the modified models, by α, augmentations, and negatives.

Config: ``setting`` and three groups, each with the plain layer to compare with as ``base``:
``regularized`` (``eq15, eq14``), ``augmented`` (``variants``), ``negative`` (``variants``). All of
these are lists of ``{"variant": name, "model": {hyperparameters}}``. Tables: ``pretraining``.
"""

import re
from collections import Counter
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from icl_contrastive.artifacts.tables import Array, Table
from icl_contrastive.command import Config
from icl_contrastive.figures import style
from icl_contrastive.figures.columns import Column, Curve, draw_columns
from icl_contrastive.figures.curves import final_errors
from icl_contrastive.figures.wording import Numbers, number
from icl_contrastive.variants import build_variant
from icl_contrastive.variants.base import in_words

KEYS = ("setting", "regularized", "augmented", "negative")

_LINES: tuple[Any, ...] = (
    *("-", (0, (4, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1))),
    *((0, (7, 2)), (0, (2, 1.5)), (0, (4, 1, 1, 1, 1, 1)), (0, (7, 1, 3, 1))),
)
_HUES = (style.VERMILLION, style.BLUE, style.PURPLE, style.GREEN, style.ORANGE, style.SKY)
_BASE_LINE: dict[str, Any] = {"color": style.BLACK, "linestyle": "-", "linewidth": 0.9}


def draw(config: Config, pretraining: Table) -> Figure:
    """Three columns; curves over the epochs on top, errors after the last epoch below."""
    columns = (
        _regularized(config["regularized"]),
        _augmented(config["augmented"]),
        _negative(config["negative"]),
    )
    return draw_columns(columns, pretraining.where(setting=config["setting"]))


def _base(group: Config, place: str) -> Curve:
    return Curve(group["base"][0]["variant"], "", place, _BASE_LINE)


def _regularized(group: Config) -> Column:
    """Left: both forms over the same α, blue and solid below 0, red and dashed above."""
    panels = {"eq15": "Eq. 15 (circles)", "eq14": "Eq. 14 (diamonds)"}
    alphas = sorted({cell["model"]["alpha"] for form in panels for cell in group[form]})
    looks: dict[float, dict[str, Any]] = {0.0: _BASE_LINE}
    for sign, extreme, weakest, line in ((-1, 1.0, 0.68, _LINES[0]), (1, 0.0, 0.32, _LINES[1])):
        # By rank and not by size: values near 0 matter most and would all look alike.
        same = sorted((alpha for alpha in alphas if alpha * sign > 0), key=abs, reverse=True)
        for alpha, shade in zip(same, np.linspace(extreme, weakest, len(same)), strict=True):
            looks[alpha] = {"color": matplotlib.colormaps["RdBu"](shade), "linestyle": line}
    curves = []
    for side, (form, panel) in enumerate(panels.items()):
        for cell in group[form]:
            alpha = cell["model"]["alpha"]
            curves.append(Curve(cell["variant"], panel, in_words(alpha), looks[alpha], side))
    places = [in_words(alpha) for alpha in sorted(looks)]
    ends = sorted({alphas[0], 0.0, alphas[-1]})
    legend = {rf"$\alpha = {alpha:g}$": looks[alpha] for alpha in ends}
    base = _base(group, in_words(0.0))
    return Column("regularized-model", r"$\alpha$", base, curves, places, legend)


_AUGMENTED_PANELS = ("values augmented", "only keys augmented", "other models")


def _augmented(group: Config) -> Column:
    """Center: values augmented, or keys alone; and models of the user's own."""
    variants = [build_variant(cell["model"]) for cell in group["variants"]]
    names = _unique([one.label for one in variants], group["variants"])
    curves = []
    cells = zip(group["variants"], variants, names, strict=True)
    for index, (cell, variant, name) in enumerate(cells):
        kind = 2 if cell["model"]["model"] != "augmented" else 0 if variant.g1 else 1
        # All of the first hues have a line of their own, in other pairs after that.
        line = _LINES[1 + (index + index // len(_HUES)) % 3]
        look = {"color": _HUES[index % len(_HUES)], "linestyle": line}
        curves.append(Curve(cell["variant"], _AUGMENTED_PANELS[kind], name, look))
    curves.sort(key=lambda curve: _AUGMENTED_PANELS.index(curve.panel))
    legend = {"none": _BASE_LINE} | {curve.place: curve.line for curve in curves}
    title, axis = "augmented-model", "augmentation"
    panels = {curve.panel for curve in curves}
    if _AUGMENTED_PANELS[-1] in panels:
        title = "other models" if len(panels) == 1 else "augmented-model and others"
        axis = "variant"
    return Column(title, axis, _base(group, "none"), curves, list(legend), legend)


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

    def order(cell: Config) -> tuple[Any, ...]:
        return cell["model"]["k"], cell["model"]["beta"], cell["model"]["form"] == "eq18"

    cells = sorted(group["variants"], key=order)
    models = [cell["model"] for cell in cells]
    ks = sorted({model["k"] for model in models})
    betas = sorted({model["beta"] for model in models})
    spots = [f"{one['k']}, {one['beta']:g}{'*' if one['form'] == 'eq18' else ''}" for one in models]
    curves = []
    legend = {"none": _BASE_LINE}
    for cell, spot in zip(cells, _unique(spots, cells), strict=True):
        k, beta, eq18 = order(cell)
        line = _LINES[betas.index(beta) % len(_LINES)]
        hue = style.ORANGE if eq18 else _HUES[ks.index(k) % len(_HUES)]
        curves.append(
            Curve(cell["variant"], rf"$k = {k}$", spot, {"color": hue, "linestyle": line})
        )
        label, shown = ("Eq. 18*", hue) if eq18 else (rf"$\beta = {beta:g}$", style.GREY)
        legend[label] = {"color": shown, "linestyle": line}
    places = ["none", *(curve.place for curve in curves)]
    return Column("negative-model", r"$k$, $\beta$", _base(group, "none"), curves, places, legend)


def caption_numbers(config: Config, pretraining: Table) -> Numbers:
    """Final training errors of all panels, beside those of their bases."""
    runs = pretraining.where(setting=config["setting"])
    bases = {name: config[name]["base"][0] for name in ("regularized", "augmented", "negative")}

    def ends(cell: Config) -> Array:
        return final_errors(runs.where(variant=cell["variant"]))

    def median(cell: Config) -> float:
        return float(np.median(ends(cell)))

    def against(cell: Config, base: Config) -> str:
        """What it is, median error, and in how many runs it is above that of the base."""
        above = ends(cell) > ends(base)
        label = build_variant(cell["model"]).label
        return f"{label}: {number(median(cell))} ({above.sum()} of {len(above)} above)"

    numbers = {
        key: number(median(base))
        for key, base in zip(("base", "base_center", "base_right"), bases.values(), strict=True)
    }
    unlike = [
        one["variant"]
        for name, base in bases.items()
        for cells in config[name].values()
        for one in cells
        if any(one[key] != base[key] for key in ("learning_rate", "features"))
    ]
    numbers["unlike"] = f", but for those of {', '.join(unlike)}" if unlike else ""
    plain = median(bases["regularized"])
    for form in ("eq15", "eq14"):
        by_alpha = {one["model"]["alpha"]: median(one) for one in config["regularized"][form]}
        best = min(by_alpha, key=lambda alpha: by_alpha[alpha])
        numbers[f"{form}_best"] = number(by_alpha[best])
        numbers[f"{form}_best_alpha"] = in_words(best)
        for sign, name in ((1, "positive"), (-1, "negative")):
            side = [alpha for alpha in by_alpha if alpha * sign > 0]
            below = [in_words(alpha) for alpha in side if by_alpha[alpha] <= plain]
            but = (
                f" (not α = {', '.join(below)})" if sign > 0 and 0 < len(below) < len(side) else ""
            )
            numbers[f"{form}_{name}"] = f"{len(side) - len(below)} of {len(side)}{but}"
    augmented, negative = (config[name]["variants"] for name in ("augmented", "negative"))
    numbers["augmented"] = "; ".join(against(one, bases["augmented"]) for one in augmented)
    least = min(one["model"]["beta"] for one in negative)
    numbers["negative"] = "; ".join(
        against(one, bases["negative"]) for one in negative if one["model"]["beta"] == least
    )
    return numbers
