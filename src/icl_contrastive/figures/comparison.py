"""Exact and estimated attention and output: what figures 4, 6, 7 and 9 have in common."""

import math
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from icl_contrastive.artifacts.files import ArtifactError
from icl_contrastive.artifacts.tables import Array, Table
from icl_contrastive.command import Config
from icl_contrastive.figures import style
from icl_contrastive.figures.axes import place
from icl_contrastive.figures.heatmap import (
    draw_matrix,
    draw_scale,
    positive_scale,
    signed_scale,
)
from icl_contrastive.figures.wording import (
    Numbers,
    number,
    percent,
    scientific,
)

# Inches.
_LEFT = 0.42
_GAP = 0.1
_BAR = 0.08
_BAR_LABELS = 0.4
_TITLE = 0.2
_BELOW = 0.36
# Wide matrices would turn into thin stripes: below this height their cells are drawn taller.
_LOWEST = 0.7
_MOST_IN_A_ROW = 6


def read_matrices(matrices: Table, setting: str, name: str) -> tuple[Array, dict[int, Array]]:
    """The exact matrix, and its estimates by d_r in growing order."""
    rows = matrices.where(setting=setting, matrix=name)
    exact = rows.rows["d_r"].isna()
    if not exact.any():
        raise ArtifactError(f"{rows.path}: no exact {name} matrix (empty d_r) for {setting}")
    estimates = {
        int(d_r): rows.matrix(d_r=d_r) for d_r in sorted(rows.rows.loc[~exact, "d_r"].unique())
    }
    return Table(rows.path, rows.rows[exact]).matrix(), estimates


def draw_pairs(matrices: Table, setting: str, d_r: int) -> Figure:
    """Attention (a) and output (b): exact, estimated with d_r features, and the difference."""
    pairs = {}
    for name in ("attention", "output"):
        exact, estimates = read_matrices(matrices, setting, name)
        if d_r not in estimates:
            raise ArtifactError(
                f"{matrices.path}: no {name} matrix with d_r = {d_r} for {setting}; "
                f"there are {list(estimates)}"
            )
        pairs[name] = exact, estimates[d_r]

    width = (style.PAGE_WIDTH - _LEFT - _GAP - 2 * (_GAP + _BAR + _BAR_LABELS) - _GAP) / 3
    heights = [_height(exact, width) for exact, _ in pairs.values()]
    top = sum(heights) + len(pairs) * (_TITLE + _BELOW)
    figure = Figure(figsize=(style.PAGE_WIDTH, top))
    for letter, height, (name, pair) in zip("ab", heights, pairs.items(), strict=True):
        bottom = top - _TITLE - height
        titles = f"({letter}) exact {name}", f"estimated, $d_r = {d_r}$"
        _draw_pair(figure, bottom, (width, height), name, pair, titles)
        top = bottom - _BELOW
    return figure


def _draw_pair(
    figure: Figure,
    bottom: float,
    size: tuple[float, float],
    name: str,
    pair: tuple[Array, Array],
    titles: tuple[str, str],
) -> None:
    """One row: two matrices on one color scale, their difference on its own."""
    width, height = size
    left = _LEFT
    scale, colors = _scale(name, *pair)
    for title, matrix in zip(titles, pair, strict=True):
        axes = place(figure, left, bottom, width, height)
        image = draw_matrix(axes, matrix, scale, colors)
        axes.set_title(title)
        _label(axes, name, first=left == _LEFT)
        left += width + _GAP
    draw_scale(place(figure, left, bottom, _BAR, height), image)
    left += _BAR + _BAR_LABELS + _GAP
    exact, estimate = pair
    axes = place(figure, left, bottom, width, height)
    difference = estimate - exact
    image = draw_matrix(axes, difference, signed_scale(difference), style.DIFFERENCE_MAP)
    axes.set_title("estimated − exact")
    _label(axes, name, first=False)
    draw_scale(place(figure, left + width + _GAP, bottom, _BAR, height), image)


def draw_estimates(matrices: Table, setting: str, name: str) -> Figure:
    """The exact matrix beside its estimates for growing d_r, all on one color scale."""
    exact, estimates = read_matrices(matrices, setting, name)
    panels = [("exact", "softmax", exact)]
    for d_r, estimate in estimates.items():
        error = scientific(float(np.mean((estimate - exact) ** 2)))
        panels.append((rf"$d_r = {d_r}$", f"MSE {error}", estimate))

    columns = min(len(panels), _MOST_IN_A_ROW)
    rows = math.ceil(len(panels) / columns)
    width = (style.PAGE_WIDTH - _LEFT - columns * _GAP - _BAR - _BAR_LABELS) / max(columns, 4)
    height = _height(exact, width)
    title = 2 * _TITLE - 0.06
    total = rows * (title + height + _BELOW)
    figure = Figure(figsize=(style.PAGE_WIDTH, total))
    scale, colors = _scale(name, *(matrix for *_, matrix in panels))
    for index, (heading, detail, matrix) in enumerate(panels):
        row, column = divmod(index, columns)
        bottom = total - row * (title + height + _BELOW) - title - height
        axes = place(figure, _LEFT + column * (width + _GAP), bottom, width, height)
        image = draw_matrix(axes, matrix, scale, colors)
        axes.set_title(heading, pad=12.0)
        axes.text(
            0.5, 1.03, detail, transform=axes.transAxes, ha="center", va="bottom", **style.SMALL
        )
        _label(axes, name, first=column == 0)
        if column == columns - 1 or index == len(panels) - 1:
            left = _LEFT + (column + 1) * (width + _GAP)
            draw_scale(place(figure, left, bottom, _BAR, height), image)
    return figure


def _height(matrix: Array, width: float) -> float:
    rows, columns = matrix.shape
    return max(width * float(rows / columns), _LOWEST)


def _scale(name: str, *matrices: Array) -> tuple[Normalize, str]:
    if name == "attention":
        return positive_scale(*matrices), style.SEQUENTIAL_MAP
    return signed_scale(*matrices), style.SIGNED_MAP


def _label(axes: Axes, name: str, first: bool) -> None:
    """Name the axes, the rows only in the first panel of a line."""
    axes.set_xlabel("query token $j$" if name == "attention" else "token $j$")
    if first:
        axes.set_ylabel("key token $i$" if name == "attention" else "coordinate")
    else:
        axes.tick_params(labelleft=False)


def pair_numbers(config: Config, matrices: Table) -> Numbers:
    """For captions: errors of the estimates with d_r features, and of the largest entry."""
    numbers: Numbers = {"d_r": str(config["d_r"])}
    for name in ("attention", "output"):
        exact, estimates = read_matrices(matrices, config["setting"], name)
        estimate = estimates[config["d_r"]]
        error = np.abs(estimate - exact)
        top = exact.argmax()
        numbers |= {
            f"{name}_mae": number(error.mean()),
            f"{name}_mean": number(np.abs(exact).mean()),
            f"{name}_median": percent(float(np.median(error / np.abs(exact)))),
            f"{name}_top": number(exact.flat[top]),
            f"{name}_top_estimate": number(estimate.flat[top]),
        }
    return numbers


def estimate_numbers(config: Config, matrices: Table, name: str) -> Numbers:
    """For captions: the matrix's size, its errors by d_r, and whether they fall."""
    exact, estimates = read_matrices(matrices, config["setting"], name)
    errors = {d_r: float(np.mean((one - exact) ** 2)) for d_r, one in estimates.items()}
    curve = list(errors.values())
    falls = all(after < before for before, after in pairwise(curve))
    trend = "falls at every step" if falls else "does not fall at every step"
    return {
        "rows": str(exact.shape[0]),
        "columns": str(exact.shape[1]),
        "errors": ", ".join(f"{number(error)} (d_r = {d_r:,})" for d_r, error in errors.items()),
        "trend": trend if len(curve) > 1 else "is that of one d_r alone",
    }
