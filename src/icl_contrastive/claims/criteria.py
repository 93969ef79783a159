"""From measured effects to a verdict; thresholds are data, the criterion is decided here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from icl_contrastive.claims.evidence import Array, Effect, NotTestableError
from icl_contrastive.claims.statistics import (
    bootstrap_interval,
    sign_flip_p_value,
    smallest_p_value,
)

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


def _graded(reproduced: bool, partly: bool) -> Verdict:
    if reproduced:
        return "reproduced"
    return "partly" if partly else "not reproduced"


@dataclass(frozen=True)
class AtMost(Criterion):
    """The number is at most a threshold."""

    reproduced: float
    partly: float

    def describe(self, settings: Settings) -> str:
        return f"at most {self.reproduced:g}; partly: at most {self.partly:g}"

    def verdict(
        self, ours: Estimate, p_values: Sequence[float], corrected: float, settings: Settings
    ) -> Verdict:
        return _graded(ours.value <= self.reproduced, ours.value <= self.partly)


@dataclass(frozen=True)
class AtLeast(Criterion):
    """The number is at least a threshold."""

    reproduced: float
    partly: float

    def describe(self, settings: Settings) -> str:
        return f"at least {self.reproduced:g}; partly: at least {self.partly:g}"

    def verdict(
        self, ours: Estimate, p_values: Sequence[float], corrected: float, settings: Settings
    ) -> Verdict:
        return _graded(ours.value >= self.reproduced, ours.value >= self.partly)


@dataclass(frozen=True)
class Between(Criterion):
    """The number lies in a range."""

    reproduced: Sequence[float]
    partly: Sequence[float]

    def describe(self, settings: Settings) -> str:
        inner, outer = (f"from {low:g} to {high:g}" for low, high in (self.reproduced, self.partly))
        return f"{inner}; partly: {outer}"

    def verdict(
        self, ours: Estimate, p_values: Sequence[float], corrected: float, settings: Settings
    ) -> Verdict:
        inside = [low <= ours.value <= high for low, high in (self.reproduced, self.partly)]
        return _graded(*inside)


class Tested(Criterion):
    """A criterion on every part of the claim, each with a test of its own.

    The claim says that all parts are so. Its p-value is therefore the largest of theirs (an
    intersection-union test), and it is reproduced if that one, corrected for the number of claims,
    is below the level. It holds partly if a share of the parts passes uncorrected.
    """

    partly: float

    def p_values(
        self, effects: Sequence[Effect], settings: Settings, rng: np.random.Generator
    ) -> list[float]:
        units = min(len(effect.values) for effect in effects)
        if smallest_p_value(units) > settings.level:
            raise NotTestableError(f"{units} runs are too few for p < {settings.level:g}")
        return [self.p_value(effect, settings, rng) for effect in effects]

    @abstractmethod
    def p_value(self, effect: Effect, settings: Settings, rng: np.random.Generator) -> float:
        """Of the hypothesis that the part is not so."""

    def verdict(
        self, ours: Estimate, p_values: Sequence[float], corrected: float, settings: Settings
    ) -> Verdict:
        passed = np.mean(np.array(p_values) < settings.level)
        return _graded(corrected < settings.level, bool(passed >= self.partly))

    def _in_words(self, what: str, settings: Settings) -> str:
        return (
            f"{what} in every part (p < {settings.level:g}, corrected); "
            f"partly: in {self.partly:.0%} of the parts (uncorrected)"
        )


@dataclass(frozen=True)
class Lower(Tested):
    """Every part is below a number."""

    than: float
    partly: float

    def describe(self, settings: Settings) -> str:
        return self._in_words(f"below {self.than:g}", settings)

    def p_value(self, effect: Effect, settings: Settings, rng: np.random.Generator) -> float:
        difference = _on_scale(effect) - _to_scale(effect, self.than)
        return sign_flip_p_value(difference, "less", settings.resamples, rng)


@dataclass(frozen=True)
class Higher(Tested):
    """Every part is above a number."""

    than: float
    partly: float

    def describe(self, settings: Settings) -> str:
        return self._in_words(f"above {self.than:g}", settings)

    def p_value(self, effect: Effect, settings: Settings, rng: np.random.Generator) -> float:
        difference = _on_scale(effect) - _to_scale(effect, self.than)
        return sign_flip_p_value(difference, "greater", settings.resamples, rng)


@dataclass(frozen=True)
class Equal(Tested):
    """Every part lies between two numbers close to each other, by a test of either bound."""

    between: Sequence[float]
    partly: float

    def describe(self, settings: Settings) -> str:
        low, high = self.between
        return self._in_words(f"above {low:g} and below {high:g}", settings)

    def p_value(self, effect: Effect, settings: Settings, rng: np.random.Generator) -> float:
        low, high = self.between
        above, below = Higher(low, self.partly), Lower(high, self.partly)
        return max(bound.p_value(effect, settings, rng) for bound in (above, below))


@dataclass(frozen=True)
class Rate(Lower):
    """Every part is below a number, and their mean is as expected."""

    expected: float
    tolerance: float

    def describe(self, settings: Settings) -> str:
        return (
            f"below {self.than:g} (p < {settings.level:g}, corrected) and within "
            f"{self.tolerance:g} of {self.expected:g}; partly: below {self.than:g} (uncorrected)"
        )

    def verdict(
        self, ours: Estimate, p_values: Sequence[float], corrected: float, settings: Settings
    ) -> Verdict:
        verdict = super().verdict(ours, p_values, corrected, settings)
        near = abs(ours.value - self.expected) <= self.tolerance
        return "partly" if verdict == "reproduced" and not near else verdict


CRITERIA: dict[str, type[Criterion]] = {
    "at_most": AtMost,
    "at_least": AtLeast,
    "between": Between,
    "lower": Lower,
    "higher": Higher,
    "equal": Equal,
    "rate": Rate,
}
"""The criteria by the name that ``claims.yaml`` gives them under ``kind``."""


def build_criterion(entry: Mapping[str, Any]) -> Criterion:
    """Criterion of an entry such as ``{"kind": "at_most", "reproduced": 0.1, "partly": 0.5}``.

    Raises KeyError for an unknown kind, TypeError for thresholds that it does not have.
    """
    thresholds = {key: value for key, value in entry.items() if key != "kind"}
    return CRITERIA[entry["kind"]](**thresholds)
