"""Intervals, tests and corrections: known values, and what they promise, by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from icl_contrastive.statistics import Alternative, holm, mean_interval, mean_p_value

RUNS = 10
SIMULATIONS = 4000


def test_holm_is_the_textbook_s_example() -> None:
    corrected = holm(np.array([0.01, 0.04, 0.03, 0.005]))
    np.testing.assert_allclose(corrected, [0.03, 0.06, 0.06, 0.02])


def test_holm_rejects_what_the_step_down_procedure_rejects() -> None:
    p_values, level = np.random.default_rng(0).uniform(size=200) ** 4, 0.05
    rejected = np.zeros(len(p_values), bool)
    for step, index in enumerate(np.argsort(p_values)):
        if p_values[index] >= level / (len(p_values) - step):
            break
        rejected[index] = True
    assert 0 < rejected.sum() < len(p_values)
    np.testing.assert_array_equal(holm(p_values) < level, rejected)


def test_holm_of_nothing_and_of_one() -> None:
    assert holm(np.array([])).size == 0
    assert holm(np.array([0.3])) == [0.3]


def test_the_interval_and_the_p_value_are_student_s() -> None:
    """Of 1, 2, 3: mean 2, standard error 1/√3, and t with 2 degrees is t / √(2 + t²) / 2 + 1/2."""
    values = np.array([1.0, 2.0, 3.0])
    assert mean_interval(values, 0.95) == pytest.approx((2 - 2.4841377, 2 + 2.4841377))
    t = 2 * np.sqrt(3)
    expected = (1 - t / np.sqrt(2 + t**2)) / 2
    assert mean_p_value(values, "greater", 0) == pytest.approx(expected)
    assert mean_p_value(values, "less", 0) == pytest.approx(1 - expected)
    assert mean_p_value(values, "less", 4) == pytest.approx(expected)


def test_a_single_value_has_neither() -> None:
    one = np.array([2.0])
    assert np.isnan([*mean_interval(one, 0.95), mean_p_value(one, "less", 0)]).all()


@pytest.mark.parametrize(("than", "less", "greater"), [(1.0, 1, 0), (2.0, 1, 1), (3.0, 0, 1)])
def test_equal_values_are_their_mean(than: float, less: float, greater: float) -> None:
    values = np.full(3, 2.0)
    assert mean_interval(values, 0.95) == (2, 2)
    assert mean_p_value(values, "less", than) == less
    assert mean_p_value(values, "greater", than) == greater


def test_intervals_of_log_normal_ratios_cover_at_ten_runs() -> None:
    """Within three standard errors of the simulation; in logarithms, as ratios are averaged."""
    ratios = np.random.default_rng(1).lognormal(0.3, 1.0, (SIMULATIONS, RUNS))
    intervals = np.array([mean_interval(np.log(runs), 0.95) for runs in ratios])
    covered = (intervals[:, 0] <= 0.3) & (intervals[:, 1] >= 0.3)
    assert covered.mean() == pytest.approx(0.95, abs=3 * np.sqrt(0.95 * 0.05 / SIMULATIONS))


@pytest.mark.parametrize("alternative", ["less", "greater"])
def test_p_values_are_uniform_without_an_effect(alternative: Alternative) -> None:
    values = np.random.default_rng(2).normal(0.7, 1.0, (SIMULATIONS, RUNS))
    p_values = [mean_p_value(runs, alternative, 0.7) for runs in values]
    assert stats.kstest(p_values, "uniform").pvalue > 0.01


@given(
    st.lists(st.floats(-100, 100), min_size=2, max_size=30).filter(
        lambda some: np.ptp(some) > 1e-3
    ),
    st.floats(0.01, 3),
    st.sampled_from(["less", "greater"]),
)
def test_the_interval_of_confidence_one_minus_2p_ends_at_the_threshold(
    some: list[float], errors: float, alternative: Alternative
) -> None:
    values = np.array(some)
    reach = errors * stats.sem(values)
    than = values.mean() + (reach if alternative == "less" else -reach)
    p_value = mean_p_value(values, alternative, than)
    low, high = mean_interval(values, 1 - 2 * p_value)
    assert (high if alternative == "less" else low) == pytest.approx(than, rel=1e-6, abs=1e-6)
