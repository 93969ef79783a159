"""What is measured for a claim: from tables to effects, one number for each run.

A measure takes the evidence and the arguments that its claim gives, and returns an effect for each
part of the claim. The runs are the independent units: prompts and draws of a run are averaged. In a
setting all comparisons of layers are paired: run r of every variant has the same task, prompts,
random features and initial weights. The module is long because all measures stand here, under the
names that claims have for them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from icl_contrastive.claims.evidence import (
    KERNEL_LAYER,
    Array,
    Effect,
    Evidence,
    Model,
    NotTestableError,
    Query,
    describe,
)

LAYER = "layer"
"""The predictor of the table of controls that the others are compared with."""


@dataclass(frozen=True)
class Measure:
    """A measure.

    Attributes:
        effects: takes evidence and arguments to effects.
        text: what it is in words, with its arguments in braces.
    """

    effects: Callable[..., list[Effect]]
    text: str


def _by_run(rows: pd.DataFrame, value: str, statistic: str) -> Array:
    """One number for each run, in the order of the runs."""
    return np.asarray(rows.groupby("run", sort=True)[value].agg(statistic), np.float64)


# Identities and descents


def identity_error(
    evidence: Evidence, of: Query, scheme: str, setting: Query | None = None
) -> list[Effect]:
    """Largest relative error of every run, over all prompts, variants and settings asked for."""
    rows = evidence.table("equivalence", scheme=scheme)
    wanted = None if setting is None else evidence.setting(setting)
    cells = {
        (name, model.name)
        for name in (rows["setting"].unique() if wanted is None else [wanted])
        for model in _models_if_any(evidence, of, name)
    }
    inside = [cell in cells for cell in zip(rows["setting"], rows["variant"], strict=True)]
    if not any(inside):
        raise NotTestableError(f"no compared layer has {describe(of)}")
    largest = _by_run(rows[inside], "relative_error", "max")
    return [Effect("all", largest, "largest")]


def _models_if_any(evidence: Evidence, query: Query, setting: str) -> list[Model]:
    try:
        return evidence.models(query, setting)
    except NotTestableError:
        return []


def deviation(evidence: Evidence, of: Query, scheme: str, setting: Query) -> list[Effect]:
    """Median relative error of every run; none at all counts as one of rounding."""
    name = evidence.setting(setting)
    rounding = np.finfo(np.float64).epsneg
    return [
        Effect(
            model.label,
            np.maximum(_by_run(rows, "relative_error", "median"), rounding),
            "ratio",
        )
        for model in evidence.models(of, name)
        for rows in [evidence.table("equivalence", setting=name, variant=model.name, scheme=scheme)]
    ]


def cosine_gain(evidence: Evidence, setting: Query) -> list[Effect]:
    """Rise of the mean cosine of (ŷ⁽ⁱ⁾, y⁽ⁱ⁾) from the first to the last step, run by run."""
    name = evidence.setting(setting)
    model = evidence.models(KERNEL_LAYER, name)[0]
    rows = evidence.table(f"trajectories/{name}/{model.name}", setting=name, scheme="single_sample")
    ends = [
        _by_run(rows[rows["step"] == step], "cosine", "mean")
        for step in (rows["step"].min(), rows["step"].max())
    ]
    return [Effect("all", ends[1] - ends[0])]


# Learning curves


def _curves(evidence: Evidence, setting: str, model: Model) -> Array:
    """Training error of every run after every epoch, (runs, epochs)."""
    rows = evidence.table("pretraining", setting=setting, variant=model.name)
    return rows.pivot(index="run", columns="epoch", values="train_mse").to_numpy(np.float64)


def _pairs(
    evidence: Evidence, of: Query, base: Query, setting: Query
) -> Iterator[tuple[str, Array, Array]]:
    """Label, curves and base's curves of every variant asked for."""
    name = evidence.setting(setting)
    for model in evidence.models(of, name):
        other = evidence.base(model, base, name)
        curves, base_curves = (_curves(evidence, name, m) for m in (model, other))
        if curves.shape != base_curves.shape:
            raise NotTestableError(f"{model.name} and {other.name} differ in runs or epochs")
        yield model.label, curves, base_curves


def _share(epochs: int, share: float) -> int:
    """That share of the epochs as a whole number, at least one."""
    return max(1, math.ceil(share * epochs))


def final_error(
    evidence: Evidence, of: Query, setting: Query, last: float, base: Query = KERNEL_LAYER
) -> list[Effect]:
    """Ratio of the mean training errors over the last epochs."""
    return [
        Effect(label, _final(curves, last) / _final(base_curves, last), "ratio")
        for label, curves, base_curves in _pairs(evidence, of, base, setting)
    ]


def _final(curves: Array, last: float) -> Array:
    return np.asarray(curves[:, -_share(curves.shape[1], last) :].mean(1))


def area(
    evidence: Evidence, of: Query, setting: Query, until: float, base: Query = KERNEL_LAYER
) -> list[Effect]:
    """Ratio of the areas under the training curves over the first epochs."""
    return [
        Effect(label, curves[:, :stop].mean(1) / base_curves[:, :stop].mean(1), "ratio")
        for label, curves, base_curves in _pairs(evidence, of, base, setting)
        for stop in [_share(curves.shape[1], until)]
    ]


def speed(
    evidence: Evidence, of: Query, setting: Query, at: float, base: Query = KERNEL_LAYER
) -> list[Effect]:
    """Ratio of the epochs to a given error, and of the areas under the whole curves.

    The error is the one that the base has, in the same run, after the share ``at`` of its epochs. A
    curve that never gets there counts as one epoch more than there are.
    """
    effects = []
    for label, curves, base_curves in _pairs(evidence, of, base, setting):
        targets = base_curves[:, _share(base_curves.shape[1], at) - 1]
        epochs = [
            np.array([epochs_to_error(*pair) for pair in zip(one, targets, strict=True)])
            for one in (curves, base_curves)
        ]
        areas = curves.mean(1) / base_curves.mean(1)
        effects += [
            Effect(f"{label}: epochs", epochs[0] / epochs[1], "ratio"),
            Effect(f"{label}: area", areas, "ratio", headline=False),
        ]
    return effects


def epochs_to_error(curve: Array, error: float) -> float:
    """Epochs (from 1) until a curve (epochs,) first reaches an error, logarithms interpolated."""
    reached = np.flatnonzero(curve <= error)
    if not len(reached):
        return float(len(curve) + 1)
    first = int(reached[0])
    if first == 0:
        return 1.0
    before, after = np.log(curve[first - 1]), np.log(curve[first])
    return float(first + (before - np.log(error)) / (before - after))


# Estimated attention


def error_rate(evidence: Evidence, matrix: str, error: str, setting: Query) -> list[Effect]:
    """Slope of log error against log d_r by least squares, the error averaged over draws.

    The mean over a run's prompts.
    """
    rows = _estimates(evidence, matrix, setting, trained="True")
    errors = rows.groupby(["run", "prompt", "d_r"])[error].mean().unstack("d_r")
    if errors.shape[1] < 2:
        raise NotTestableError("the sweep has a single d_r")
    x = np.log(errors.columns.to_numpy(np.float64))
    x = x - x.mean()
    slopes = pd.Series(np.log(errors.to_numpy(np.float64)) @ x / (x @ x), errors.index)
    return [Effect("all", slopes.groupby("run").mean().to_numpy(np.float64))]


def _estimates(evidence: Evidence, matrix: str, setting: Query, **where: object) -> pd.DataFrame:
    return evidence.table(
        "attention_errors", setting=evidence.setting(setting), matrix=matrix, **where
    )


def _geometric(rows: pd.DataFrame, ratios: pd.Series) -> list[Effect]:
    """Of the ratios of every run, over its prompts and draws."""
    logs = ratios.apply(np.log).groupby(rows["run"]).mean()
    return [Effect("all", np.exp(logs.to_numpy(np.float64)), "ratio")]


def error_in_the_end(evidence: Evidence, matrix: str, setting: Query) -> list[Effect]:
    """Mean absolute error with the most features, over the mean size of an exact entry."""
    rows = _estimates(evidence, matrix, setting, trained="True")
    last = rows[rows["d_r"] == rows["d_r"].max()]
    return _geometric(last, last["mae"] / last["size"])


def entry_error(evidence: Evidence, matrix: str, setting: Query) -> list[Effect]:
    """Relative error of the median entry at the d_r of the trained layers."""
    rows = _estimates(evidence, matrix, setting, trained="True", d_r=evidence.d_r)
    return _geometric(rows, rows["relative"])


def larger_entries(evidence: Evidence, matrix: str, setting: Query) -> list[Effect]:
    """Relative error of the median large entry, and its ratio to that of the median other one."""
    rows = _estimates(evidence, matrix, setting, trained="True", d_r=evidence.d_r)
    (largest,) = _geometric(rows, rows["relative_largest"])
    (ratio,) = _geometric(rows, rows["relative_largest"] / rows["relative_rest"])
    return [
        replace(largest, label="the largest tenth", headline=False),
        replace(ratio, label="ratio to the rest"),
    ]


def projection_error(
    evidence: Evidence, projections: list[str], base: str, matrix: str, setting: Query
) -> list[Effect]:
    """Ratio of the mean squared errors with other laws of ω at the layers' d_r.

    The errors are averaged over draws, the ratios over a run's prompts.
    """

    def errors(projection: str) -> pd.Series:
        rows = _estimates(evidence, matrix, setting, projection=projection, d_r=evidence.d_r)
        return rows.groupby(["run", "prompt"])["mse"].mean()

    effects = []
    for one in projections:
        logs = (errors(one) / errors(base)).apply(np.log).groupby("run").mean()
        effects.append(Effect(one, np.exp(logs.to_numpy(np.float64)), "ratio"))
    return effects


# Predictions


def _predictions(evidence: Evidence, setting: Query, predictor: str) -> pd.DataFrame:
    return evidence.table("controls", setting=evidence.setting(setting), predictor=predictor)


def unexplained(evidence: Evidence, setting: Query, predictor: str = LAYER) -> list[Effect]:
    """Mean squared error over the error of predicting zero, the mean of y², run by run."""
    rows = _predictions(evidence, setting, predictor)
    rows = rows.assign(square=rows["y_true"] ** 2)
    error, zero = (_by_run(rows, column, "mean") for column in ("squared_error", "square"))
    return [Effect("all", error / zero, "ratio")]


def unexplained_ratio(evidence: Evidence, setting: Query, base: Query) -> list[Effect]:
    """The layer's ``unexplained`` in one setting over that in another, run by run.

    The runs of two settings have tasks of their own and are paired by their number alone, which
    costs power and nothing else.
    """
    (ours,), (others,) = (unexplained(evidence, one) for one in (setting, base))
    if ours.values.shape != others.values.shape:
        raise NotTestableError("the settings differ in their runs")
    return [Effect("all", ours.values / others.values, "ratio")]


def error_ratio(
    evidence: Evidence, setting: Query, predictor: str, base: str = LAYER
) -> list[Effect]:
    """Ratio of the mean squared errors of two predictors on the same prompts, run by run."""
    errors = [
        _by_run(_predictions(evidence, setting, name), "squared_error", "mean")
        for name in (predictor, base)
    ]
    return [Effect("all", errors[0] / errors[1], "ratio")]


def place_of_quoted_error(
    evidence: Evidence, setting: Query, truth: float, prediction: float
) -> list[Effect]:
    """Share of the run's prompts on which the layer errs less than on the quoted one."""
    rows = _predictions(evidence, setting, LAYER)
    quoted = (prediction - truth) ** 2
    return [
        Effect("all", _by_run(rows.assign(less=rows["squared_error"] < quoted), "less", "mean"))
    ]


MEASURES: dict[str, Measure] = {
    "identity_error": Measure(
        identity_error,
        "largest relative error in float64 ({of}; {scheme}), all runs and prompts",
    ),
    "deviation": Measure(
        deviation, "relative deviation ({of}; {scheme}), median over prompts, mean over runs"
    ),
    "cosine_gain": Measure(cosine_gain, "rise of the mean cosine from the first to the last step"),
    "final_error": Measure(
        final_error, "training error of the last {last:.0%} of epochs, {of}, over that of {base}"
    ),
    "area": Measure(
        area,
        "area under the training curve, first {until:.0%} of epochs, {of}, over that of {base}",
    ),
    "speed": Measure(
        speed,
        "epochs to the error that {base} has after {at:.0%} of its epochs, {of}, over those of "
        "{base}; and likewise the area under the curve",
    ),
    "error_rate": Measure(
        error_rate, "slope of log {error} of the {matrix} against log d_r, mean over prompts"
    ),
    "error_in_the_end": Measure(
        error_in_the_end,
        "mean absolute error of the {matrix} at the largest d_r, over a mean entry",
    ),
    "entry_error": Measure(
        entry_error, "relative error of the median entry of the {matrix}, at the layers' d_r"
    ),
    "larger_entries": Measure(
        larger_entries,
        "relative error of the median entry among the largest tenth of a token's {matrix}, at the "
        "layers' d_r; and its ratio to that of the median among the rest, which is the number",
    ),
    "projection_error": Measure(
        projection_error,
        "squared error of the {matrix} with {projections} features, over that with {base} ones, at "
        "the layers' d_r",
    ),
    "unexplained": Measure(unexplained, "squared error of the {predictor} over that of zero"),
    "unexplained_ratio": Measure(
        unexplained_ratio, "the layer's squared error over that of zero, over the same with {base}"
    ),
    "error_ratio": Measure(error_ratio, "squared error of the {predictor} over that of the {base}"),
    "place_of_quoted_error": Measure(
        place_of_quoted_error,
        "share of our prompts with an error below that of {prediction:.4f} for {truth:.4f}",
    ),
}
"""The measures by the name that ``claims.yaml`` gives them."""
