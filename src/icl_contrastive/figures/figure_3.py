"""Figure 3: the descent reaches the layer's prediction; the estimate's errors fall with d_r.

Config: ``setting, variant, run`` and ``d_r``, the number of features used elsewhere.
Tables: ``trajectory, approximation``.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from icl_contrastive.artifacts.tables import Table
from icl_contrastive.command import Config
from icl_contrastive.figures import style
from icl_contrastive.figures.axes import scale_by_d_r
from icl_contrastive.figures.curves import draw_curve
from icl_contrastive.figures.trajectory import descent_numbers, draw_descent, read_descent
from icl_contrastive.figures.wording import Claimed, Numbers, number

KEYS = ("setting", "variant", "run", "d_r")

# Error, its label, color, marker and line; the power of d_r with which it falls if d_r is large.
_ERRORS = (
    ("mae", "MAE", style.VERMILLION, "s", (0, (4, 1.5)), -0.5, r"$\propto 1/\sqrt{d_r}$"),
    ("mse", "MSE", style.BLUE, "o", "-", -1.0, r"$\propto 1/d_r$"),
)
_SPREAD = 80


def draw(config: Config, trajectory: Table, approximation: Table) -> Figure:
    """The descent (left), the errors of the attention (center) and of the output (right)."""
    figure = Figure(figsize=(style.PAGE_WIDTH, 2.4), layout="constrained")
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
    for column, label, color, marker, line, _, _ in _ERRORS:
        look = {"color": color, "marker": marker, "linestyle": line, "label": label}
        draw_curve(axes, errors, "d_r", column, "repeat", "mean", _SPREAD, band=0.2, **look)
    scale_by_d_r(axes, d_r_used, linestyle=":", label=rf"$d_r = {d_r_used}$")
    for column, _, color, _, _, exponent, law in _ERRORS:
        mean = errors.rows.groupby("d_r")[column].mean()
        d_r = mean.index.to_numpy(dtype=np.float64)
        # Through the last point, since the law is an asymptote.
        guide = mean.iloc[-1] * (d_r / d_r[-1]) ** exponent
        axes.plot(d_r, guide, color=color, linewidth=0.6, label=law, zorder=1)
    _draw_legend(axes)


def _draw_legend(axes: Axes) -> None:
    """Above the panel: each error beside its guide."""
    entries = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    labels = [label for _, error, *_, law in _ERRORS for label in (error, law)]
    labels += [label for label in entries if label not in labels]
    axes.legend(
        [entries[label] for label in labels],
        labels,
        loc="lower center",
        bbox_to_anchor=(0.45, 0.98),
        ncols=3,
        columnspacing=1.0,
        handlelength=2.0,
    )


def caption_numbers(
    config: Config, trajectory: Table, approximation: Table, claims: Claimed
) -> Numbers:
    """Of the descent, and of the errors their first, last and slope."""
    place = claims["quoted_prompt_n15"]
    numbers = descent_numbers(config, trajectory, -0.5927, -0.6490, place)
    for matrix in ("attention", "output"):
        rows = approximation.where(setting=config["setting"], matrix=matrix).rows
        means = rows.groupby("d_r")["mse"].mean()
        for end, row in (("first", 0), ("last", -1)):
            numbers[f"{end}_d_r"] = f"{means.index[row]:,}"
            numbers[f"{matrix}_mse_{end}"] = number(means.iloc[row])
        for error in ("mse", "mae"):
            numbers[f"{matrix}_{error}_slope"] = number(claims[f"{matrix}_{error}_falls"])
    return numbers
