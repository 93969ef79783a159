"""The paper's claims, each with a criterion, and what a run says to them.

``workflow/claims.yaml`` lists them. A *measure* (``measures``) takes the run's tables to effects
with one number for each run; a *criterion* (``criteria.py``) takes effects to a verdict. The tests
of all claims are corrected together.
"""

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import pandas as pd

from icl_contrastive.claims.criteria import (
    Criterion,
    PValues,
    Settings,
    Verdict,
    build_criterion,
    estimate,
)
from icl_contrastive.claims.evidence import Effect, Evidence, NotTestableError, describe
from icl_contrastive.claims.measures import MEASURES
from icl_contrastive.statistics import holm

__all__ = [
    "COLUMNS",
    "OTHER_RUNS",
    "Claim",
    "ClaimError",
    "Evidence",
    "Findings",
    "Settings",
    "combined",
    "evaluate",
    "read_claims",
]

Kind = Literal["identity", "measured", "motivation"]

FIRST_VERDICTS = ("reproduced", "partly", "not reproduced")
"""Those of the first full run, which did not tell contradicted from inconclusive."""

OTHER_RUNS = ("confirm", "scaled", "before")
"""Those whose verdicts stand beside a run's own: a fresh seed and more runs; the other reading of
section 3.1; and the first full run with unit norm, by the criteria that there were then."""

COLUMNS = (
    *("id", "statement", "section", "claim", "kind", "measure", "criterion", "paper"),
    *("ours", "interval_low", "interval_high", "p_value", "p_corrected", "p_opposite"),
    *("verdict", "where", "note", "changed", "first_verdict"),
    *(f"{what}_{run}" for run in OTHER_RUNS for what in ("ours", "verdict")),
)


class ClaimError(ValueError):
    """An entry of the list of claims that cannot be evaluated; the message names it."""


@dataclass(frozen=True)
class Claim:
    """A checkable sentence of the paper.

    Attributes:
        id: a short name.
        section: where the paper says it.
        kind: whether algebra decides it, whatever is trained, or the run; or whether the paper says
            it of other models, as its motivation.
        claim: a paraphrase.
        paper: the paper's own value or words for the result, may be empty.
        measure: name of the measure, and its arguments.
        criterion: when it counts as reproduced.
        where: the figure or table to look at.
        changed: how measure or criterion were changed after the first full run, may be empty.
        first_verdict: if so, the verdict of that run.
        statement: the sentence of the paper that the claim is about; several may share one.
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
    statement: str = ""

    @property
    def measured(self) -> str:
        """What is measured, in words."""
        measure = MEASURES[self.measure]
        bound = inspect.signature(measure.effects).bind(None, **self.arguments)
        bound.apply_defaults()
        values = {key: _in_words(value) for key, value in bound.arguments.items()}
        grids = {"trend": ", at the end of the grid's trend", "mean": ", mean of the grid"}
        values["over"] = grids.get(values.get("over") or "", "")
        where = f"; {values['setting']}" if values.get("setting") else ""
        return measure.text.format(**values) + where


def _in_words(value: Any) -> Any:
    if isinstance(value, Mapping):
        return describe(value)
    return " or ".join(value) if isinstance(value, list) else value


class Findings(NamedTuple):
    """What a run says.

    Attributes:
        scorecard: a row for each claim, with ``COLUMNS``.
        effects: what the verdicts rest on: id, part, role, scale, run, value.
    """

    scorecard: pd.DataFrame
    effects: pd.DataFrame


def read_claims(entries: Mapping[str, Any]) -> tuple[Settings, list[Claim]]:
    """The list of claims and how they are tested, from the file's ``statistics`` and ``claims``.

    Raises ClaimError.
    """
    try:
        settings = Settings(**entries["statistics"])
    except (KeyError, TypeError) as error:
        raise ClaimError(f"statistics: {error}") from error
    listed = entries.get("claims")
    if not (isinstance(listed, list | tuple) and listed):
        raise ClaimError(f"claims: {type(listed).__name__} must be a list of claims")
    claims = [_read_claim(entry) for entry in listed]
    names = [claim.id for claim in claims]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ClaimError(f"{', '.join(sorted(twice))}: given twice")
    return settings, claims


def _read_claim(entry: Mapping[str, Any]) -> Claim:
    name = entry.get("id", "a claim without id") if isinstance(entry, Mapping) else entry
    try:
        if not isinstance(name, str):
            raise TypeError("id is a text")
        rest = {"paper": "", "kind": "measured", "statement": name, **entry}
        if rest["kind"] not in get_args(Kind):
            raise TypeError(f"kind is one of {', '.join(get_args(Kind))}")
        arguments = dict(rest.pop("measure"))
        measure = arguments.pop("name")
        inspect.signature(MEASURES[measure].effects).bind(None, **arguments)
        criterion = build_criterion(rest.pop("criterion"))
        if "changed" in rest:
            change = rest["changed"]
            rest |= {"changed": change["how"], "first_verdict": change["first_verdict"]}
            if rest["first_verdict"] not in FIRST_VERDICTS:
                raise TypeError(f"first_verdict is one of {', '.join(FIRST_VERDICTS)}")
        claim = Claim(**rest, measure=measure, arguments=arguments, criterion=criterion)
        if not isinstance(arguments.get("of", {}), Mapping):
            raise TypeError("of is a mapping, such as {model: softmax}")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ClaimError(f"{name}: {type(error).__name__}: {error}") from error
    return claim


def combined(verdicts: Iterable[str]) -> Verdict:
    """The verdict on a statement of the paper from those on the claims that are about it.

    Reproduced if all are; partly if any is so at least partly; else contradicted if any is, and
    inconclusive if none is. What is not tested counts for nothing beside what is.
    """
    tested = [verdict for verdict in verdicts if verdict != "not tested"]
    if not tested:
        return "not tested"
    if all(verdict == "reproduced" for verdict in tested):
        return "reproduced"
    if not {"reproduced", "partly"}.isdisjoint(tested):
        return "partly"
    return "contradicted" if "contradicted" in tested else "inconclusive"


def evaluate(
    claims: Sequence[Claim],
    evidence: Evidence,
    settings: Settings,
    others: Mapping[str, pd.DataFrame] | None = None,
) -> Findings:
    """The scorecard and the effects that it rests on.

    A claim for which the run has not what it takes is ``not tested``, and its note says why; so is
    one whose number has no interval, since there are too few runs. The tests of all others are
    corrected together by Holm's method, apart for each of the questions of ``PValues``. ``others``
    are scorecards of ``OTHER_RUNS``, whose numbers and verdicts stand beside this run's.
    """
    effects: dict[str, list[Effect]] = {}
    reasons: dict[str, str] = {}
    tests: dict[str, PValues] = {}
    for claim in claims:
        try:
            found = _usable(MEASURES[claim.measure].effects(evidence, **claim.arguments))
        except NotTestableError as error:
            reasons[claim.id] = str(error)
            continue
        effects[claim.id] = found
        if _main(found).scale == "largest":
            continue
        if (units := min(len(effect.values) for effect in found)) < 2:
            reasons[claim.id] = f"too few runs ({units}) for an interval around the number"
        else:
            tests[claim.id] = claim.criterion.p_values(found, settings)
    corrected = _corrected(tests)
    beside = {name: other.set_index("id") for name, other in (others or {}).items()}
    rows = []
    for claim in claims:
        row: dict[str, Any] = {
            **{name: value for name, value in vars(claim).items() if name in COLUMNS},
            "measure": claim.measured,
            "criterion": claim.criterion.describe(settings, MEASURES[claim.measure].scale),
            **dict.fromkeys(["note", *(f"verdict_{run}" for run in OTHER_RUNS)], ""),
        }
        for name, other in beside.items():
            if claim.id in other.index:
                row[f"ours_{name}"] = other.loc[claim.id, "ours"]
                row[f"verdict_{name}"] = other.loc[claim.id, "verdict"]
        if claim.id in effects:
            ours = estimate(_main(effects[claim.id]), settings)
            row |= {"ours": ours.value, "interval_low": ours.low, "interval_high": ours.high}
        if claim.id in reasons:
            row |= {"verdict": "not tested", "note": reasons[claim.id]}
        elif claim.id not in tests:
            row["verdict"] = claim.criterion.verdict_without_test(row["ours"])
        else:
            row["p_value"] = tests[claim.id].claimed
            row |= _judge(claim, effects[claim.id], corrected[claim.id], settings)
        rows.append(row)
    return Findings(pd.DataFrame(rows, columns=list(COLUMNS)), _as_table(effects))


def _usable(effects: list[Effect]) -> list[Effect]:
    for effect in effects:
        positive = effect.scale != "ratio" or (effect.values > 0).all()
        if not (positive and np.isfinite(effect.values).all()):
            raise NotTestableError(
                f"{effect.label}: not all values are numbers that can be averaged"
            )
    return effects


def _main(effects: Sequence[Effect]) -> Effect:
    """The part that the claim's own number is taken from."""
    return next(effect for effect in effects if effect.role == "tested")


def _corrected(tests: Mapping[str, PValues]) -> dict[str, PValues]:
    """The same for the number of claims; each question is a family of its own."""
    families: dict[str, dict[str, float]] = {}
    for question in (field.name for field in fields(PValues)):
        asked = {
            name: p for name, one in tests.items() if not np.isnan(p := getattr(one, question))
        }
        families[question] = dict(
            zip(asked, holm(np.array(list(asked.values()))).tolist(), strict=True)
        )
    return {
        name: PValues(**{family: ps.get(name, np.nan) for family, ps in families.items()})
        for name in tests
    }


def _as_table(effects: Mapping[str, Sequence[Effect]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            (name, one.label, one.role, one.scale, run, value)
            for name, parts in effects.items()
            for one in parts
            for run, value in enumerate(one.values)
        ],
        columns=["id", "part", "role", "scale", "run", "value"],
    )


def _judge(
    claim: Claim, effects: Sequence[Effect], corrected: PValues, settings: Settings
) -> dict[str, Any]:
    strays = claim.criterion.strays(effects, settings)
    own = _main(effects)
    as_claimed = sum(map(claim.criterion.is_claimed, own.values))
    notes = [
        f"so in {as_claimed} of {len(own.values)} runs",
        claim.criterion.remark(estimate(own, settings)),
    ]
    if strays:
        notes.append(f"the other way: {', '.join(effect.label for effect in strays)}")
    if len(effects) > 1:
        told = [(effect.label, estimate(effect, settings)) for effect in effects]
        notes += [f"{label} {o.value:.3g} [{o.low:.3g}, {o.high:.3g}]" for label, o in told]
    return {
        "p_corrected": corrected.claimed,
        "p_opposite": corrected.opposite,
        "verdict": claim.criterion.verdict(corrected, strays, settings),
        "note": "; ".join(filter(None, notes)),
    }
