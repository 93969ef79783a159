"""A canvas for diagrams with real matrices in them: what figures 1 and 2 have in common.

All lengths are inches from the lower left corner of the figure.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from icl_contrastive.artifacts.tables import Array, Table
from icl_contrastive.figures import style
from icl_contrastive.figures.axes import place
from icl_contrastive.figures.heatmap import positive_scale, signed_scale

Point = tuple[float, float]
Matrices = dict[str, Array]

# A diagram shows patterns: the few largest entries may saturate.
_SATURATED = 0.98

_NAMES = (
    *("H", "K", "V", "Q", "attention", "h_hat"),
    *("phi_K", "phi_q", "W_0", "W_hat", "y_hat_before", "y_hat_after", "y_test"),
)


def read_diagram(diagram: Table) -> Matrices:
    """The matrices of one prompt by name, tokens as columns."""
    return {name: diagram.matrix(matrix=name) for name in _NAMES}


@dataclass(frozen=True)
class Box:
    """A rectangle on the canvas, with the points that arrows and labels attach to."""

    left: float
    bottom: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.left + self.width

    @property
    def top(self) -> float:
        return self.bottom + self.height

    @property
    def center(self) -> Point:
        return self.left + self.width / 2, self.bottom + self.height / 2

    def on_left(self, share: float = 0.5, gap: float = 0.03) -> Point:
        """A point on the left side, `share` of the way up."""
        return self.left - gap, self.bottom + share * self.height

    def on_right(self, share: float = 0.5, gap: float = 0.03) -> Point:
        """A point on the right side, `share` of the way up."""
        return self.right + gap, self.bottom + share * self.height

    def on_top(self, share: float = 0.5, gap: float = 0.03) -> Point:
        """A point on the upper side, `share` of the way to the right."""
        return self.left + share * self.width, self.top + gap

    def on_bottom(self, share: float = 0.5, gap: float = 0.03) -> Point:
        """A point on the lower side, `share` of the way to the right."""
        return self.left + share * self.width, self.bottom - gap


class Canvas:
    """One page-wide figure to draw boxes, matrices, arrows and text on."""

    def __init__(self, height: float) -> None:
        self.figure = Figure(figsize=(style.PAGE_WIDTH, height))
        self._axes: Axes = self.figure.add_axes((0, 0, 1, 1))
        self._axes.set_axis_off()
        self._height = height
        self._fix_limits()

    def _fix_limits(self) -> None:
        self._axes.set(xlim=(0, style.PAGE_WIDTH), ylim=(0, self._height))

    def panel(self, box: Box, title: str, color: str) -> None:
        """A tinted area that groups what is drawn on it."""
        self._round(box, 0.06, facecolor=(color, 0.08), edgecolor=(color, 0.6))
        self.text((box.center[0], box.top - 0.13), title, weight="bold")

    def matrix(self, matrix: Array, box: Box, label: str, *, like: tuple[Array, ...] = ()) -> Box:
        """A matrix as an image with its name above; `like` are matrices to share the scale with.

        Signed matrices run from blue to red, non-negative ones from light to dark.
        """
        signed = bool(matrix.min() < 0)
        sizes = np.abs(np.concatenate([other.ravel() for other in (matrix, *like)]))
        limit = np.quantile(sizes, _SATURATED)[None]
        self._axes.imshow(
            matrix,
            norm=signed_scale(limit) if signed else positive_scale(limit),
            cmap=style.SIGNED_MAP if signed else style.SEQUENTIAL_MAP,
            extent=(box.left, box.right, box.bottom, box.top),
            aspect="auto",
            interpolation="nearest",
        )
        self._fix_limits()
        self.frame(box, style.BLACK, 0.5)
        self.text((box.center[0], box.top + 0.03), label, va="bottom")
        return box

    def frame(self, box: Box, color: str, width: float = 1.0) -> None:
        """An outline, of a matrix or of some of its columns."""
        self._axes.add_patch(
            Rectangle(
                (box.left, box.bottom),
                box.width,
                box.height,
                fill=False,
                edgecolor=color,
                linewidth=width,
                zorder=3,
            )
        )

    def arrow(self, start: Point, end: Point, bend: float = 0.0, **look: Any) -> None:
        """An arrow; `bend` curves it, positive to the right of its direction."""
        settings: dict[str, Any] = {"color": style.DARK_GREY, "arrowstyle": "-|>"} | look
        self._axes.add_patch(
            FancyArrowPatch(
                start,
                end,
                connectionstyle=f"arc3,rad={bend}",
                mutation_scale=6,
                shrinkA=0,
                shrinkB=0,
                linewidth=0.8,
                zorder=4,
                **settings,
            )
        )

    def node(self, box: Box, text: str) -> Box:
        """A formula in a box that arrows can start and end at."""
        self._round(box, 0.03, facecolor="white", edgecolor=style.DARK_GREY, zorder=4)
        self.text(box.center, text)
        return box

    def _round(self, box: Box, corner: float, **look: Any) -> None:
        self._axes.add_patch(
            FancyBboxPatch(
                (box.left + corner, box.bottom + corner),
                box.width - 2 * corner,
                box.height - 2 * corner,
                boxstyle=f"round,pad={corner}",
                linewidth=0.6,
                **look,
            )
        )

    def text(self, at: Point, text: str, **look: Any) -> None:
        """Text, centered on a point unless told otherwise."""
        settings: dict[str, Any] = {"ha": "center", "va": "center", "zorder": 5} | look
        self._axes.text(*at, text, **settings)

    def axes(self, box: Box) -> Axes:
        """Axes of their own on a part of the canvas."""
        return place(self.figure, box.left, box.bottom, box.width, box.height)
