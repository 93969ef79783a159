"""Theorem 2's reading: the cosine similarity of the positive pairs along the descent.

Config: ``setting, variant``. Tables: ``trajectory``.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from icl_contrastive.artifacts.tables import Array, Table
from icl_contrastive.command import Config
from icl_contrastive.figures import style
from icl_contrastive.figures.trajectory import of_variant
from icl_contrastive.figures.wording import Numbers, fixed, many, percent

KEYS = ("setting", "variant")

_BANDS = ((0.05, 0.95, 0.18), (0.25, 0.75, 0.32))
_BIN_WIDTH = 0.05


def draw(config: Config, trajectory: Table) -> Figure:
    """The mean cosine of a prompt's N pairs: along the steps (left), at both ends (right)."""
    grid = _cosines(config, trajectory)
    steps = grid.index.to_numpy(dtype=np.float64)
    cosines = grid.to_numpy(dtype=np.float64)

    figure = Figure(figsize=(style.PAGE_WIDTH, 2.3), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.8, 1), sharey=True)
    for low, high, opacity in _BANDS:
        left.fill_between(
            steps,
            np.quantile(cosines, low, axis=1),
            np.quantile(cosines, high, axis=1),
            color=style.VERMILLION,
            alpha=opacity,
            linewidth=0,
            label=f"{low:.0%}–{high:.0%}",
        )
    left.plot(steps, np.median(cosines, axis=1), color=style.VERMILLION, label="median")
    left.set_xlim(steps[0], steps[-1])
    left.set_xlabel("gradient step (one demonstration each)")
    left.set_ylabel(
        r"$\cos(\hat{\boldsymbol{y}}^{(i)}, \boldsymbol{y}_\mathrm{std}^{(i)})$, mean over $i$"
    )
    left.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    _draw_ends(right, cosines[0], cosines[-1])
    return figure


def _cosines(config: Config, trajectory: Table) -> pd.DataFrame:
    """Steps by runs and prompts."""
    rows = of_variant(config, trajectory, "single_sample")
    return rows.pivot("step", ["run", "prompt"], "cosine")


def _draw_ends(axes: Axes, start: Array, end: Array) -> None:
    """Histograms of the first and the last cosine over runs and prompts, with their medians."""
    low = np.floor(min(start.min(), end.min()) / _BIN_WIDTH) * _BIN_WIDTH
    edges = np.arange(low, 1.0 + _BIN_WIDTH / 2, _BIN_WIDTH)
    for values, name, color, line, filled in (
        (start, "before", style.DARK_GREY, (0, (3, 1)), False),
        (end, "after", style.VERMILLION, "-", True),
    ):
        axes.hist(
            values,
            bins=edges.tolist(),
            orientation="horizontal",
            histtype="stepfilled" if filled else "step",
            edgecolor=color,
            facecolor=(color, 0.25),
            linestyle=line,
            linewidth=1.0,
            label=rf"{name}, median ${np.median(values).round(2) + 0.0:.2f}$",
        )
    axes.set_xlabel("prompts")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)


def caption_numbers(config: Config, trajectory: Table) -> Numbers:
    """Medians of the cosine before and after the descent, and how often it rises."""
    grid = _cosines(config, trajectory)
    before, after = grid.iloc[[0, -1]].to_numpy(np.float64)
    return {
        "before": fixed(np.median(before), 2),
        "after": fixed(np.median(after), 2),
        "rises": percent((after > before).mean()),
        "prompts": many(len(after), "prompt"),
        "runs": many(grid.columns.get_level_values("run").nunique(), "run"),
    }
