"""Criteria: every kind with each outcome, parts, grids, negligible effects, and error levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from icl_contrastive.claims.criteria import CRITERIA, Settings, Verdict, build_criterion, estimate
from icl_contrastive.claims.evidence import Effect
from icl_contrastive.statistics import holm

from .made_up import around, wide

SETTINGS = Settings(level=0.05, confidence=0.95, negligible={"ratio": 1.1, "number": 0.1})
OTHER_CLAIMS = 40


def ratio(center: float, spread: float = 0.02) -> list[Effect]:
    return [Effect("", around(center, spread), "ratio")]


def number(center: float, spread: float = 0.02) -> list[Effect]:
    return [Effect("", around(center, spread))]


def unclear(center: float, scale: Any = "ratio") -> list[Effect]:
    return [Effect("", wide(center, scale), scale)]


OUTCOMES: dict[str, tuple[dict[str, Any], dict[Verdict, list[Effect]]]] = {
    "at_most": (
        {"kind": "at_most", "reproduced": 0.1, "partly": 0.3},
        {
            "reproduced": ratio(0.05),
            "partly": ratio(0.1, 0.3),  # better in the mean or not, it is not shown
            "inconclusive": unclear(0.3),
            "contradicted": ratio(0.4),
        },
    ),
    "at_least": (
        {"kind": "at_least", "reproduced": 0.75, "partly": 0.5},
        {
            "reproduced": number(0.8),
            "partly": number(0.7),
            "inconclusive": unclear(0.5, "number"),
            "contradicted": number(0.4),
        },
    ),
    "between": (
        {"kind": "between", "reproduced": [1e-6, 0.1], "partly": [1e-10, 0.5]},
        {
            "reproduced": ratio(0.05),
            "partly": ratio(0.2),
            "inconclusive": unclear(0.5),
            "contradicted": ratio(1e-12),
        },
    ),
    "below": (
        {"kind": "below", "than": 1},
        {
            "reproduced": ratio(0.8),
            "partly": ratio(0.97),  # an effect, but none of interest
            "inconclusive": unclear(1.0),
            "contradicted": ratio(1.2),
        },
    ),
    "above": (
        {"kind": "above", "than": 0},
        {
            "reproduced": number(0.3),
            "partly": number(0.05),
            "inconclusive": unclear(0.0, "number"),
            "contradicted": number(-0.3),
        },
    ),
    "equal": (
        {"kind": "equal", "between": [0.9, 1.1]},
        {
            "reproduced": ratio(1.01),
            "inconclusive": unclear(1.0),
            "contradicted": ratio(1.3),
        },
    ),
}


def verdict_of(
    entry: dict[str, Any], effects: Sequence[Effect], others: int = OTHER_CLAIMS
) -> Verdict:
    """The verdict among more claims, each test of which is undecided."""
    criterion = build_criterion(entry)
    p_values = criterion.p_values(effects, SETTINGS)
    corrected = {
        question: float(holm(np.array([p, *[0.5] * others]))[0])
        for question, p in vars(p_values).items()
        if not np.isnan(p)
    }
    strays = criterion.strays(effects, SETTINGS)
    return criterion.verdict(replace(p_values, **corrected), strays, SETTINGS)


def test_every_criterion_is_tested() -> None:
    assert set(OUTCOMES) == set(CRITERIA)


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [(kind, one) for kind, (_, outcomes) in OUTCOMES.items() for one in outcomes],
)
def test_criteria_have_all_outcomes(kind: str, outcome: Verdict) -> None:
    entry, effects = OUTCOMES[kind]
    assert verdict_of(entry, effects[outcome]) == outcome


@pytest.mark.parametrize(
    ("numbers", "verdict"),
    [((1e-15, 9e-11), "reproduced"), ((0, 1e-7), "partly"), ((1e-15, 1e-2), "contradicted")],
)
def test_a_maximum_is_compared_and_has_no_interval(
    numbers: tuple[float, float], verdict: Verdict
) -> None:
    ours = estimate(Effect("", np.array(numbers), "largest"), SETTINGS)
    assert ours.value == max(numbers)
    assert np.isnan([ours.low, ours.high]).all()
    criterion = build_criterion({"kind": "at_most", "reproduced": 1e-10, "partly": 1e-6})
    assert criterion.verdict_without_test(ours.value) == verdict


@pytest.mark.parametrize(
    ("centers", "verdict"),
    [
        ((3, 0.8), "reproduced"),
        ((1.5, 0.8), "partly"),
        ((3, 0.3), "partly"),
        ((1.0, 0.8), "contradicted"),  # one part that is shown to fail is enough
        ((3, 0.05), "contradicted"),
    ],
)
def test_parts_can_have_a_number_each(centers: tuple[float, float], verdict: Verdict) -> None:
    entry = {"kind": "at_least", "reproduced": [2, 0.5], "partly": [1.1, 0.1]}
    effects = [*ratio(centers[0]), *number(centers[1])]
    assert verdict_of(entry, effects) == verdict
    described = build_criterion(entry).describe(SETTINGS, "ratio")
    assert described == "at least 2 and at least 0.5; partly: at least 1.1 and at least 0.1"
    with pytest.raises(ValueError, match="longer"):
        verdict_of(entry, effects[:1])


@pytest.mark.parametrize(
    ("centers", "verdict"),
    [
        ((0.5, 0.8), "reproduced"),
        ((0.5, None), "partly"),
        ((0.5, 1.5), "contradicted"),
        ((None, None), "inconclusive"),
        ((1.5, None), "contradicted"),
    ],
)
def test_of_several_parts_one_is_partly(
    centers: tuple[float | None, ...], verdict: Verdict
) -> None:
    effects = [part for c in centers for part in (unclear(1.0) if c is None else ratio(c))]
    assert verdict_of({"kind": "below", "than": 1}, effects) == verdict


@pytest.mark.parametrize(("place", "role"), [(0, "tested"), (1, "beside")])
def test_what_stands_beside_is_not_judged(place: int, role: Any) -> None:
    effects = [*ratio(0.5), replace(ratio(1.5)[0], role=role)]
    assert (
        verdict_of({"kind": "below", "than": 1}, effects) == ("contradicted", "reproduced")[place]
    )


@pytest.mark.parametrize(
    ("member", "verdict"), [(1.5, "partly"), (1.05, "partly"), (None, "reproduced")]
)
def test_a_stray_of_the_grid_leaves_it_partly(member: float | None, verdict: Verdict) -> None:
    one = (unclear(1.0) if member is None else ratio(member))[0]
    effects = [*ratio(0.5), *[replace(e, role="of the grid") for e in (*ratio(0.5), one)]]
    assert verdict_of({"kind": "below", "than": 1}, effects) == verdict


def test_strays_are_corrected_for_the_size_of_their_grid() -> None:
    values = np.exp(0.03 + 0.02 * np.array([-3, -2, -1, 0, 0, 0, 0, 1, 2, 3.0]))
    stray = Effect("stray", values, "ratio", role="of the grid")
    criterion = build_criterion({"kind": "below", "than": 1})
    others = [replace(ratio(0.9)[0], role="of the grid")] * 50
    assert criterion.strays([stray], SETTINGS) == [stray]
    assert criterion.strays([stray, *others], SETTINGS) == []


def test_the_correction_can_cost_a_verdict() -> None:
    effects = [Effect("", np.exp(-0.2 + 0.3 * np.linspace(-1, 1, 10)), "ratio")]
    for kind, cost in (
        ({"kind": "below", "than": 1}, "inconclusive"),
        ({"kind": "at_most", "reproduced": 1, "partly": 1.5}, "partly"),
        ({"kind": "above", "than": 1}, "inconclusive"),
    ):
        alone = "contradicted" if kind["kind"] == "above" else "reproduced"
        assert verdict_of(kind, effects, others=0) == alone
        assert verdict_of(kind, effects, others=300) == cost


def test_the_smallest_effect_of_interest_can_be_the_claim_s_own() -> None:
    entry = {"kind": "below", "than": 1.1, "negligible": 1}
    assert verdict_of(entry, ratio(1.05)) == "reproduced"
    assert verdict_of(entry | {"negligible": 1.2}, ratio(1.05)) == "partly"
    described = build_criterion(entry).describe(SETTINGS, "ratio")
    assert described == "below 1.1, by however little"


def test_nothing_is_told_from_two_chances_at_the_price_of_one() -> None:
    """A value outside of two ends: the smaller p-value counts twice."""
    criterion = build_criterion({"kind": "equal", "between": [0.9, 1.1]})
    one_end = build_criterion({"kind": "at_most", "reproduced": 1.1, "partly": 1.1})
    found, single = (one.p_values(ratio(1.15, 0.1), SETTINGS) for one in (criterion, one_end))
    assert 0 < single.opposite < 0.5
    assert found.opposite == pytest.approx(2 * single.opposite)
    assert found.claimed == pytest.approx(single.claimed)


def test_the_expected_slope_is_told_and_not_judged() -> None:
    criterion = build_criterion({"kind": "below", "than": 0, "expected": -1})
    for slope, says in ((-1.0, "covers -1"), (-0.3, "does not cover -1")):
        effects = number(slope)
        assert verdict_of({"kind": "below", "than": 0, "expected": -1}, effects) == "reproduced"
        ours = estimate(effects[0], SETTINGS)
        assert f"the interval {says}" in criterion.remark(ours)
    assert criterion.remark(replace(ours, low=np.nan, high=np.nan)) == ""


def test_ratios_are_averaged_as_logarithms() -> None:
    ours = estimate(Effect("", np.array([0.5, 2.0]), "ratio"), SETTINGS)
    assert ours.value == pytest.approx(1)
    assert ours.low == pytest.approx(1 / ours.high)


@pytest.mark.parametrize("entry", [entry for entry, _ in OUTCOMES.values()])
def test_the_criterion_in_words_has_its_numbers(entry: dict[str, Any]) -> None:
    described = build_criterion(entry).describe(SETTINGS, "ratio")
    for key in entry.keys() - {"kind"}:
        for threshold in np.atleast_1d(entry[key]):
            assert f"{threshold:g}" in described
