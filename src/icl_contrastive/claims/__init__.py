"""The paper's claims, each with a criterion, and what a run says to them.

``workflow/claims.yaml`` lists them. A *measure* (``measures.py``) takes the run's tables to effects
with one number for each run; a *criterion* (``criteria.py``) takes effects to a
verdict. The tests of all claims are corrected together.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from icl_contrastive.claims.criteria import (
    Criterion,
    Estimate,
    Settings,
    Verdict,
    build_criterion,
    estimate,
    pool,
)
from icl_contrastive.claims.evidence import (
    KERNEL_LAYER,
    Effect,
    Evidence,
    NotTestableError,
    describe,
)
from icl_contrastive.claims.measures import LAYER, MEASURES
from icl_contrastive.statistics import holm, smallest_p_value
from icl_contrastive.streams import stream

__all__ = ["COLUMNS", "Claim", "ClaimError", "Evidence", "Settings", "evaluate", "read_claims"]

Kind = Literal["identity", "measured"]

COLUMNS = (
    "id",
    "section",
    "claim",
    "kind",
    "measure",
    "criterion",
    "paper",
    "ours",
    "interval_low",
    "interval_high",
    "p_value",
    "p_corrected",
    "verdict",
    "where",
    "note",
    "changed",
    "first_verdict",
    "ours_scaled",
    "verdict_scaled",
)


class ClaimError(ValueError):
    """An entry of the list of claims that cannot be evaluated; the message names it."""


@dataclass(frozen=True)
class Claim:
    """A checkable sentence of the paper.

    Attributes:
        id: a short name.
        section: where the paper says it.
        kind: whether algebra decides it, whatever is trained, or the run.
        claim: a paraphrase.
        paper: the paper's own value or words for the result, may be empty.
        measure: name of the measure, and its arguments.
        criterion: when it counts as reproduced.
        where: the figure or table to look at.
        changed: how measure or criterion were changed after the first full run, may be empty.
        first_verdict: if so, the verdict of that run.
    """

    id: str
    section: str
    kind: Kind
    claim: str
    paper: str
    measure: str
    arguments: dict[str, Any]
    criterion: Criterion
    where: str
    changed: str = ""
    first_verdict: str = ""

    @property
    def measured(self) -> str:
        """What is measured, in words."""
        defaults = {"base": KERNEL_LAYER, "predictor": LAYER}
        if self.measure == "error_ratio":
            defaults["base"] = LAYER
        values = {key: _in_words(value) for key, value in (defaults | self.arguments).items()}
        setting = self.arguments.get("setting")
        where = f"; {describe(setting)}" if setting else ""
        return MEASURES[self.measure].text.format(**values) + where


def _in_words(value: Any) -> Any:
    if isinstance(value, Mapping):
        return describe(value)
    return " or ".join(value) if isinstance(value, list) else value


@dataclass(frozen=True)
class Finding:
    """What a run says to a claim, before its test is corrected for those of the others."""

    ours: Estimate
    parts: list[tuple[Effect, Estimate]]
    p_values: list[float]

    @property
    def lacks_interval(self) -> bool:
        """Whether there should be an interval around its number, and there is none."""
        return any(effect.scale != "largest" and np.isnan(one.low) for effect, one in self.parts)

    @property
    def units(self) -> int:
        """Of how many the test is that has the fewest."""
        return min(len(effect.values) for effect, _ in self.parts)


def read_claims(entries: Mapping[str, Any]) -> tuple[Settings, list[Claim]]:
    """The list of claims and how they are tested, from the file's ``statistics`` and ``claims``.

    Raises ClaimError.
    """
    try:
        settings = Settings(**entries["statistics"])
    except (KeyError, TypeError) as error:
        raise ClaimError(f"statistics: {error}") from error
    claims = [_read_claim(entry) for entry in entries["claims"]]
    names = [claim.id for claim in claims]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ClaimError(f"{', '.join(sorted(twice))}: given twice")
    return settings, claims


def _read_claim(entry: Mapping[str, Any]) -> Claim:
    name = entry.get("id", "a claim without id")
    try:
        rest = {"paper": "", "kind": "measured", **entry}
        if rest["kind"] not in get_args(Kind):
            raise TypeError(f"kind is one of {', '.join(get_args(Kind))}")
        arguments = dict(rest.pop("measure"))
        measure = arguments.pop("name")
        inspect.signature(MEASURES[measure].effects).bind(None, **arguments)
        criterion = build_criterion(rest.pop("criterion"))
        if "changed" in rest:
            change = rest["changed"]
            rest |= {"changed": change["how"], "first_verdict": change["first_verdict"]}
            if rest["first_verdict"] not in get_args(Verdict):
                raise TypeError(f"first_verdict is one of {', '.join(get_args(Verdict))}")
        claim = Claim(**rest, measure=measure, arguments=arguments, criterion=criterion)
    except (KeyError, TypeError) as error:
        raise ClaimError(f"{name}: {type(error).__name__}: {error}") from error
    return claim


def evaluate(
    claims: Sequence[Claim],
    evidence: Evidence,
    settings: Settings,
    seed: int,
    scaled: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """The scorecard: a row for each claim, with ``COLUMNS``.

    ``scaled`` is the scorecard of the run with keys and queries multiplied by d^(−1/4), whose
    numbers and verdicts stand beside this run's.

    A claim for which the run has not what it takes is ``not tested``, and its note says why. The
    tests of all others are corrected together by Holm's method; a claim that could not pass it
    whatever its values, since the run has too few units, is not tested either, nor is one whose
    number has no interval for that reason.
    """
    findings: dict[str, Finding] = {}
    reasons: dict[str, str] = {}
    for claim in claims:
        try:
            findings[claim.id] = _find(claim, evidence, settings, seed)
        except NotTestableError as error:
            reasons[claim.id] = str(error)
    for name, finding in findings.items():
        if finding.lacks_interval:
            reasons[name] = f"too few runs ({finding.units}) for an interval around the number"
    with_test = [name for name, finding in findings.items() if finding.p_values]
    for name in with_test:
        units = findings[name].units
        if smallest_p_value(units, settings.resamples) * len(with_test) > settings.level:
            reasons[name] = (
                f"too few runs ({units}) for p < {settings.level:g} after the correction for the "
                f"number of tests ({len(with_test)})"
            )
    tested = [name for name in with_test if name not in reasons]
    p_values = np.array([max(findings[name].p_values) for name in tested])
    corrected = dict(zip(tested, holm(p_values), strict=True))
    other: dict[str, dict[str, Any]] = {}
    if scaled is not None:
        beside = scaled.set_index("id")[["ours", "verdict"]].add_suffix("_scaled")
        other = {str(name): dict(row) for name, row in beside.iterrows()}
    rows = []
    for claim in claims:
        row: dict[str, Any] = {
            "id": claim.id,
            "section": claim.section,
            "claim": claim.claim,
            "kind": claim.kind,
            "measure": claim.measured,
            "criterion": claim.criterion.describe(settings),
            "paper": claim.paper,
            "where": claim.where,
            "changed": claim.changed,
            "first_verdict": claim.first_verdict,
            **other.get(claim.id, {}),
        }
        if claim.id in findings:
            ours = findings[claim.id].ours
            row |= {"ours": ours.value, "interval_low": ours.low, "interval_high": ours.high}
        if claim.id in reasons:
            row |= {"verdict": "not tested", "note": reasons[claim.id]}
        else:
            row |= _judge(claim, findings[claim.id], corrected.get(claim.id, np.nan), settings)
        rows.append(row)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _find(claim: Claim, evidence: Evidence, settings: Settings, seed: int) -> Finding:
    effects = MEASURES[claim.measure].effects(evidence, **claim.arguments)
    for effect in effects:
        usable = effect.values > 0 if effect.scale == "ratio" else np.isfinite(effect.values)
        if not (usable.all() and np.isfinite(effect.values).all()):
            raise NotTestableError(
                f"{effect.label}: not all values are numbers that can be averaged"
            )
    rng = stream(seed, "claims", claim.id, "bootstrap")
    parts = [(effect, estimate(effect, settings, rng)) for effect in effects]
    ours = parts[0][1] if len(parts) == 1 else estimate(pool(effects), settings, rng)
    p_values = claim.criterion.p_values(effects, settings, stream(seed, "claims", claim.id, "test"))
    return Finding(ours, parts, p_values)


def _judge(claim: Claim, finding: Finding, corrected: float, settings: Settings) -> dict[str, Any]:
    ours, p_values = finding.ours, finding.p_values
    verdict: Verdict = claim.criterion.verdict(ours, p_values, corrected, settings)
    notes = []
    if len(p_values) > 1:
        passed = sum(p < settings.level for p in p_values)
        notes.append(f"{passed} of {len(p_values)} parts pass without the correction")
    if len(finding.parts) > 1:
        tests = [f", p = {p:.2g}" for p in p_values] or [""] * len(finding.parts)
        notes += [
            f"{effect.label} {one.value:.3g} [{one.low:.3g}, {one.high:.3g}]{test}"
            for (effect, one), test in zip(finding.parts, tests, strict=True)
        ]
    notes += filter(None, [claim.criterion.remark(ours)])
    return {
        "p_value": max(p_values) if p_values else np.nan,
        "p_corrected": corrected,
        "verdict": verdict,
        "note": "; ".join(notes),
    }
