"""What longer training does to the predictions and to the estimate of the softmax.

Config: ``epochs``, those of the other figures by setting. Tables: ``training_length``.
"""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from icl_contrastive.artifacts.tables import Table
from icl_contrastive.command import Config
from icl_contrastive.figures import style
from icl_contrastive.figures.axes import use_log_scale
from icl_contrastive.figures.curves import draw_curve
from icl_contrastive.figures.wording import Numbers, number, percent

KEYS = ("epochs",)

# By title the columns with their names; what is no share of 1 is drawn on a logarithmic axis.
_PANELS = {
    r"median $|\hat{y} - y|$": {
        "absolute_error": "as trained",
        "absolute_error_exact": "exact softmax instead",
    },
    "mean squared error": {"test_mse": "held-out", "train_mse": "training"},
    "weight of the query on itself": {"query_weight": ""},
    "error of the estimated softmax": {
        "relative_deviation": "relative s.d. of an entry",
        "weight_error": "distance of the weights",
    },
}
_LINES: tuple[Any, ...] = ("-", (0, (4, 1.5)))  # of a panel's first and second column


def draw(config: Config, training_length: Table) -> Figure:
    """Each quantity against the epoch: median over the runs, band between the quartiles."""
    settings = list(training_length.rows["setting"].unique())
    colors = dict(zip(settings, style.hues(len(settings)), strict=True))
    figure = Figure(figsize=(style.PAGE_WIDTH, 3.7), layout="constrained")
    panels = figure.subplots(2, 2, sharex=True)
    for axes, (title, columns) in zip(panels.flat, _PANELS.items(), strict=True):
        named: dict[str, Any] = {}
        for setting, color in colors.items():
            rows = training_length.where(setting=setting)
            for (column, name), line in zip(columns.items(), _LINES, strict=False):
                if np.isfinite(rows.array(column)).all():
                    draw_curve(axes, rows, "epoch", column, "run", color=color, linestyle=line)
                    named |= {name: line} if name else {}
            axes.axvline(config["epochs"][setting], color=color, lw=0.7, linestyle=":", zorder=0)
        if "query_weight" in columns:
            axes.set_ylim(bottom=0)
        else:
            use_log_scale(axes)
        if named:
            axes.legend(
                [Line2D([], [], color=style.DARK_GREY, linestyle=line) for line in named.values()],
                list(named),
            )
        axes.set_title(title)
        axes.margins(x=0 if training_length.rows["epoch"].nunique() > 1 else 0.1)
    for axes in panels[-1]:
        use_log_scale(axes, "x")
        axes.set_xlabel("epoch")
    figure.legend(
        [Line2D([], [], color=color) for color in colors.values()],
        settings,
        loc="outside upper center",
        ncols=max(1, int(style.PAGE_WIDTH / (0.5 + 0.06 * max(map(len, settings))))),
    )
    return figure


def caption_numbers(config: Config, training_length: Table) -> Numbers:
    """In the table's first setting, at the other figures' last epoch (or before) and at the end."""
    setting = str(training_length.rows["setting"].iloc[0])
    rows = training_length.where(setting=setting).rows
    medians = rows.drop(columns="setting").groupby("epoch").median()
    epochs = config["epochs"][setting]
    usual = max(medians.index[medians.index <= epochs], default=medians.index.min())
    numbers = {"setting": setting}
    for name, epoch in (("usual", usual), ("last", medians.index.max())):
        at = medians.loc[epoch]
        numbers |= {
            f"{name}_epoch": str(epoch),
            f"{name}_error": number(at["absolute_error"]),
            f"{name}_error_exact": number(at["absolute_error_exact"]),
            f"{name}_weight": percent(at["query_weight"]),
            f"{name}_deviation": number(at["relative_deviation"]),
            f"{name}_distance": percent(at["weight_error"]),
        }
    return numbers
