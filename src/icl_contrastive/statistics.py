"""Means over independent units, their intervals and tests, and the correction for many tests."""

from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

Array = npt.NDArray[np.float64]
Alternative = Literal["less", "greater"]


def mean_interval(values: Array, confidence: float = 0.95) -> tuple[float, float]:
    """Student's interval of the mean of values (units,); NaN for a single value."""
    if len(values) < 2:
        return np.nan, np.nan
    reach = stats.t.ppf((1 + confidence) / 2, len(values) - 1) * _standard_error(values)
    return float(values.mean() - reach), float(values.mean() + reach)


def mean_p_value(values: Array, alternative: Alternative, than: float) -> float:
    """Student's one-sided test of the mean of values (units,): is it less, or greater, than that?

    ``mean_interval`` with confidence 1 − 2p ends at ``than``. NaN for a single value.
    """
    if len(values) < 2:
        return np.nan
    sign = 1 if alternative == "greater" else -1
    if np.ptp(values) == 0:  # rounding is no spread
        return 0.0 if sign * (values[0] - than) > 0 else 1.0
    ratio = sign * (values.mean() - than) / _standard_error(values)
    return float(stats.t.sf(ratio, len(values) - 1))


def _standard_error(values: Array) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def holm(p_values: Array) -> Array:
    """p-values corrected for their number by Holm's step-down method (1979), same order."""
    order = np.argsort(p_values, kind="stable")
    factors = len(p_values) - np.arange(len(p_values))
    corrected = np.empty_like(p_values, dtype=np.float64)
    corrected[order] = np.minimum(1, np.maximum.accumulate(factors * p_values[order]))
    return corrected
