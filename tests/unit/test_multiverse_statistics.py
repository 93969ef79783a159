"""The multiverse's statistics, each against a second computation that shares nothing with it."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from icl_contrastive.claims.criteria import Criterion, build_criterion
from icl_contrastive.claims.evidence import Effect
from icl_contrastive.multiverse.flips import (
    Flip,
    best_universes,
    in_words,
    smallest_flips,
)
from icl_contrastive.multiverse.inference import (
    headline,
    joint_test,
    margins,
    null_band,
    signs,
    statistics,
)
from icl_contrastive.multiverse.judged import Judged
from icl_contrastive.multiverse.space import Space, changes, universe_name
from icl_contrastive.multiverse.variance import anova_kernel, interpolation, shares

RUNS = 5
FLIPS = signs(RUNS, 9999, np.random.default_rng(0))


def paired(universes: int, level: float, seed: int, parts: int = 1) -> np.ndarray:
    """Margins (universes, parts, runs) in which each run is as good or bad everywhere."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(0, 1, RUNS)
    own = rng.normal(0, 0.3, (universes, parts, RUNS))
    return np.asarray(level + shared + own)


# The joint test


def test_few_runs_are_flipped_in_every_way_and_many_at_random() -> None:
    assert FLIPS.shape == (32, RUNS)
    assert len(np.unique(FLIPS, axis=0)) == 32
    assert (FLIPS[0] == 1).all()
    drawn = signs(20, 100, np.random.default_rng(0))
    assert drawn.shape == (101, 20)
    assert (drawn[0] == 1).all()
    assert set(np.unique(drawn)) == {-1.0, 1.0}


def test_the_statistic_orders_flips_as_students_t_does() -> None:
    values = paired(3, 0.4, seed=1)
    found = statistics(values, FLIPS)
    for universe in range(3):
        t = [stats.ttest_1samp(flip * values[universe, 0], 0).statistic for flip in FLIPS]
        np.testing.assert_array_equal(np.argsort(found[:, universe]), np.argsort(t))


def test_the_joint_test_against_one_written_with_loops() -> None:
    values = paired(4, 0.5, seed=2, parts=2)
    adjusted = []
    for universe in range(4):
        exceeded = 0
        for flip in product((1, -1), repeat=RUNS):
            largest = max(
                min(_t(flip * values[one, part]) for part in range(2)) for one in range(4)
            )
            own = min(_t(values[universe, part]) for part in range(2))
            exceeded += largest >= own - 1e-9
        adjusted.append(exceeded / 2**RUNS)
    found = joint_test(values, FLIPS)
    np.testing.assert_allclose(found.adjusted, adjusted)
    assert found.share == np.mean([values[u].mean(1).min() > 0 for u in range(4)])
    medians = [np.median([min(map(_r, flip * one)) for one in values]) for flip in FLIPS]
    assert found.median == np.mean(np.array(medians) >= medians[0] - 1e-9)


def _r(values: np.ndarray) -> float:
    return float(values.sum() / np.sqrt(len(values) * (values @ values)))


def _t(values: np.ndarray) -> float:
    return float(stats.ttest_1samp(values, 0).statistic)


def test_one_universe_is_the_ordinary_test_by_flipping_signs() -> None:
    values = paired(1, 0.5, seed=3)
    ordinary = stats.permutation_test(
        (values[0, 0],), np.mean, permutation_type="samples", alternative="greater"
    )
    assert joint_test(values, FLIPS).adjusted[0] == pytest.approx(ordinary.pvalue)


def test_many_universes_find_nothing_more_often_than_one_does() -> None:
    """Where nothing is to be found: no more often than the level of the test says."""
    found = [joint_test(paired(20, 0.0, seed), FLIPS).adjusted.min() for seed in range(600)]
    level = 1 / 2**RUNS
    assert np.mean(np.array(found) <= level) < level + 3 * np.sqrt(level / 600)
    strong = joint_test(paired(20, 5.0, 0), FLIPS)
    np.testing.assert_allclose(strong.adjusted.min(), level)
    assert (strong.share, strong.median) == (1, level)


def test_the_band_is_where_flipped_runs_fall() -> None:
    values, limit = paired(6, 2.0, seed=4)[:, 0], 1.5
    low, high = null_band(values, limit, FLIPS, 0.9)
    sorted_means = np.array(
        [sorted(limit + (flip * (one - limit)).mean() for one in values) for flip in FLIPS]
    )
    np.testing.assert_allclose(low, np.quantile(sorted_means, 0.05, axis=0))
    np.testing.assert_allclose(high, np.quantile(sorted_means, 0.95, axis=0))
    assert (np.diff(low) >= 0).all()


def assert_margins(criterion: Criterion, effects: list[Effect], expected: Any) -> None:
    found = margins(criterion, effects)
    assert found is not None
    np.testing.assert_allclose(found, np.array(expected))


def test_a_margin_is_positive_on_the_claimed_side() -> None:
    ratio = Effect("", np.array([0.5, 2.0]), "ratio")
    below = build_criterion({"kind": "below", "than": 1})
    assert_margins(below, [ratio], [[np.log(2), -np.log(2)]])
    above = build_criterion({"kind": "above", "than": [0.2, 1]})
    number = Effect("", np.array([0.3, 0.1]))
    assert_margins(above, [number, ratio], [[0.1, -0.1], [-np.log(2), np.log(2)]])
    at_most = build_criterion({"kind": "at_most", "reproduced": 0.5, "partly": 1})
    assert_margins(at_most, [number], [[0.2, 0.4]])
    at_least = build_criterion({"kind": "at_least", "reproduced": 0.05, "partly": 0})
    assert_margins(at_least, [number], [[0.25, 0.05]])
    assert margins(build_criterion({"kind": "equal", "between": [0, 1]}), [number]) is None
    assert margins(below, []) is None
    assert margins(below, [Effect("", np.array([1.0]), "largest")]) is None


def test_the_number_of_a_claim_is_held_against_the_threshold_of_its_part() -> None:
    parts = [Effect("", np.array([2.0, 4.0]), "ratio"), Effect("", np.array([0.3, 0.1]))]
    above = build_criterion({"kind": "above", "than": [3, 0.2]})
    values, limit = headline(above, parts)
    np.testing.assert_allclose(values, np.log([2, 4]))
    assert limit == pytest.approx(np.log(3))


# The variance


def grid(*sizes: int) -> np.ndarray:
    return np.array(list(product(*map(range, sizes))))


def test_shares_against_an_analysis_of_variance_by_hand() -> None:
    """Of a full factorial: sums of squares of main effects and interactions, by averaging axes."""
    y = np.random.default_rng(5).normal(size=(3, 4, 2))
    effects: dict[tuple[int, ...], np.ndarray] = {(): np.full_like(y, y.mean())}
    axes = {0, 1, 2}
    for order in (1, 2, 3):
        for kept in [c for c in product((False, True), repeat=3) if sum(c) == order]:
            names = tuple(map(int, np.flatnonzero(kept)))
            mean = y.mean(axis=tuple(axes - set(names)), keepdims=True)
            lower = [e for n, e in effects.items() if set(n) < set(names)]
            effects[names] = np.broadcast_to(mean, y.shape) - sum(lower)
    parts = {names: (one**2).mean() for names, one in effects.items() if names}
    assert sum(parts.values()) == pytest.approx(y.var())
    found = shares(y.reshape(1, -1), grid(3, 4, 2))
    for decision in range(3):
        total = sum(part for names, part in parts.items() if decision in names)
        assert found.alone[0, decision] == pytest.approx(parts[decision,] / y.var())
        assert found.total[0, decision] == pytest.approx(total / y.var())


def test_a_number_that_never_varies_has_no_shares() -> None:
    found = shares(np.ones((1, 6)), grid(3, 2))
    assert np.isnan(found.alone).all()
    assert np.isnan(found.total).all()


def test_what_is_known_of_every_universe_is_not_interpolated() -> None:
    every = grid(3, 2)
    values = np.random.default_rng(0).normal(size=(6, 1))
    np.testing.assert_array_equal(interpolation(every, every, values), np.eye(6))


def test_interpolation_keeps_what_was_trained_and_finds_an_additive_rest() -> None:
    every = grid(4, 3, 2)
    rng = np.random.default_rng(6)
    effects = [rng.normal(size=size) for size in (4, 3, 2)]
    y = sum(effect[codes] for effect, codes in zip(effects, every.T, strict=True))
    chosen = rng.permutation(len(every))[:14]
    to_all = interpolation(every[chosen], every, y[chosen, None])
    found = to_all @ y[chosen]
    np.testing.assert_allclose(found[chosen], y[chosen], atol=0.02)
    assert np.corrcoef(found, y)[0, 1] > 0.95
    # A constant stays one, whatever is known.
    np.testing.assert_allclose(to_all.sum(1), 1)


def test_the_kernel_is_a_product_over_decisions() -> None:
    a, b = grid(2, 3), grid(2, 3)[:2]
    expected = [
        [np.prod([1 + 0.3 * (x == y) for x, y in zip(one, two, strict=True)]) for two in b]
        for one in a
    ]
    np.testing.assert_allclose(anova_kernel(a, b, 0.3), expected)


# What turns a verdict, and what holds together

UNIVERSES: dict[str, dict[str, Any]] = {
    "default": {"a": 1, "b": 1, "c": 1},
    "b": {"a": 1, "b": 2, "c": 1},
    "a and c": {"a": 2, "b": 1, "c": 2},
    "c": {"a": 1, "b": 1, "c": 2},
    "failed": {"a": 2, "b": 1, "c": 1},
}
VERDICTS = {
    "default": "reproduced",
    "b": "reproduced",
    "a and c": "partly",
    "c": "contradicted",
    "failed": "failed",
}


def test_the_fewest_changes_that_turn_a_verdict() -> None:
    found = smallest_flips(VERDICTS, UNIVERSES, UNIVERSES["default"])
    assert found == [Flip("c", "contradicted", {"c": 2})]
    assert in_words(found[0].changes) == "c = 2"
    equal = VERDICTS | {"c": "reproduced", "b": "inconclusive"}
    assert [flip.universe for flip in smallest_flips(equal, UNIVERSES, UNIVERSES["default"])] == [
        "b"
    ]
    against = dict.fromkeys(VERDICTS, "partly")
    assert smallest_flips(against, UNIVERSES, UNIVERSES["default"]) == []
    held = against | {"a and c": "reproduced"}
    (flip,) = smallest_flips(held, UNIVERSES, UNIVERSES["default"])
    assert flip.changes == {"a": 2, "c": 2}


def test_a_claim_that_the_default_does_not_decide_turns_nowhere() -> None:
    for verdict in ("not tested", "failed"):
        verdicts = VERDICTS | {"default": verdict}
        assert smallest_flips(verdicts, UNIVERSES, UNIVERSES["default"]) == []


def test_a_failed_training_decides_and_an_untested_claim_does_not() -> None:
    name, verdicts = universe_name({}), [*VERDICTS.values(), "not tested"]
    rows = pd.DataFrame({"universe": name, "id": range(6), "verdict": verdicts})
    together = Judged(Space({}), {name: {}}, {name: name}, rows).together()
    assert together[["tested", "holds"]].to_numpy().tolist() == [[5, 2]]


def test_the_best_universes_are_of_different_trainings() -> None:
    trained = {"default": "1", "b": "1", "c": "2", "a and c": "2", "failed": "3"}
    holds = {"default": 3, "b": 5, "a and c": 5, "c": 5, "failed": 0}
    differ = {name: len(changes(one, UNIVERSES["default"])) for name, one in UNIVERSES.items()}
    together = pd.DataFrame({"trained": trained, "changes": differ, "holds": holds})
    together = together.rename_axis("universe").reset_index()
    for count, expected in ((2, ["b", "c"]), (9, ["b", "c", "failed"]), (0, [])):
        assert list(best_universes(together, count)["universe"]) == expected
