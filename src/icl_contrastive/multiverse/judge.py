"""What a universe says to the claims, by the criteria of the scorecard."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from icl_contrastive.claims import Claim, Settings, evaluate
from icl_contrastive.claims.evidence import Effect
from icl_contrastive.multiverse.evidence import UniverseEvidence

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
