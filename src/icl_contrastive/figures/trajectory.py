"""The descent of a reference model, step by step: what figures 3, 8 and 10 have in common."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from icl_contrastive.artifacts.tables import Array, Table
from icl_contrastive.command import Config
from icl_contrastive.figures import style
from icl_contrastive.figures.wording import Numbers, fixed, many, number, percent, scientific


@dataclass(frozen=True)
class Course:
    """One reference model's prediction at the query along its single-sample steps."""

    step: Array  # (steps + 1,)
    y_reference: Array  # (steps + 1,)
    y_layer: float
    y_true: float

    @property
    def gap(self) -> float:
        """How far from the layer's prediction it ends."""
        return abs(float(self.y_reference[-1]) - self.y_layer)


def of_variant(config: Config, trajectory: Table, scheme: str) -> Table:
    """All descents of the config's ``setting, variant`` under one scheme."""
    return trajectory.where(setting=config["setting"], variant=config["variant"], scheme=scheme)


def read_descent(config: Config, trajectory: Table, scheme: str) -> Course:
    """The descent of the config's ``setting, variant, run`` under one scheme.

    Of the run's prompts, it is the one whose prediction has the median error.
    """
    run = of_variant(config, trajectory, scheme).where(run=config["run"])
    prompts = run.where(step=0)
    order = np.argsort(np.abs(prompts.array("y_layer") - prompts.array("y_true")), kind="stable")
    median = prompts.array("prompt")[order[(len(order) - 1) // 2]]
    rows = run.where(prompt=median)
    ordered = Table(rows.path, rows.rows.sort_values("step"))
    return Course(
        step=ordered.array("step"),
        y_reference=ordered.array("y_reference"),
        y_layer=float(ordered.array("y_layer")[0]),
        y_true=float(ordered.array("y_true")[0]),
    )


def read_ends(config: Config, trajectory: Table, scheme: str) -> pd.DataFrame:
    """The last row of every descent under one scheme, and its ``gap`` to the layer's prediction."""
    rows = of_variant(config, trajectory, scheme).rows
    rows = rows.assign(gap=(rows["y_reference"] - rows["y_layer"]).abs())
    ends: pd.DataFrame = rows[rows["step"] == rows["step"].max()]
    return ends


def draw_frame(axes: Axes, descent: Course) -> None:
    """Axes of a trajectory, with the layer's prediction and the truth as horizontal lines."""
    axes.axhline(descent.y_layer, label="Transformer", zorder=2.5, **style.TRANSFORMER_LINE)
    axes.axhline(descent.y_true, label="True", zorder=1.5, **style.TRUE_LINE)
    axes.set_xlabel("gradient step (one demonstration each)")
    axes.set_ylabel(r"prediction $\hat{y}_{N+1}$")
    axes.set_xlim(descent.step[0], descent.step[-1])
    axes.margins(y=0.08)


def mark_end(axes: Axes, descent: Course, color: str) -> None:
    """A ring around the descent's last point, which would hide under the layer's line."""
    axes.plot(
        descent.step[-1],
        descent.y_reference[-1],
        marker="o",
        markersize=3.5,
        color=color,
        markerfacecolor="white",
        clip_on=False,
        zorder=5,
    )


def draw_descent(axes: Axes, descent: Course) -> None:
    """The reference model's way to the layer's prediction, and the distance left at its end."""
    axes.plot(descent.step, descent.y_reference, label="GD-CL", **style.GD_CL_LINE)
    draw_frame(axes, descent)
    mark_end(axes, descent, style.VERMILLION)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, columnspacing=1.2)
    _note_numbers(axes, descent)


def _note_numbers(axes: Axes, descent: Course) -> None:
    """The values at the end, on the side that the descent leaves free, in room made for them."""
    low, high = axes.get_ylim()
    falling = descent.y_layer < descent.y_reference[0]
    room = 0.26 * (high - low)
    axes.set_ylim((low, high + room) if falling else (low - room, high))
    axes.text(
        0.98,
        0.98 if falling else 0.02,
        rf"$y_{{\mathrm{{TF}}}} = {descent.y_layer:.4f}$,  $y_{{N+1}} = {descent.y_true:.4f}$"
        "\n"
        rf"$|y_{{\mathrm{{CL}}}} - y_{{\mathrm{{TF}}}}|$ = {scientific(descent.gap)}",
        transform=axes.transAxes,
        ha="right",
        va="top" if falling else "bottom",
        **style.SMALL,
    )


def descent_numbers(
    config: Config, trajectory: Table, truth: float, prediction: float, place: float
) -> Numbers:
    """Of the prompt that is shown, and of all; the paper's own prompt and its place among ours."""
    descent = read_descent(config, trajectory, "single_sample")
    ends = read_ends(config, trajectory, "single_sample")
    errors = (ends["y_layer"] - ends["y_true"]).abs()
    return {
        "y_layer": fixed(descent.y_layer),
        "y_true": fixed(descent.y_true),
        "gap": number(descent.gap),
        "largest_gap": number(ends["gap"].max()),
        "median_error": number(errors.median()),
        "quoted_error": number(abs(prediction - truth)),
        "better_than_quoted": percent(place),
        "prompts": many(len(ends), "prompt"),
        "runs": many(ends["run"].nunique(), "run"),
    }
