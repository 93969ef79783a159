"""What a universe says to the claims, by the criteria of the scorecard."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from icl_contrastive.claims import Claim, Evidence, Settings, evaluate
from icl_contrastive.claims.evidence import Effect, NotTestableError

FAILED = "failed"
"""The verdict where a training that the claim is about did not end with numbers."""

UNTESTED = "not tested"
HOLDS = "reproduced"

OF_EVERY_PROMPT = (
    *("final_error", "area", "epochs", "speed"),
    *("place_of_quoted_error", "zero_shot"),
)
"""Measures without a mean of errors over prompts that a median could take the place of.

Curves are held against the labels' variance; the others count prompts, or correlate over them.
"""

NUMBERS = ("ours", "interval_low", "interval_high", "p_value")

Failures = Mapping[tuple[str, str, str], str]
"""Why a table lacks the rows of a setting, and perhaps of a variant in it."""


class UniverseEvidence(Evidence):
    """Evidence that lacks what could not be trained.

    Attributes:
        missed: why it lacks what it was asked for, as long as that is a training that failed.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        tables: Mapping[str, pd.DataFrame],
        failures: Failures,
    ) -> None:
        super().__init__(config, tables)
        self.missed: list[str] = []
        self._failures = failures

    def table(self, name: str, **where: object) -> pd.DataFrame:
        try:
            return super().table(name, **where)
        except NotTestableError:
            key = name, str(where.get("setting", "")), str(where.get("variant", ""))
            if key in self._failures:
                self.missed.append(self._failures[key])
            raise


def judged(claims: Sequence[Claim]) -> list[Claim]:
    """The claims that universes decide: not those that algebra does."""
    return [claim for claim in claims if claim.kind != "identity"]


def judge(
    claims: Sequence[Claim],
    evidence_for: Callable[[Claim], UniverseEvidence],
    settings: Settings,
) -> Iterator[dict[str, Any]]:
    """A row for each claim: its number, its verdict, and its effects by run as a JSON text.

    Each claim is judged by itself, its tests corrected for no others: that there are many
    universes is what the joint test is for, see ``inference``.
    """
    for claim in claims:
        evidence = evidence_for(claim)
        evidence.missed.clear()
        scorecard, effects = evaluate([claim], evidence, settings)
        found = scorecard.iloc[0]
        verdict = str(found["verdict"])
        if verdict == UNTESTED and evidence.missed:
            verdict = FAILED
        tested = verdict not in (FAILED, UNTESTED)
        yield {
            "id": claim.id,
            **{name: found[name] for name in NUMBERS},
            "verdict": verdict,
            "effects": json.dumps(_as_json(effects) if tested else []),
        }


def _as_json(effects: pd.DataFrame) -> list[dict[str, Any]]:
    """The parts that are tested, in their order."""
    parts = effects[effects["role"] == "tested"].groupby(["part", "scale"], sort=False)
    return [
        {"scale": scale, "values": [float(value) for value in rows["value"]]}
        for (_, scale), rows in parts
    ]


def read_effects(text: str) -> list[Effect]:
    """The effects of a row; those of a claim that was not tested are none."""
    return [
        Effect("", np.array(one["values"], np.float64), one["scale"]) for one in json.loads(text)
    ]


def median_predictions(controls: pd.DataFrame) -> pd.DataFrame:
    """A row for each run and predictor, whose squares are the medians over its prompts."""
    squares = controls.assign(square=controls["y_true"] ** 2)
    keys = ["setting", "run", "predictor"]
    medians = squares.groupby(keys, sort=False)[["squared_error", "square"]].median()
    medians["y_true"] = np.sqrt(medians.pop("square"))
    return medians.reset_index()


def median_errors(errors: pd.DataFrame, measures: list[str]) -> pd.DataFrame:
    """A row for each draw of the features, with the medians over its prompts."""
    keys = [name for name in errors if name not in ("prompt", *measures)]
    return errors.groupby(keys, sort=False)[measures].median().reset_index().assign(prompt=0)
