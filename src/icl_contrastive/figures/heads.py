"""How many random features each head of a network needs, as it was trained and balanced.

Config: empty. Tables: ``heads``.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from icl_contrastive.artifacts.tables import Table
from icl_contrastive.command import Config
from icl_contrastive.figures import style
from icl_contrastive.figures.command import main
from icl_contrastive.figures.wording import Numbers, many, number

_ROWS = {"log10_d_r_positive": "as trained", "log10_d_r_balanced": "balanced"}
_CELL = 0.17  # inches, a head high


def draw(config: Config, heads: Table) -> Figure:
    """A column of panels for each network, layers down and heads across; log₁₀ d_r in each cell."""
    scale = Normalize(0, max(heads.array(column).max() for column in _ROWS))
    return draw_grids(
        heads, dict.fromkeys(_ROWS, scale), _ROWS, "features needed, as powers of ten"
    )


def draw_grids(
    heads: Table,
    scales: dict[str, Normalize],
    titles: dict[str, str],
    label: str,
    decimals: int = 1,
) -> Figure:
    """A row of panels for each column of the table, a column for each network.

    Args:
        heads: the table.
        scales: of the colors, by column.
        titles: of the rows, by column.
        label: of the colors.
        decimals: of the numbers in the cells.
    """
    networks = list(dict.fromkeys(heads.rows["network"]))
    sizes = [heads.where(network=name).rows[["layer", "head"]].max() for name in networks]
    height = _CELL * max(size["layer"] for size in sizes) + 0.35
    figure = Figure(figsize=(style.PAGE_WIDTH, height * len(titles) + 0.3), layout="constrained")
    panels = figure.subplots(
        len(titles),
        len(networks),
        squeeze=False,
        gridspec_kw={"width_ratios": [size["head"] for size in sizes]},
    )
    for row, (column, title) in enumerate(titles.items()):
        for axes, name in zip(panels[row], networks, strict=True):
            image = _draw_grid(axes, heads.where(network=name), column, scales[column], decimals)
            axes.set_title(f"{name}, {title}")
    for axes in panels[-1]:
        axes.set_xlabel("head")
    for axes in panels[:, 0]:
        axes.set_ylabel("layer")
    bar = figure.colorbar(image, ax=panels, label=label, aspect=40, pad=0.01)
    bar.outline.set_linewidth(0.6)
    return figure


def _draw_grid(axes: Axes, heads: Table, column: str, scale: Normalize, decimals: int) -> AxesImage:
    values = heads.pivot("layer", "head", column).to_numpy(np.float64)
    image = axes.imshow(
        values, norm=scale, cmap=style.SEQUENTIAL_MAP, aspect="auto", interpolation="nearest"
    )
    for (layer, head), value in np.ndenumerate(values):
        color = "white" if scale(value) > 0.5 else "black"
        text = f"{value:.{decimals}f}"
        axes.text(head, layer, text, ha="center", va="center", color=color, fontsize=5)
    layers, count = values.shape
    axes.set_xticks(range(count), range(1, count + 1))
    axes.set_yticks(range(layers), range(1, layers + 1))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(True)
    return image


def caption_numbers(config: Config, heads: Table) -> Numbers:
    """By network the median head's d_r, and in how many heads balancing needs fewer."""
    described = []
    for name in dict.fromkeys(heads.rows["network"]):
        one = heads.where(network=name)
        before, after = (one.array(column) for column in _ROWS)
        fewer = int((after < before).sum())
        described.append(
            f"{name}: {features(float(np.median(before)))} as trained and "
            f"{features(float(np.median(after)))} balanced, in the median head; balancing needs fewer "
            f"in {fewer} of {many(len(after), 'head')}"
        )
    error = heads.array("equivalence_error").max()
    return {"networks": "; ".join(described), "error": number(error)}


def features(log10: float) -> str:
    """A d_r of which the logarithm is given, to two digits."""
    return number(10**log10) if log10 < 300 else f"10^{log10:.0f}"


if __name__ == "__main__":
    main(draw)
