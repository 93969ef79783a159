"""What each decision does that the paper leaves open, one changed at a time.

Config: empty. Tables: ``ablations``.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from icl_contrastive.artifacts.tables import Table
from icl_contrastive.command import Config
from icl_contrastive.figures import style
from icl_contrastive.figures.axes import use_log_scale
from icl_contrastive.figures.dots import draw_dots
from icl_contrastive.figures.wording import Numbers, number

# Columns, titles, and whether the ticks are powers of ten.
_PANELS = (
    ("train_mse", "training error", False),
    ("test_mse", "held-out error", False),
    ("equivalence_error", "layer to reference model,\nrelative difference", True),
    ("weight_error", "estimate to exact softmax,\ndistance of the weights", False),
)
_NAMES = {
    "base": "as configured",
    "normalization": "keys and queries",
    "init": "initial weights",
    "init_scale": "their factor",
    "omega": "features drawn",
    "prompts": "prompts",
    "batch": "prompts per step",
    "runs": "runs",
    "decay": "decay in single steps",
    "negatives": "negatives",
}
_VALUES = {"every_step": "in full", "section_5.5": "section 5.5", "eq18": "Eq. 18"}
_ROW = 0.19  # inches


def draw(config: Config, ablations: Table) -> Figure:
    """A row for each value: every run as a dot, the median over the runs as a bar."""
    rows = list(
        dict.fromkeys(zip(ablations.rows["decision"], ablations.rows["value"], strict=True))
    )
    figure = Figure(figsize=(style.PAGE_WIDTH, _ROW * len(rows) + 0.8), layout="constrained")
    panels = figure.subplots(1, len(_PANELS), sharey=True)
    for axes, (column, title, powers) in zip(panels, _PANELS, strict=True):
        _draw_panel(axes, ablations, rows, column)
        axes.set_title(title)
        use_log_scale(axes, "x")
        if powers:
            axes.xaxis.set_major_locator(LogLocator(numticks=4))
            axes.xaxis.set_major_formatter(lambda value, _: f"$10^{{{np.log10(value):.0f}}}$")
    panels[0].set_yticks(range(len(rows)), [_label(*row) for row in rows])
    panels[0].set_ylim(len(rows) - 0.5, -0.5)
    return figure


def _label(decision: str, value: str) -> str:
    if decision == "base":
        return _NAMES[decision]
    return f"{_NAMES.get(decision, decision)}: {_VALUES.get(value, value.replace('_', ' '))}"


def _draw_panel(axes: Axes, ablations: Table, rows: list[tuple[str, str]], column: str) -> None:
    before = ""
    for place, (decision, value) in enumerate(rows):
        one = ablations.where(decision=decision, value=value)
        values = one.array(column)
        default = one.rows["default"].iloc[0] == "True"
        draw_dots(axes, values, place, style.BLUE if default else style.VERMILLION)
        if decision == "base":
            axes.axvline(np.median(values), color=style.BLUE, linewidth=0.7, alpha=0.5)
        if decision != before and place:
            axes.axhline(place - 0.5, color=style.GREY, alpha=0.3, linewidth=0.5)
        before = decision
    axes.tick_params(axis="y", length=0)


def caption_numbers(config: Config, ablations: Table) -> Numbers:
    """Median held-out errors relative to the base: the lowest and the highest."""
    rows = ablations.rows.assign(name=ablations.rows["decision"] + " " + ablations.rows["value"])
    errors = rows.groupby("name")["test_mse"].median()
    (base,) = rows.loc[rows["decision"] == "base", "name"].unique()
    changes = (errors.drop(base) / errors[base]).sort_values(kind="stable")
    named = [f"{number(ratio)} ({str(name).replace('_', ' ')})" for name, ratio in changes.items()]
    return {
        "base": number(errors[base]),
        "lowest": ", ".join(named[:2]),
        "highest": ", ".join(named[-3:]),
    }
