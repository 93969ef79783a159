"""``simd.exp`` on whole arrays, against numpy in extended precision."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np
import pytest

from icl_contrastive.training.simd import (
    IS_X86,
    exp,
    flush_subnormals,
    lanes,
    load,
    restore,
    store,
)


class Exponential(NamedTuple):
    """The function, and what it promises."""

    apply: Callable[[Any], np.ndarray]
    dtype: np.dtype[Any]
    low: float  # arguments below are raised to it
    high: float  # no arguments above are allowed
    bound: float  # on the error, in units in the last place


def compiled(dtype: np.dtype[Any]) -> Callable[[Any], np.ndarray]:
    width = lanes(dtype)

    @numba.njit
    def fill(x: np.ndarray, out: np.ndarray) -> None:
        for i in range(0, x.size, width):
            store(out, i, exp(load(x, i)))

    def apply(values: Any) -> np.ndarray:
        x = np.asarray(values, dtype)
        padded = np.zeros(-(-x.size // width) * width, dtype)
        padded[: x.size] = x
        out = np.empty_like(padded)
        fill(padded, out)
        return out[: x.size]

    return apply


@pytest.fixture(scope="module", params=["float32", "float64"])
def e(request: pytest.FixtureRequest) -> Exponential:
    dtype = np.dtype(request.param)
    if dtype == np.float32:
        return Exponential(compiled(dtype), dtype, -87.0, 88.0, 7.0)
    return Exponential(compiled(dtype), dtype, -708.0, 709.0, 1.0)


def ulps(e: Exponential, x: np.ndarray) -> np.ndarray:
    """Errors at the arguments that are in range, rounded to the type."""
    x = x.astype(e.dtype)
    x = x[(x >= e.low) & (x < e.high * (1 - 4 * np.finfo(e.dtype).eps))]
    expected = np.exp(x.astype(np.longdouble))
    unit = np.spacing(expected.astype(e.dtype)).astype(np.longdouble)
    return np.asarray(np.abs(e.apply(x) - expected) / unit)


def test_over_the_whole_range(e: Exponential) -> None:
    grid = np.linspace(e.low, e.high, 500_001)
    draws = np.random.default_rng(0).uniform(e.low, e.high, 500_000)
    assert ulps(e, np.concatenate([grid, draws])).max() < e.bound


def test_where_the_power_of_two_switches(e: Exponential) -> None:
    switches = (np.arange(-1025, 1025) + 0.5) * math.log(2)
    around = (switches[:, None] + np.linspace(-1e-3, 1e-3, 101)).ravel()
    assert ulps(e, around).max() < e.bound


def test_near_zero(e: Exponential) -> None:
    small = np.geomspace(1e-300, 1, 10_001)
    assert ulps(e, np.concatenate([small, -small])).max() < e.bound
    np.testing.assert_allclose(e.apply([0.0, -0.0]), 1, rtol=np.finfo(e.dtype).eps)


def test_positive_and_monotone(e: Exponential) -> None:
    """To rounding; no argument gives zero or a subnormal number."""
    x = np.concatenate([-np.geomspace(1e30, 1, 1000), np.linspace(-1, 80, 10_000)])
    y = e.apply(x)
    assert (y >= np.finfo(e.dtype).tiny).all()
    assert (np.diff(y) >= -8 * np.spacing(y[:-1])).all()


def test_low_arguments_stop_near_the_smallest_normal_number(e: Exponential) -> None:
    y = e.apply([e.low, e.low - 1, 2 * e.low, -1e30, -np.inf])
    assert (y == y[0]).all()
    assert y[0] < 2 * np.finfo(e.dtype).tiny


def test_nan_stays_nan(e: Exponential) -> None:
    assert np.isnan(e.apply([1.0, np.nan, 2.0, -np.nan])).tolist() == [False, True, False, True]


@pytest.mark.skipif(not IS_X86, reason="other processors do not mind subnormal numbers")
def test_subnormal_numbers_are_zero_until_it_is_undone() -> None:
    @numba.njit
    def halves(x: np.ndarray, out: np.ndarray) -> None:
        before = flush_subnormals()
        out[0] = x[0] / 2
        restore(before)
        out[1] = x[0] / 2

    out = np.ones(2, np.float32)
    halves(np.full(1, np.finfo(np.float32).tiny), out)
    assert out[0] == 0
    assert out[1] == np.finfo(np.float32).tiny / 2
