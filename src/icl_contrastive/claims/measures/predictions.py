"""Of the predictions: the layer beside its controls on the same held-out prompts."""

from dataclasses import replace

import numpy as np
import pandas as pd

from icl_contrastive.claims.evidence import (
    FLOOR,
    Array,
    Effect,
    Evidence,
    NotTestableError,
    Query,
    by_run,
)

LAYER = "layer"
"""The predictor of the table of controls that the others are compared with."""
ZERO_SHOT, DEMONSTRATIONS = "zero-shot part", "demonstrations' part"
"""The two parts of the layer's prediction: W_0 φ(q), and the rest."""


def _predictions(evidence: Evidence, setting: Query, predictor: str) -> pd.DataFrame:
    return evidence.table("controls", setting=evidence.setting(setting), predictor=predictor)


def unexplained(evidence: Evidence, setting: Query, predictor: str = LAYER) -> list[Effect]:
    """Mean squared error over the error of predicting zero, the mean of y², run by run."""
    rows = _predictions(evidence, setting, predictor)
    return [Effect("all", by_run(rows, "squared_error", "mean") / zero_error(rows), "ratio")]


def zero_error(rows: pd.DataFrame) -> Array:
    """The mean of y², run by run: what predicting zero errs by, and the labels' variance."""
    return by_run(rows.assign(square=rows["y_true"] ** 2), "square", "mean")


def unexplained_ratio(evidence: Evidence, setting: Query, base: Query) -> list[Effect]:
    """The layer's ``unexplained`` in one setting over that in another, run by run.

    Run r has the same task in both. What is below ``FLOOR`` counts as that.
    """
    (ours,), (others,) = (unexplained(evidence, one) for one in (setting, base))
    if ours.values.shape != others.values.shape:
        raise NotTestableError("the settings differ in their runs")
    ratios = np.maximum(ours.values, FLOOR) / np.maximum(others.values, FLOOR)
    return [Effect("all", ratios, "ratio")]


def error_ratio(
    evidence: Evidence, setting: Query, predictor: str, base: str = LAYER
) -> list[Effect]:
    """Ratio of the mean squared errors of two predictors on the same prompts, run by run."""
    errors = [
        by_run(_predictions(evidence, setting, name), "squared_error", "mean")
        for name in (predictor, base)
    ]
    return [Effect("all", errors[0] / errors[1], "ratio")]


def use_of_demonstrations(evidence: Evidence, setting: Query) -> list[Effect]:
    """The demonstrations' share of the prediction, and ``error_ratio`` with shuffled labels.

    A layer whose demonstrations cancel each other, and which answers from the query alone, is
    ruined by shuffled labels, too: so both are asked for. The share is cov(part, ŷ) / var(ŷ).
    """
    solutions = evidence.table("solutions", setting=evidence.setting(setting))
    (ratio,) = error_ratio(evidence, setting, "shuffled labels")
    return [
        Effect("share", 1 - by_run(solutions, "zero_shot_share", "mean")),
        replace(ratio, label="error with shuffled labels"),
    ]


def zero_shot(evidence: Evidence, setting: Query) -> list[Effect]:
    """Correlation of W_0 φ(q) with the label, and beside it that of the demonstrations' part."""
    return [
        Effect("W_0", _correlation(evidence, setting, ZERO_SHOT)),
        Effect("demonstrations", _correlation(evidence, setting, DEMONSTRATIONS), role="beside"),
    ]


def _correlation(evidence: Evidence, setting: Query, predictor: str) -> Array:
    runs = _predictions(evidence, setting, predictor).groupby("run", sort=True)
    return np.array([rows["prediction"].corr(rows["y_true"]) for _, rows in runs])


def place_of_quoted_error(
    evidence: Evidence, setting: Query, truth: float, prediction: float
) -> list[Effect]:
    """Share of the run's prompts on which the layer errs less than on the quoted one."""
    rows = _predictions(evidence, setting, LAYER)
    quoted = (prediction - truth) ** 2
    return [Effect("all", by_run(rows.assign(less=rows["squared_error"] < quoted), "less", "mean"))]
