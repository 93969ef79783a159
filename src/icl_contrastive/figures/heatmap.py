"""Matrices as images, and the color scales for them.

Trained weights make a few entries much larger than the rest. All scales therefore go with the
square root of the value, which keeps the small entries apart without cutting the large ones off.
"""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import FuncNorm, Normalize, PowerNorm
from matplotlib.image import AxesImage

from icl_contrastive.artifacts.tables import Array
from icl_contrastive.figures import style
from icl_contrastive.figures.wording import MINUS


def positive_scale(*matrices: Array) -> Normalize:
    """One scale from 0 to the largest entry of all the matrices, which are non-negative."""
    return PowerNorm(0.5, vmin=0.0, vmax=_largest(matrices))


def signed_scale(*matrices: Array) -> Normalize:
    """One scale symmetric about 0 that reaches the largest modulus in all the matrices."""
    largest = _largest(matrices)
    root_and_square = (
        lambda values: np.sign(values) * np.sqrt(np.abs(values)),
        lambda values: np.sign(values) * np.square(values),
    )
    return FuncNorm(root_and_square, vmin=-largest, vmax=largest)


def _largest(matrices: tuple[Array, ...]) -> float:
    # A matrix of zeros still needs a scale of some extent.
    return max(float(np.abs(matrix).max()) for matrix in matrices) or 1.0


def draw_matrix(axes: Axes, matrix: Array, scale: Normalize, colors: str) -> AxesImage:
    """A matrix with its first row on top, rows and columns numbered from 1 as in the paper."""
    rows, columns = matrix.shape
    # "nearest" draws each entry as a block of pixels: left to the viewer, many would blur it.
    image = axes.imshow(matrix, norm=scale, cmap=colors, aspect="auto", interpolation="nearest")
    axes.spines[:].set_visible(True)
    axes.set_xticks(_numbered(columns))
    axes.set_yticks(_numbered(rows))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value + 1:.0f}")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value + 1:.0f}")
    axes.tick_params(length=1.5)
    return image


def _numbered(count: int) -> list[int]:
    """Positions of the entries that carry a number: the first, the middle, the last."""
    return sorted({0, (count - 1) // 2, count - 1})


def draw_scale(axes: Axes, image: AxesImage) -> None:
    """The image's color scale in axes of its own, with few round numbers."""
    bar = axes.figure.colorbar(image, cax=axes)
    _, highest = image.get_clim()
    top = _round_down(highest or 1.0)
    ticks = [0.0, top / 20, top / 5, top]
    if image.norm.vmin != 0.0:
        ticks = [-top, -top / 5, 0.0, top / 5, top]
    # Long decimals would need more room than the bar: a common power of ten stands above it.
    exponent = math.floor(math.log10(top))
    if -1 <= exponent <= 1:
        exponent = 0
    else:
        axes.set_title(rf"$\times10^{{{exponent}}}$", loc="left", **style.SMALL)
    labels = [f"{tick / 10**exponent:.3g}".replace("-", MINUS) for tick in ticks]
    bar.set_ticks(ticks, labels=labels)
    bar.ax.minorticks_off()
    bar.ax.tick_params(length=1.5)
    bar.outline.set_linewidth(0.6)


def _round_down(value: float) -> float:
    """The largest of 1, 2, 5, 10, 20, … that does not exceed the value."""
    power = 10.0 ** math.floor(math.log10(value))
    return power * max(digit for digit in (1, 2, 5) if digit * power <= value * (1 + 1e-12))
