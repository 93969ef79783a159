"""Of learning curves: a variant beside the plain layer of the same learning rate, run by run."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from icl_contrastive.claims.evidence import (
    FLOOR,
    KERNEL_LAYER,
    Array,
    Effect,
    Evidence,
    Model,
    NotTestableError,
    Over,
    Query,
    of_grid,
)
from icl_contrastive.claims.measures.predictions import LAYER, zero_error


def final_error(
    evidence: Evidence,
    of: Query,
    setting: Query,
    last: float,
    base: Query = KERNEL_LAYER,
    over: Over | None = None,
) -> list[Effect]:
    """Ratio of the mean training errors over the last epochs.

    What is below ``FLOOR`` of the labels' variance counts as that.
    """

    def error(curves: Array, variance: Array) -> Array:
        means = curves[:, -_share(curves.shape[1], last) :].mean(1)
        return np.asarray(np.maximum(means, FLOOR * variance))

    return _compare(evidence, of, base, setting, error, over)


def area(
    evidence: Evidence,
    of: Query,
    setting: Query,
    until: float,
    base: Query = KERNEL_LAYER,
    over: Over | None = None,
) -> list[Effect]:
    """Ratio of the areas under the training curves over the first epochs."""

    def mean(curves: Array, _: Array) -> Array:
        return np.asarray(curves[:, : _share(curves.shape[1], until)].mean(1))

    return _compare(evidence, of, base, setting, mean, over)


def epochs(
    evidence: Evidence,
    of: Query,
    setting: Query,
    to: float,
    base: Query = KERNEL_LAYER,
    over: Over | None = None,
) -> list[Effect]:
    """Ratio of the epochs to an error that is a share of the labels' variance.

    A curve that never gets there counts as one epoch more than there are.
    """

    def count(curves: Array, variance: Array) -> Array:
        pairs = zip(curves, to * variance, strict=True)
        return np.array([epochs_to_error(curve, error) for curve, error in pairs])

    return _compare(evidence, of, base, setting, count, over)


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


def speed(
    evidence: Evidence,
    of: Query,
    setting: Query,
    to: float,
    base: Query = KERNEL_LAYER,
    over: Over | None = None,
) -> list[Effect]:
    """``epochs``, and the ratio of the areas under the whole curves."""
    parts = {
        "epochs": epochs(evidence, of, setting, to, base, over),
        "area": area(evidence, of, setting, 1, base, over),
    }
    named = [
        replace(effect, label=name if effect.label == "all" else f"{name}, {effect.label}")
        for name, effects in parts.items()
        for effect in effects
    ]
    return sorted(named, key=lambda effect: effect.role != "tested")


def _compare(
    evidence: Evidence,
    of: Query,
    base: Query,
    setting: Query,
    number: Callable[[Array, Array], Array],
    over: Over | None,
) -> list[Effect]:
    """Ratios of every variant asked for to its base, and what is asked of a grid of them, first.

    Of a ``number`` of every run, from its curve and the variance of its labels.
    """
    name = evidence.setting(setting)
    models = evidence.models(of, name)
    if over is not None:
        models = sorted(models, key=lambda model: abs(model.hyperparameters["alpha"]))
    variance = zero_error(evidence.table("controls", setting=name, predictor=LAYER))
    effects = []
    for model in models:
        other = evidence.base(model, base, name)
        curves, others = (_curves(evidence, name, one) for one in (model, other))
        if curves.shape != others.shape or len(curves) != len(variance):
            raise NotTestableError(f"{model.name} and {other.name} differ in runs or epochs")
        ratios = number(curves, variance) / number(others, variance)
        effects.append(Effect(model.label, ratios, "ratio"))
    if over is None:
        return effects
    return [of_grid(effects, over), *(replace(one, role="of the grid") for one in effects)]


def _curves(evidence: Evidence, setting: str, model: Model) -> Array:
    """Training error of every run after every epoch, (runs, epochs)."""
    rows = evidence.table("pretraining", setting=setting, variant=model.name)
    return rows.pivot(index="run", columns="epoch", values="train_mse").to_numpy(np.float64)


def _share(count: int, share: float) -> int:
    """That share of the epochs as a whole number, at least one."""
    return max(1, math.ceil(share * count))
