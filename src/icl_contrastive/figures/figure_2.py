"""Figure 2: the gradient descent of in-context learning follows a contrastive pattern.

Two augmentations of every demonstration, and how the descent pulls each positive pair together.
Config: not used, the table says it all. Tables: ``diagram``.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from icl_contrastive.artifacts.tables import Array, Table
from icl_contrastive.command import Config
from icl_contrastive.figures import style
from icl_contrastive.figures.diagram import Box, Canvas, Matrices, read_diagram
from icl_contrastive.figures.wording import Numbers, fixed

KEYS = ("setting", "variant", "run", "prompt")

# Inches.
_HEIGHT = 3.2
_TOKENS = 0.84
_COORDINATES = 0.6
_FEATURES = 0.84


def draw(config: Config, diagram: Table) -> Figure:
    """The two branches with the run's matrices (left), the cosine of every pair (right)."""
    matrices = read_diagram(diagram)
    chosen = (matrices["H"].shape[1] - 1) // 2
    canvas = Canvas(_HEIGHT)
    _draw_branches(canvas, matrices, chosen)
    _draw_cosines(canvas.axes(Box(5.86, 0.42, 1.05, 2.3)), matrices, chosen)
    return canvas.figure


def _draw_branches(canvas: Canvas, matrices: Matrices, chosen: int) -> None:
    """h_i → W_K h_i → φ → W → ŷ^(i), and h_i → W_V h_i = y^(i), its positive."""
    canvas.panel(Box(2.36, 1.02, 2.98, 2.13), "", style.VERMILLION)
    count = matrices["H"].shape[1] - 1
    boxes = [
        canvas.matrix(matrices[name][:, :count], Box(left, bottom, _TOKENS, height), label)
        for name, left, bottom, height, label in (
            ("H", 0.1, 1.3, _COORDINATES, r"$[\boldsymbol{h}_1, \ldots, \boldsymbol{h}_N]$"),
            ("K", 1.44, 1.86, _COORDINATES, r"$\boldsymbol{W}_K\boldsymbol{h}_i$"),
            ("phi_K", 2.66, 1.74, _FEATURES, r"$\phi(\boldsymbol{W}_K\boldsymbol{h}_i)$"),
            ("y_hat_before", 4.06, 2.3, _COORDINATES, r"$\hat{\boldsymbol{y}}^{(i)}$ before"),
            ("y_hat_after", 4.06, 1.22, _COORDINATES, r"$\hat{\boldsymbol{y}}^{(i)}$ after"),
            ("V", 4.06, 0.1, _COORDINATES, ""),
        )
    ]
    tokens, keys, features, before, after, labels = boxes
    for box in boxes:
        width = box.width / count
        canvas.frame(Box(box.left + chosen * width, box.bottom, width, box.height), style.BLACK)

    canvas.arrow(tokens.on_right(0.8), keys.on_left())
    canvas.text((1.1, 2.1), r"$\boldsymbol{W}_K$")
    canvas.arrow(keys.on_right(), features.on_left())
    canvas.text(((keys.right + features.left) / 2 + 0.03, keys.center[1] + 0.1), r"$\phi$")
    canvas.arrow(features.on_right(0.7), before.on_left())
    canvas.text((3.74, 2.6), r"$\boldsymbol{W}_0$")
    canvas.arrow(features.on_right(0.3), after.on_left())
    canvas.text((3.74, 1.62), r"$\widehat{\boldsymbol{W}}$")
    model = "reference model\n"
    model += r"$f(\boldsymbol{x}) = \boldsymbol{W}\phi(\boldsymbol{x})$"
    canvas.text((3.08, 1.3), model)
    canvas.arrow(before.on_right(), after.on_right(), bend=-0.2)
    step = r"$-\,\eta\,\partial\mathcal{L}/\partial\boldsymbol{W}$"
    canvas.text((5.21, (before.center[1] + after.center[1]) / 2), step, rotation=270)
    canvas.arrow(tokens.on_bottom(), labels.on_left(), bend=0.25)
    canvas.text((1.9, 0.38), r"$\boldsymbol{W}_V$")
    canvas.text(
        (3.5, 0.62), r"$\boldsymbol{y}_\mathrm{std}^{(i)} = \boldsymbol{W}_V\boldsymbol{h}_i$"
    )
    pair_bottom, pair_top = labels.on_top(), after.on_bottom()
    canvas.arrow(pair_bottom, pair_top, arrowstyle="<|-|>", color=style.BLACK)
    beside = pair_top[0] + 0.08, (pair_bottom[1] + pair_top[1]) / 2 - 0.06
    canvas.text(beside, "positive pair", ha="left")


def _draw_cosines(axes: Axes, matrices: Matrices, chosen: int) -> None:
    """The cosines of every demonstration, before and after the descent."""
    before, after = _cosines(matrices)
    index = np.arange(1, len(before) + 1)
    axes.axvline(0, color=style.GREY, linewidth=0.5)
    axes.hlines(index, before, after, color=style.GREY, linewidth=0.6)
    for values, name, marker, color in (
        (before, "before", "o", "white"),
        (after, "after", "s", style.VERMILLION),
    ):
        axes.plot(
            values,
            index,
            linestyle="none",
            marker=marker,
            markersize=3.5,
            color=style.BLACK,
            markerfacecolor=color,
            markeredgewidth=0.6,
            label=name,
        )
    axes.set_xlim(-1.05, 1.05)
    axes.set_ylim(len(before) + 0.7, 0.3)
    axes.set_yticks(sorted({1, chosen + 1, len(before)}))
    axes.set_ylabel("demonstration $i$")
    axes.set_xlabel(r"$\cos(\hat{\boldsymbol{y}}^{(i)}, \boldsymbol{y}_\mathrm{std}^{(i)})$")
    axes.legend(
        loc="lower center",
        bbox_to_anchor=(0.45, 1.0),
        ncols=2,
        columnspacing=1.0,
        handletextpad=0.1,
    )


def _cosines(matrices: Matrices) -> list[Array]:
    """cos(ŷ^(i), y^(i)) of the demonstrations before and after the descent, (N,) each."""
    labels = matrices["V"][:, :-1]
    found = []
    for predictions in (matrices["y_hat_before"], matrices["y_hat_after"]):
        lengths = np.linalg.norm(predictions, axis=0) * np.linalg.norm(labels, axis=0)
        found.append(np.asarray((predictions * labels).sum(0) / lengths))
    return found


def caption_numbers(config: Config, diagram: Table) -> Numbers:
    """Mean cosine of the pairs before and after the step, and how many of them rise."""
    before, after = _cosines(read_diagram(diagram))
    return {
        "before": fixed(before.mean(), 2),
        "after": fixed(after.mean(), 2),
        "rises": str(int((after > before).sum())),
        "pairs": str(len(after)),
    }
