"""Estimates over independent units, their intervals, tests, and the correction for many tests."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

Array = npt.NDArray[np.float64]
Alternative = Literal["less", "greater"]


def bootstrap_interval(
    values: Array, confidence: float, resamples: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Bootstrap interval of the mean of values (units,): BCa (Efron 1987).

    The percentile interval where BCa is not defined, such as for values that are almost all equal;
    NaN for a single value.
    """
    if len(values) < 2:
        return np.nan, np.nan
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    low, high = np.nan, np.nan
    for method in ("BCa", "percentile"):
        if np.isfinite(low) and np.isfinite(high):
            break
        with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
            # Where BCa is not defined, it says so by NaN, too.
            warnings.simplefilter("ignore", stats.DegenerateDataWarning)
            interval = stats.bootstrap(
                (values,),
                np.mean,
                n_resamples=resamples,
                confidence_level=confidence,
                method=method,
                rng=rng,
            ).confidence_interval
        low, high = float(interval.low), float(interval.high)
    return low, high


def smallest_p_value(units: int, resamples: int) -> float:
    """The least that ``sign_flip_p_value`` can be for so many units."""
    exact = 2**units <= resamples
    return float(0.5**units) if exact else 1 / (resamples + 1)


def sign_flip_p_value(
    differences: Array, alternative: Alternative, resamples: int, rng: np.random.Generator
) -> float:
    """Paired permutation test of mean 0 of differences (units,), one-sided.

    Under the hypothesis each difference is as likely to have the other sign. Exact as long as there
    are at most ``resamples`` ways to choose the signs.
    """
    if len(differences) == 1:  # of which scipy makes no test
        so = differences[0] > 0 if alternative == "greater" else differences[0] < 0
        return 0.5 if so else 1.0
    return float(
        stats.permutation_test(
            (differences,),
            np.mean,
            permutation_type="samples",
            alternative=alternative,
            n_resamples=resamples,
            rng=rng,
        ).pvalue
    )


def holm(p_values: Array) -> Array:
    """p-values corrected for their number by Holm's step-down method (1979), same order."""
    order = np.argsort(p_values, kind="stable")
    factors = len(p_values) - np.arange(len(p_values))
    corrected = np.empty_like(p_values, dtype=np.float64)
    corrected[order] = np.minimum(1, np.maximum.accumulate(factors * p_values[order]))
    return corrected
