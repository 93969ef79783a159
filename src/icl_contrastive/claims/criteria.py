"""From measured effects to a verdict; thresholds are data, the criterion is decided here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from icl_contrastive.claims.evidence import Array, Effect
from icl_contrastive.statistics import Alternative, bootstrap_interval, sign_flip_p_value

Verdict = Literal["reproduced", "partly", "not reproduced", "not tested"]


@dataclass(frozen=True)
class Settings:
    """How all criteria count: error level of the tests, confidence of the intervals, resamples."""

    level: float
    confidence: float
    resamples: int


@dataclass(frozen=True)
class Estimate:
    """An effect's number and its interval (NaN where there is none), on the scale of the table."""

    value: float
    low: float
    high: float


def estimate(effect: Effect, settings: Settings, rng: np.random.Generator) -> Estimate:
    """Mean of an effect's values, geometric for ratios, or the largest; bootstrap interval."""
    values = _on_scale(effect)
    if effect.scale == "largest":
        return Estimate(float(values.max()), np.nan, np.nan)
    interval = bootstrap_interval(values, settings.confidence, settings.resamples, rng)
    numbers = [float(values.mean()), *interval]
    return Estimate(*(np.exp(numbers).tolist() if effect.scale == "ratio" else numbers))


def pool(effects: Sequence[Effect]) -> Effect:
    """The parts that make up the claim's own number as one effect, unit by unit."""
    shown = [effect for effect in effects if effect.headline]
    if len(shown) == 1:
        return shown[0]
    values = np.stack([_on_scale(effect) for effect in shown])
    scale = shown[0].scale
    joined = values.max(0) if scale == "largest" else values.mean(0)
    return Effect("all", np.exp(joined) if scale == "ratio" else joined, scale)


def _on_scale(effect: Effect) -> Array:
    return np.log(effect.values) if effect.scale == "ratio" else effect.values


def _to_scale(effect: Effect, number: float) -> float:
    return float(np.log(number)) if effect.scale == "ratio" else number


class Criterion(ABC):
    """When a claim counts as reproduced."""

    @abstractmethod
    def describe(self, settings: Settings) -> str:
        """The criterion in words, thresholds included."""

    def p_values(
        self, effects: Sequence[Effect], settings: Settings, rng: np.random.Generator
    ) -> list[float]:
        """One for each effect, or none at all for a criterion without a test."""
        return []

    @abstractmethod
    def verdict(
        self, ours: Estimate, p_values: Sequence[float], corrected: float, settings: Settings
    ) -> Verdict:
        """The verdict, given the claim's number, its parts' p-values and the corrected one."""

    def remark(self, ours: Estimate) -> str:
        """What else the claim's number says; no part of the verdict."""
        return ""


def _graded(reproduced: bool, partly: bool) -> Verdict:
    if reproduced:
        return "reproduced"
    return "partly" if partly else "not reproduced"


class Threshold(Criterion):
    """A criterion without a test: the number, and the interval around it if there is one.

    It is reproduced if the whole interval meets the criterion, and holds partly if the number
    meets a weaker one.
    """

    def verdict(
        self, ours: Estimate, p_values: Sequence[float], corrected: float, settings: Settings
    ) -> Verdict:
        ends = [number for number in (ours.value, ours.low, ours.high) if not np.isnan(number)]
        return _graded(all(map(self.meets, ends)), self.nearly_meets(ours.value))

    @abstractmethod
    def meets(self, number: float) -> bool:
        """Whether a number is as the claim says."""

    @abstractmethod
    def nearly_meets(self, number: float) -> bool:
        """Whether a number is partly as the claim says."""

    @staticmethod
    def _in_words(reproduced: str, partly: str) -> str:
        return f"{reproduced}, with its whole interval if it has one; partly: {partly}"


@dataclass(frozen=True)
class AtMost(Threshold):
    """The number is at most a threshold."""

    reproduced: float
    partly: float

    def describe(self, settings: Settings) -> str:
        return self._in_words(f"at most {self.reproduced:g}", f"at most {self.partly:g}")

    def meets(self, number: float) -> bool:
        return number <= self.reproduced

    def nearly_meets(self, number: float) -> bool:
        return number <= self.partly


@dataclass(frozen=True)
class AtLeast(Threshold):
    """The number is at least a threshold."""

    reproduced: float
    partly: float

    def describe(self, settings: Settings) -> str:
        return self._in_words(f"at least {self.reproduced:g}", f"at least {self.partly:g}")

    def meets(self, number: float) -> bool:
        return number >= self.reproduced

    def nearly_meets(self, number: float) -> bool:
        return number >= self.partly


@dataclass(frozen=True)
class Between(Threshold):
    """The number lies in a range."""

    reproduced: Sequence[float]
    partly: Sequence[float]

    def describe(self, settings: Settings) -> str:
        inner, outer = (f"from {low:g} to {high:g}" for low, high in (self.reproduced, self.partly))
        return self._in_words(inner, outer)

    def meets(self, number: float) -> bool:
        return self.reproduced[0] <= number <= self.reproduced[1]

    def nearly_meets(self, number: float) -> bool:
        return self.partly[0] <= number <= self.partly[1]


class Tested(Criterion):
    """A criterion on every part of the claim, each with a test of its own.

    The claim says that all parts are so. Its p-value is therefore the largest of theirs (an
    intersection-union test), and it is reproduced if that one, corrected for the number of claims,
    is below the level. It holds partly if a share of the parts passes uncorrected.
    """

    partly: float

    @abstractmethod
    def p_values(
        self, effects: Sequence[Effect], settings: Settings, rng: np.random.Generator
    ) -> list[float]:
        """For each part, of the hypothesis that it is not so."""

    def verdict(
        self, ours: Estimate, p_values: Sequence[float], corrected: float, settings: Settings
    ) -> Verdict:
        passed = np.mean(np.array(p_values) < settings.level)
        return _graded(corrected < settings.level, bool(passed >= self.partly))

    def _in_words(self, what: str, settings: Settings) -> str:
        weaker = "" if self.partly == 1 else f"in at least {self.partly:.0%} of the parts, "
        return (
            f"{what} in every part (p < {settings.level:g}, corrected); "
            f"partly: {weaker}without the correction"
        )


Side = Literal["below", "above"]


def _p_value(
    effect: Effect, side: Side, than: float, settings: Settings, rng: np.random.Generator
) -> float:
    """Of the hypothesis that the effect is not on that side of a number."""
    difference = _on_scale(effect) - _to_scale(effect, than)
    alternative: Alternative = "less" if side == "below" else "greater"
    return sign_flip_p_value(difference, alternative, settings.resamples, rng)


@dataclass(frozen=True)
class Beyond(Tested):
    """Every part is on one side of a number: the same for all, or a list with one for each."""

    side: Side
    than: float | Sequence[float]
    partly: float

    def describe(self, settings: Settings) -> str:
        numbers = self.than if isinstance(self.than, Sequence) else [self.than]
        words = " and ".join(f"{number:g}" for number in numbers)
        return self._in_words(
            f"{self.side} {words}{', respectively,' if len(numbers) > 1 else ''}", settings
        )

    def p_values(
        self, effects: Sequence[Effect], settings: Settings, rng: np.random.Generator
    ) -> list[float]:
        numbers = self.than if isinstance(self.than, Sequence) else [self.than] * len(effects)
        return [
            _p_value(effect, self.side, number, settings, rng)
            for effect, number in zip(effects, numbers, strict=True)
        ]


@dataclass(frozen=True)
class Rate(Beyond):
    """Every part is below a number; what theory expects of it is told, not judged."""

    expected: float

    def remark(self, ours: Estimate) -> str:
        if np.isnan(ours.low):
            return ""
        covers = "covers" if ours.low <= self.expected <= ours.high else "does not cover"
        return f"the interval {covers} {self.expected:g}, the slope expected for large d_r"


@dataclass(frozen=True)
class Equal(Tested):
    """Every part lies between two numbers close to each other, by a test of either bound."""

    between: Sequence[float]
    partly: float

    def describe(self, settings: Settings) -> str:
        low, high = self.between
        return self._in_words(f"above {low:g} and below {high:g}", settings)

    def p_values(
        self, effects: Sequence[Effect], settings: Settings, rng: np.random.Generator
    ) -> list[float]:
        low, high = self.between
        return [
            max(
                _p_value(effect, "above", low, settings, rng),
                _p_value(effect, "below", high, settings, rng),
            )
            for effect in effects
        ]


CRITERIA: dict[str, Callable[..., Criterion]] = {
    "at_most": AtMost,
    "at_least": AtLeast,
    "between": Between,
    "below": partial(Beyond, "below"),
    "above": partial(Beyond, "above"),
    "rate": partial(Rate, "below"),
    "equal": Equal,
}
"""The criteria by the name that ``claims.yaml`` gives them under ``kind``."""


def build_criterion(entry: Mapping[str, Any]) -> Criterion:
    """Criterion of an entry such as ``{"kind": "at_most", "reproduced": 0.1, "partly": 0.5}``.

    Raises KeyError for an unknown kind, TypeError for thresholds that it does not have.
    """
    thresholds = {key: value for key, value in entry.items() if key != "kind"}
    return CRITERIA[entry["kind"]](**thresholds)
