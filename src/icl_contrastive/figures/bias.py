"""What the squared error of the estimated attention consists of: bias and variance by d_r.

Config: ``setting`` and ``d_r``, the number of features used elsewhere. Tables: ``attention_bias``.
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from icl_contrastive.artifacts.files import ArtifactError
from icl_contrastive.artifacts.tables import Table
from icl_contrastive.command import Config
from icl_contrastive.figures import style
from icl_contrastive.figures.axes import scale_by_d_r
from icl_contrastive.figures.wording import Numbers, many, number, percent

KEYS = ("setting", "d_r")

# Part, its label, color and marker; the power of d_r with which that of a ratio falls, and its law.
_PARTS = (
    ("variance", "variance", style.BLUE, "o", -1, r"$\propto 1/d_r$"),
    ("bias2", "bias²", style.VERMILLION, "s", -2, r"$\propto 1/d_r^2$"),
)


def draw(config: Config, attention_bias: Table) -> Figure:
    """The attention (left) and the output (right)."""
    figure = Figure(figsize=(style.PAGE_WIDTH, 2.4), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, matrix in zip(panels, ("attention", "output"), strict=True):
        _draw_parts(axes, of_layers(config, attention_bias, matrix), config["d_r"])
        axes.set_ylabel(f"squared error of the {matrix} matrix")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    return figure


def of_layers(config: Config, attention_bias: Table, matrix: str) -> Table:
    """Of the layers' own law of ω; raises ArtifactError where there was a single draw."""
    rows = attention_bias.where(setting=config["setting"], trained="True", matrix=matrix)
    if rows.rows["variance"].isna().any():
        raise ArtifactError(
            f"{rows.path}: of a single draw there is no variance; set approximation.draws to 2 or "
            "more"
        )
    return rows


def _draw_parts(axes: Axes, rows: Table, d_r_used: int) -> None:
    """Means over runs and prompts as lines, those of each run as dots, and the expected slopes.

    A mean that is not positive, as an unbiased one of a square can be, has no place on the axis.
    """
    guides = []
    for part, label, color, marker, exponent, law in _PARTS:
        of_runs = rows.rows.groupby(["d_r", "run"])[part].mean().unstack()
        d_r, mean = of_runs.index.to_numpy(np.float64), of_runs.mean(axis=1).to_numpy()
        seen = of_runs.where(of_runs > 0)
        look: dict[str, Any] = {"color": color, "marker": marker}
        axes.plot(d_r, seen, **look, linestyle="none", markersize=2, markeredgewidth=0, alpha=0.4)
        shown = np.where(mean > 0, mean, np.nan)
        axes.plot(d_r, shown, **look, label=label)
        # Where half of the positive means lie on either side: a single one may be off by far.
        if (mean > 0).any():
            level = np.nanmedian(shown / d_r**exponent)
            guides.append((d_r, level * d_r**exponent, color, law))
    scale_by_d_r(axes, d_r_used, linestyle="--")
    for d_r, guide, color, law in guides:
        axes.plot(d_r, guide, color=color, linewidth=0.7, linestyle=":", label=law, zorder=1)


def caption_numbers(config: Config, attention_bias: Table) -> Numbers:
    """Of the layers' d_r: the parts' means over runs and prompts, and the share of the bias."""
    numbers = {"d_r": f"{config['d_r']:,}"}
    for matrix in ("attention", "output"):
        rows = of_layers(config, attention_bias, matrix)
        means = rows.where(d_r=config["d_r"]).rows[["bias2", "variance"]].mean()
        share = float(means["bias2"] / means.sum())
        numbers |= {f"{matrix}_{part}": number(float(mean)) for part, mean in means.items()}
        numbers[f"{matrix}_share"] = percent(share)
        below = (rows.rows.groupby("d_r")["bias2"].mean() <= 0).sum()
        numbers[f"{matrix}_below_zero"] = many(int(below), "value of d_r", "values of d_r")
    numbers["runs"] = many(rows.rows["run"].nunique(), "run")
    return numbers
