"""Multi-task scenario (A.3): learning curves beside those of the single task.

Config: ``setting`` (a new task for each prompt), ``base`` (the setting with one task), ``variant``
and ``task``, which holds ``d_x`` and ``d_y``. Tables: ``pretraining``.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from icl_contrastive.artifacts.tables import Table
from icl_contrastive.command import Config
from icl_contrastive.figures import style
from icl_contrastive.figures.axes import use_log_scale
from icl_contrastive.figures.curves import draw_curve, final_errors
from icl_contrastive.figures.wording import Numbers, number, percent

KEYS = ("setting", "variant", "base", "task")

# With x ~ U(−1, 1)^{d_x}, E[x_j²] = 1/3, and with W_ij ~ N(0, 1), E[W_ij²] = 1.
_VARIANCE_OF_X = 1 / 3
_ERRORS = (("train_mse", "training", "-"), ("test_mse", "held-out", (0, (4, 1.5))))


def draw(config: Config, pretraining: Table) -> Figure:
    """Both scenarios in one panel, with the error of predicting zero."""
    figure = Figure(figsize=(style.COLUMN_WIDTH, 2.6), layout="constrained")
    axes = figure.subplots()
    many, one = (
        pretraining.where(setting=config[key], variant=config["variant"])
        for key in ("setting", "base")
    )
    _draw_scenario(axes, many, "a task per prompt", style.VERMILLION)
    zero = _error_of_zero(config)
    label = rf"predicting 0: $d_x d_y/3 = {zero:.2f}$"
    axes.axhline(zero, label=label, **style.TRUE_LINE)
    _draw_scenario(axes, one, "one task", style.BLUE)
    use_log_scale(axes)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    axes.set_ylabel("mean squared error")
    figure.legend(loc="outside upper center", ncols=2, columnspacing=1.0)
    return figure


def _error_of_zero(config: Config) -> float:
    """E‖y‖² = E‖Wx‖² = d_x · d_y · E[W_ij²] · E[x_j²]."""
    return float(config["task"]["d_x"] * config["task"]["d_y"] * _VARIANCE_OF_X)


def _draw_scenario(axes: Axes, curves: Table, scenario: str, color: str) -> None:
    """Training and held-out error of one setting."""
    for column, name, line in _ERRORS:
        label = f"{scenario}, {name}"
        draw_curve(axes, curves, "epoch", column, "run", color=color, linestyle=line, label=label)
    axes.margins(x=0)


def caption_numbers(config: Config, pretraining: Table) -> Numbers:
    """Held-out errors of both scenarios, and of predicting zero."""
    zero = _error_of_zero(config)
    numbers = {"zero": number(zero, 3)}
    for name, setting in (("many", config["setting"]), ("one", config["base"])):
        runs = pretraining.where(setting=setting, variant=config["variant"])
        median = float(np.median(final_errors(runs, "test_mse")))
        numbers |= {name: number(median), f"{name}_share": percent(median / zero)}
    return numbers
