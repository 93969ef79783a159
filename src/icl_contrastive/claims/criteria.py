"""From measured effects to a verdict; thresholds are data, the criterion is decided here.

A criterion names two regions of numbers: the one that the claim says, and what may still be called
so. Every question about them is put as a test on the runs: is the mean effect shown to be inside of
the region, or outside? ``workflow/docs/verdicts.md`` has it in full.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Real
from typing import Any, Literal

import numpy as np

from icl_contrastive.claims.evidence import Effect, Scale
from icl_contrastive.statistics import mean_interval, mean_p_value

Verdict = Literal["reproduced", "partly", "inconclusive", "contradicted", "not tested"]


@dataclass(frozen=True)
class Settings:
    """How all criteria count.

    Attributes:
        level: error level of the tests.
        confidence: of the intervals.
        negligible: the smallest effect of interest on every scale, a factor for ``ratio``.
    """

    level: float
    confidence: float
    negligible: Mapping[str, float]

    def __post_init__(self) -> None:
        """Raises TypeError for what is no such number."""
        for name in ("level", "confidence"):
            if not 0 < _number(name, getattr(self, name)) < 1:
                raise TypeError(f"{name} {getattr(self, name)!r} must be between 0 and 1")
        for name, least in (("ratio", 1), ("number", 0)):
            number = self.negligible[name]
            if not _number(f"negligible {name}", number) > least:
                raise TypeError(f"negligible {name} {number!r} must be above {least}")


def _number(name: str, number: Any) -> float:
    """A real number; raises TypeError, also for 1e-6, which is a text in YAML, 1.0e-6 is not."""
    if isinstance(number, bool) or not isinstance(number, Real) or math.isnan(number):
        raise TypeError(f"{name} {number!r} must be a number, written as 1.0e-6 if it is small")
    return float(number)


@dataclass(frozen=True)
class Estimate:
    """An effect's number and its interval (NaN where there is none), on the scale of the table."""

    value: float
    low: float
    high: float


def estimate(effect: Effect, settings: Settings) -> Estimate:
    """Mean of an effect's values with its t-interval, geometric for ratios; or the largest."""
    values = effect.on_scale
    if effect.scale == "largest":
        return Estimate(float(values.max()), np.nan, np.nan)
    numbers = [float(values.mean()), *mean_interval(values, settings.confidence)]
    return Estimate(*(np.exp(numbers).tolist() if effect.scale == "ratio" else numbers))


@dataclass(frozen=True)
class Region:
    """The numbers between two ends, which may be infinite."""

    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self) -> None:
        """Raises TypeError for ends that are no numbers."""
        for end in (self.low, self.high):
            _number("threshold", end)

    def holds(self, number: float) -> bool:
        """Whether the number lies in it."""
        return self.low <= number <= self.high

    def p_inside(self, effect: Effect) -> float:
        """Of the hypothesis that the mean effect lies outside."""
        return max(self._tests(effect, "greater", "less"))

    def p_outside(self, effect: Effect) -> float:
        """Of the hypothesis that it lies inside; two ends are two chances, and corrected for."""
        p_values = self._tests(effect, "less", "greater")
        return min(1.0, len(p_values) * min(p_values))

    def _tests(
        self,
        effect: Effect,
        at_low: Literal["less", "greater"],
        at_high: Literal["less", "greater"],
    ) -> list[float]:
        """p-values of a test at each finite end."""
        ends = [(self.low, at_low), (self.high, at_high)]
        return [
            mean_p_value(effect.on_scale, side, math.log(end) if effect.scale == "ratio" else end)
            for end, side in ends
            if math.isfinite(end) and not (effect.scale == "ratio" and end <= 0)
        ]

    def __str__(self) -> str:
        if math.isinf(self.low):
            return f"at most {self.high:g}"
        if math.isinf(self.high):
            return f"at least {self.low:g}"
        return f"from {self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class PValues:
    """Of a claim's tests, each for the hypothesis that it is not so.

    Attributes:
        claimed: that all parts are as the claim says.
        weaker: that they meet the weaker criterion, or, where there is none, that some part of
            several is as the claim says; NaN where there is neither.
        opposite: that some part, whose number is not as the claim says, is shown not to be even
            what may still be called so.
        negligible: that some part of a claim on a direction has less than the smallest effect of
            interest; NaN for other claims.
    """

    claimed: float
    weaker: float
    opposite: float
    negligible: float


@dataclass(frozen=True)
class Criterion:
    """When a claim counts as reproduced, and when as contradicted.

    Attributes:
        claimed: what the claim says, a region for each of its parts, or one for all.
        weaker: likewise, what counts as ``partly``; None for a claim on a direction, for which an
            effect below the smallest one of interest is as good as none.
        negligible: that smallest effect if it is not that of the settings.
        expected: a number that theory expects, which is told and not judged.
    """

    claimed: Sequence[Region]
    weaker: Sequence[Region] | None = None
    negligible: float | None = None
    expected: float | None = None

    def describe(self, settings: Settings, scale: Scale) -> str:
        """The criterion in words, thresholds included."""
        claimed = " and ".join(map(str, self.claimed))
        if self.weaker is not None:
            weaker = " and ".join(map(str, self.weaker))
            return claimed if weaker == claimed else f"{claimed}; partly: {weaker}"
        directed = claimed.replace("at most", "below").replace("at least", "above")
        least = settings.negligible[scale] if self.negligible is None else self.negligible
        if least == (1 if scale == "ratio" else 0):
            return f"{directed}, by however little"
        factor = "a factor of " if scale == "ratio" else ""
        return f"{directed}; smallest effect of interest: {factor}{least:g}"

    def p_values(self, effects: Sequence[Effect], settings: Settings) -> PValues:
        """Of the tests on the parts of a claim."""
        tested = [effect for effect in effects if effect.role == "tested"]
        parts = self._with(tested, self.claimed)
        claimed = [region.p_inside(effect) for effect, region in parts]
        if self.weaker is None:
            tolerated = [self._narrowed(region, effect, settings) for effect, region in parts]
            weaker = _any_of(claimed) if len(claimed) > 1 else math.nan
        else:
            tolerated = [region for _, region in self._with(tested, self.weaker)]
            weaker = max(map(Region.p_inside, tolerated, tested))
        outside = list(map(Region.p_outside, tolerated, tested))
        leaning = [
            1.0 if region.low < effect.mean < region.high else p
            for (effect, region), p in zip(parts, outside, strict=True)
        ]
        negligible = math.nan if self.weaker is not None else _any_of(outside)
        return PValues(max(claimed), weaker, _any_of(leaning), negligible)

    def strays(self, effects: Sequence[Effect], settings: Settings) -> list[Effect]:
        """The variants of a grid that are shown to go the other way, corrected for their number.

        A claim on a grid has one region for all.
        """
        grid = [effect for effect in effects if effect.role == "of the grid"]
        return [
            effect
            for effect in grid
            if self.claimed[0].p_outside(effect) * len(grid) < settings.level
        ]

    def verdict(self, p_values: PValues, strays: Sequence[Effect], settings: Settings) -> Verdict:
        """The verdict, given the p-values as they are corrected for the number of claims."""
        claimed, weaker, opposite, negligible = (
            p < settings.level
            for p in (p_values.claimed, p_values.weaker, p_values.opposite, p_values.negligible)
        )
        if claimed and not negligible and not strays:
            return "reproduced"
        if opposite:
            return "contradicted"
        return "partly" if claimed or weaker else "inconclusive"

    def is_claimed(self, number: float) -> bool:
        """Whether the first part would be as claimed; on the edge of a direction it is not."""
        region = self.claimed[0]
        on_edge = number in (region.low, region.high)
        return region.holds(number) and (self.weaker is not None or not on_edge)

    def verdict_without_test(self, number: float) -> Verdict:
        """Of an effect for which there is no interval."""
        if self.claimed[0].holds(number):
            return "reproduced"
        return "partly" if self.weaker and self.weaker[0].holds(number) else "contradicted"

    def remark(self, ours: Estimate) -> str:
        """What else the claim's number says; no part of the verdict."""
        if self.expected is None or np.isnan(ours.low):
            return ""
        covers = "covers" if ours.low <= self.expected <= ours.high else "does not cover"
        return f"the interval {covers} {self.expected:g}, the slope expected for large d_r"

    def _with(
        self, effects: Sequence[Effect], regions: Sequence[Region]
    ) -> list[tuple[Effect, Region]]:
        """Each part with its own region; one serves all."""
        many = len(regions) > 1
        return list(zip(effects, regions if many else [*regions] * len(effects), strict=True))

    def _narrowed(self, region: Region, effect: Effect, settings: Settings) -> Region:
        """By the smallest effect of interest."""
        by = settings.negligible[effect.scale] if self.negligible is None else self.negligible
        if effect.scale == "ratio":
            return Region(region.low * by, region.high / by)
        return Region(region.low + by, region.high - by)


def _any_of(p_values: Sequence[float]) -> float:
    """Of several, each of which would do (Bonferroni)."""
    return min(1.0, len(p_values) * min(p_values))


def _threshold(region: Callable[[Any], Region], reproduced: Any, partly: Any) -> Criterion:
    """Numbers, or a list of them with one for each part."""
    parts = zip(*map(_as_list, (reproduced, partly)), strict=True)
    claimed, weaker = zip(*[(region(one), region(other)) for one, other in parts], strict=True)
    return Criterion(claimed, weaker)


def _between(reproduced: Sequence[float], partly: Sequence[float]) -> Criterion:
    return Criterion([Region(*reproduced)], [Region(*partly)])


def _equal(between: Sequence[float]) -> Criterion:
    return _between(between, between)


def _beyond(
    region: Callable[[float], Region],
    than: float | Sequence[float],
    negligible: float | None = None,
    expected: float | None = None,
) -> Criterion:
    return Criterion([region(number) for number in _as_list(than)], None, negligible, expected)


def _as_list(numbers: Any) -> Sequence[float]:
    return numbers if isinstance(numbers, list | tuple) else [numbers]


_at_least, _at_most = Region, partial(Region, -math.inf)


CRITERIA: dict[str, Callable[..., Criterion]] = {
    "at_most": partial(_threshold, _at_most),
    "at_least": partial(_threshold, _at_least),
    "between": _between,
    "below": partial(_beyond, _at_most),
    "above": partial(_beyond, _at_least),
    "equal": _equal,
}
"""The criteria by the name that ``claims.yaml`` gives them under ``kind``."""


def build_criterion(entry: Mapping[str, Any]) -> Criterion:
    """Criterion of an entry such as ``{"kind": "at_most", "reproduced": 0.1, "partly": 0.5}``.

    Raises KeyError for an unknown kind, TypeError for thresholds that it does not have.
    """
    thresholds = {key: value for key, value in entry.items() if key != "kind"}
    return CRITERIA[entry["kind"]](**thresholds)
