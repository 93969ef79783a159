"""How many random features each head of a network needs, as it was trained and balanced.

Config: empty. Tables: ``heads``.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from icl_contrastive.artifacts.tables import Table
from icl_contrastive.command import Config
from icl_contrastive.figures import style
from icl_contrastive.figures.heatmap import draw_matrix
from icl_contrastive.figures.wording import Numbers, many, number

_ROWS = {"log10_d_r_positive": "as trained", "log10_d_r_balanced": "balanced"}
_CELL = 0.17  # inches, a head high
_LEAST = 4  # cells that a grid is as high as, whatever it has
_DARK = 0.5  # where colors need white text


def draw(config: Config, heads: Table) -> Figure:
    """A column of grids for each network, layers down and heads across, log₁₀ d_r in each cell."""
    networks = heads.rows["network"].unique()
    sizes = [heads.where(network=name).rows[["layer", "head"]].max() for name in networks]
    height = _CELL * max(_LEAST, *(size["layer"] for size in sizes)) + 0.35
    figure = Figure(figsize=(style.PAGE_WIDTH, height * len(_ROWS) + 0.3), layout="constrained")
    panels = figure.subplots(
        len(_ROWS),
        len(networks),
        squeeze=False,
        gridspec_kw={"width_ratios": [size["head"] for size in sizes]},
    )
    everything = np.concatenate([heads.array(column) for column in _ROWS])
    scale = PowerNorm(0.5, everything.min(), max(everything.max(), everything.min() + 1))
    for row, (column, title) in zip(panels, _ROWS.items(), strict=True):
        for axes, name in zip(row, networks, strict=True):
            image = _draw_grid(axes, heads.where(network=name), column, scale)
            axes.set_title(f"{name}, {title}")
    for axes in panels[-1]:
        axes.set_xlabel("head")
    for axes in panels[:, 0]:
        axes.set_ylabel("layer")
    bar = figure.colorbar(
        image, ax=panels, label=r"features needed, $\log_{10} d_r$", aspect=40, pad=0.01
    )
    bar.outline.set_linewidth(0.6)
    return figure


def _draw_grid(axes: Axes, heads: Table, column: str, scale: Normalize) -> AxesImage:
    values = heads.pivot("layer", "head", column).to_numpy(np.float64)
    image = draw_matrix(axes, values, scale, style.SEQUENTIAL_MAP)
    for (layer, head), value in np.ndenumerate(values):
        color = "white" if scale(value) > _DARK else "black"
        axes.text(head, layer, f"{value:.1f}", ha="center", va="center", color=color, fontsize=5)
    layers, count = values.shape
    axes.set_xticks(np.arange(count))
    axes.set_yticks(np.arange(layers))
    return image


def caption_numbers(config: Config, heads: Table) -> Numbers:
    """By network the median head's d_r, and in how many heads balancing needs fewer."""
    described = []
    for name in heads.rows["network"].unique():
        one = heads.where(network=name)
        before, after = (one.array(column) for column in _ROWS)
        fewer = f"{(after < before).sum()} of {many(len(after), 'head')}"
        medians = [features(float(np.median(one))) for one in (before, after)]
        described.append(
            f"{name}: {medians[0]} as trained and {medians[1]} balanced in the median head, and "
            f"fewer by balancing in {fewer}"
        )
    error = heads.array("equivalence_error").max()
    return {"networks": "; ".join(described), "error": number(error)}


def features(log10: float) -> str:
    """A d_r of which the logarithm is given, to two digits."""
    return number(10**log10) if log10 < 300 else f"10^{log10:.0f}"
