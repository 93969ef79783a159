"""Figure 3: the descent reaches the layer's prediction; the estimate's errors fall with d_r.

Config: ``setting, variant, run, prompt`` and ``d_r``, the number of features used elsewhere.
Tables: ``trajectory, approximation``.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from icl_contrastive.figures import style
from icl_contrastive.figures.common import Array, Config, Table, main
from icl_contrastive.figures.trajectory import draw_descent, read_descent

# Error, its label, color, marker and line; the power of d_r with which the error of an unbiased
# estimate falls, and the side on which that guide leaves the curves free.
_ERRORS = (
    ("mae", "MAE", style.VERMILLION, "s", (0, (4, 1.5)), -0.5, r"$\propto 1/\sqrt{d_r}$", "above"),
    ("mse", "MSE", style.BLUE, "o", "-", -1.0, r"$\propto 1/d_r$", "below"),
)
_BAND = (0.1, 0.9)


def draw(config: Config, trajectory: Table, approximation: Table) -> Figure:
    """The descent (left), the errors of the attention (center) and of the output (right)."""
    figure = Figure(figsize=(style.PAGE_WIDTH, 2.3), layout="constrained")
    left, center, right = figure.subplots(1, 3, width_ratios=(1.25, 1, 1))
    draw_descent(left, read_descent(config, trajectory, scheme="single_sample"))
    errors = approximation.where(setting=config["setting"])
    draw_errors(center, errors.where(matrix="attention"), config["d_r"])
    draw_errors(right, errors.where(matrix="output"), config["d_r"])
    center.set_ylabel("error of the attention matrix")
    right.set_ylabel("error of the output matrix")
    return figure


def draw_errors(axes: Axes, errors: Table, d_r_used: int) -> None:
    """Mean error over the repeats against d_r, 10–90 % of the repeats, and the expected slopes."""
    axes.set_xscale("log")
    axes.set_yscale("log")
    for column, label, color, marker, line, exponent, law, side in _ERRORS:
        groups = errors.rows.groupby("d_r")[column]
        d_r = np.array(sorted(errors.rows["d_r"].unique()), dtype=np.float64)
        mean = groups.mean().to_numpy(dtype=np.float64)
        low, high = (groups.quantile(share).to_numpy(dtype=np.float64) for share in _BAND)
        axes.fill_between(d_r, low, high, color=color, alpha=0.2, linewidth=0)
        axes.plot(d_r, mean, color=color, marker=marker, linestyle=line, label=label)
        edge = np.maximum(high, mean) if side == "above" else np.minimum(low, mean)
        _draw_law(axes, d_r, edge, exponent, law, side)
    label = rf"$d_r = {d_r_used}$"
    axes.axvline(d_r_used, color=style.GREY, linewidth=0.7, linestyle=":", zorder=0, label=label)
    axes.margins(y=0.1)
    axes.set_xlabel(r"number of random features $d_r$")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, columnspacing=1.0)


def _draw_law(axes: Axes, d_r: Array, edge: Array, exponent: float, law: str, side: str) -> None:
    """A power law beside a band's edge over the last decade, where an asymptote has to hold."""
    last = d_r >= d_r[-1] / 10
    levels = edge[last] / d_r[last] ** exponent
    level = 1.5 * levels.max() if side == "above" else levels.min() / 1.5
    guide = level * d_r[last] ** exponent
    axes.plot(d_r[last], guide, color=style.DARK_GREY, linewidth=0.7, zorder=1)
    axes.annotate(
        law,
        (d_r[last][0], guide[0]),
        xytext=(0, 1) if side == "above" else (-2, 0),
        textcoords="offset points",
        ha="left" if side == "above" else "right",
        va="bottom" if side == "above" else "center",
        color=style.DARK_GREY,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
        **style.SMALL,
    )


if __name__ == "__main__":
    main(draw)
