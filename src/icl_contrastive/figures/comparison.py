"""Exact and estimated attention and output: what figures 4, 6, 7 and 9 have in common."""

import math
from collections.abc import Sequence
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
from icl_contrastive.figures.heatmap import draw_matrix, draw_scale, positive_scale, signed_scale
from icl_contrastive.figures.wording import Numbers, number, percent, scientific

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


def _read_pair(config: Config, matrices: Table, name: str) -> tuple[Array, Array]:
    """The exact matrix, and its estimate with the config's d_r."""
    setting, d_r = config["setting"], config["d_r"]
    exact, estimates = read_matrices(matrices, setting, name)
    if d_r not in estimates:
        raise ArtifactError(
            f"{matrices.path}: no {name} matrix with d_r = {d_r} for {setting}; "
            f"there are {list(estimates)}"
        )
    return exact, estimates[d_r]


def draw_pairs(config: Config, matrices: Table) -> Figure:
    """Attention (a) and output (b): exact, estimated with d_r features, and the difference."""
    pairs = {name: _read_pair(config, matrices, name) for name in ("attention", "output")}
    width = (style.PAGE_WIDTH - _LEFT - _GAP - 2 * (_GAP + _BAR + _BAR_LABELS) - _GAP) / 3
    heights = [_height(exact, width) for exact, _ in pairs.values()]
    top = sum(heights) + len(pairs) * (_TITLE + _BELOW)
    figure = Figure(figsize=(style.PAGE_WIDTH, top))
    for letter, height, (name, pair) in zip("ab", heights, pairs.items(), strict=True):
        bottom = top - _TITLE - height
        frame = figure, bottom, (width, height), name
        exact, estimated = _draw_row(*frame, _LEFT, pair, _scale(name, *pair))
        difference = pair[1] - pair[0]
        scale = signed_scale(difference), style.DIFFERENCE_MAP
        left = _LEFT + 2 * (width + _GAP) + _BAR + _BAR_LABELS + _GAP
        (apart,) = _draw_row(*frame, left, [difference], scale)
        exact.set_title(f"({letter}) exact {name}")
        estimated.set_title(f"estimated, $d_r = {config['d_r']}$")
        apart.set_title("estimated − exact")
        top = bottom - _BELOW
    return figure


def draw_estimates(config: Config, matrices: Table, name: str) -> Figure:
    """The exact matrix beside its estimates for growing d_r, all on one color scale."""
    exact, estimates = read_matrices(matrices, config["setting"], name)
    panels = [("exact", "softmax", exact)]
    for d_r, estimate in estimates.items():
        error = scientific(_squared_error(estimate, exact))
        panels.append((rf"$d_r = {d_r}$", f"MSE {error}", estimate))

    columns = min(len(panels), _MOST_IN_A_ROW)
    width = (style.PAGE_WIDTH - _LEFT - columns * _GAP - _BAR - _BAR_LABELS) / max(columns, 4)
    height = _height(exact, width)
    title = 2 * _TITLE - 0.06
    rows = math.ceil(len(panels) / columns)
    total = rows * (title + height + _BELOW)
    figure = Figure(figsize=(style.PAGE_WIDTH, total))
    scale = _scale(name, *(matrix for *_, matrix in panels))
    for row in range(rows):
        headings, details, shown = zip(*panels[row * columns : (row + 1) * columns], strict=True)
        bottom = total - row * (title + height + _BELOW) - title - height
        drawn = _draw_row(figure, bottom, (width, height), name, _LEFT, shown, scale)
        for axes, heading, detail in zip(drawn, headings, details, strict=True):
            axes.set_title(heading, pad=12.0)
            axes.text(
                0.5, 1.03, detail, transform=axes.transAxes, ha="center", va="bottom", **style.SMALL
            )
    return figure


def _draw_row(
    figure: Figure,
    bottom: float,
    size: tuple[float, float],
    name: str,
    left: float,
    matrices: Sequence[Array],
    scale: tuple[Normalize, str],
) -> list[Axes]:
    """Matrices side by side from the left, on one color scale, which stands at their right.

    Their axes are named, the rows in the first panel of a line alone.
    """
    width, height = size
    drawn = []
    for matrix in matrices:
        axes = place(figure, left, bottom, width, height)
        image = draw_matrix(axes, matrix, *scale)
        axes.set_xlabel("query token $j$" if name == "attention" else "token $j$")
        if left == _LEFT:
            axes.set_ylabel("key token $i$" if name == "attention" else "coordinate")
        else:
            axes.tick_params(labelleft=False)
        drawn.append(axes)
        left += width + _GAP
    draw_scale(place(figure, left, bottom, _BAR, height), image)
    return drawn


def _height(matrix: Array, width: float) -> float:
    rows, columns = matrix.shape
    return max(width * float(rows / columns), _LOWEST)


def _scale(name: str, *matrices: Array) -> tuple[Normalize, str]:
    if name == "attention":
        return positive_scale(*matrices), style.SEQUENTIAL_MAP
    return signed_scale(*matrices), style.SIGNED_MAP


def _squared_error(estimate: Array, exact: Array) -> float:
    return float(np.mean((estimate - exact) ** 2))


def pair_numbers(config: Config, matrices: Table) -> Numbers:
    """For captions: errors of the estimates with d_r features, and of the largest entry."""
    numbers: Numbers = {"d_r": str(config["d_r"])}
    for name in ("attention", "output"):
        exact, estimate = _read_pair(config, matrices, name)
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
    errors = {d_r: _squared_error(one, exact) for d_r, one in estimates.items()}
    curve = list(errors.values())
    falls = all(after < before for before, after in pairwise(curve))
    trend = "falls at every step" if falls else "does not fall at every step"
    return {
        "rows": str(exact.shape[0]),
        "columns": str(exact.shape[1]),
        "errors": ", ".join(f"{number(error)} (d_r = {d_r:,})" for d_r, error in errors.items()),
        "trend": trend if len(curve) > 1 else "is that of one d_r alone",
    }
