"""Many universes as one test: the signs of paired runs are flipped in all of them at once.

Run r has the same task, prompts and random numbers in every universe, so its results go up and
down together. If a claim were wrong everywhere, each run would be as likely to speak for it as
against it, with all of its universes. What the largest statistic of all universes is under such
flips is therefore what chance makes of it, however many universes there are (max-T, Westfall and
Young 1993).
"""

import math
from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd

from icl_contrastive.claims import Claim
from icl_contrastive.claims.criteria import Criterion
from icl_contrastive.claims.evidence import Array, Effect
from icl_contrastive.multiverse.judge import read_effects
from icl_contrastive.streams import stream

RESAMPLES = 9999
"""Ways to flip signs, at most; of few runs, all there are."""

TIE = 1e-12
"""Statistics that are closer than this are equal but for rounding."""


class Sided(NamedTuple):
    """What a criterion asks of every part: to be on one side of a number."""

    sign: int  # 1 above, -1 below
    numbers: Sequence[float]


def side_of(criterion: Criterion, parts: int) -> Sided | None:
    """That of a criterion; None for one with two sides."""
    regions = criterion.claimed if len(criterion.claimed) > 1 else [*criterion.claimed] * parts
    if all(math.isinf(one.high) and math.isfinite(one.low) for one in regions):
        return Sided(1, [one.low for one in regions])
    if all(math.isinf(one.low) and math.isfinite(one.high) for one in regions):
        return Sided(-1, [one.high for one in regions])
    return None


def margins(criterion: Criterion, effects: Sequence[Effect]) -> Array | None:
    """By how much each run is on the claimed side, (parts, runs); None where there is no side."""
    sided = side_of(criterion, len(effects))
    if sided is None or not effects or any(one.scale == "largest" for one in effects):
        return None
    limits = [
        np.log(number) if effect.scale == "ratio" else number
        for effect, number in zip(effects, sided.numbers, strict=True)
    ]
    return np.stack(
        [sided.sign * (e.on_scale - limit) for e, limit in zip(effects, limits, strict=True)]
    )


def headline(criterion: Criterion, effects: Sequence[Effect]) -> tuple[Array, float]:
    """The claim's own number by run, as it is averaged, and the number that it is held against."""
    sided = side_of(criterion, len(effects))
    limit = 0.0 if sided is None else sided.numbers[0]
    is_log = effects[0].scale == "ratio" and limit > 0
    return effects[0].on_scale, float(np.log(limit)) if is_log else limit


def signs(runs: int, resamples: int, rng: np.random.Generator) -> Array:
    """Ways to flip runs, (flips, runs), the first of them none: all, or as many as resamples."""
    if 2**runs <= resamples:
        return np.array(list(product((1.0, -1.0), repeat=runs)))
    drawn = rng.choice((1.0, -1.0), (resamples, runs))
    return np.concatenate([np.ones((1, runs)), drawn])


def statistics(margins: Array, flips: Array) -> Array:
    """Mean over root mean square of the margins, (..., parts, runs), under flips: (flips, ...).

    Flips change the mean alone, so it orders them as Student's t does. Of several parts, all of
    which must be on the claimed side, the least counts.
    """
    means = np.einsum("fr,...pr->f...p", flips, margins) / margins.shape[-1]
    sizes = np.sqrt((margins**2).mean(-1))
    parts = np.divide(means, sizes, out=np.zeros_like(means), where=sizes > 0)
    return np.asarray(parts.min(-1))


class JointTest(NamedTuple):
    """What all universes together say to a claim.

    Attributes:
        adjusted: p-value of each universe, of the hypothesis that the claim is wrong in every one.
        share: of universes with the mean on the claimed side.
        median: p-value of the median universe's statistic, of the same hypothesis.
    """

    adjusted: Array
    share: float
    median: float


def joint_test(margins: Array, flips: Array) -> JointTest:
    """Of margins (universes, parts, runs)."""
    found = statistics(margins, flips)  # (flips, universes), the first as it was
    largest = found.max(1)
    adjusted = (largest[:, None] >= found[0] - TIE).mean(0)
    medians = np.median(found, axis=1)
    share, median = (found[0] > 0).mean(), (medians >= medians[0] - TIE).mean()
    return JointTest(adjusted, float(share), float(median))


def null_band(values: Array, limit: float, flips: Array, confidence: float) -> tuple[Array, Array]:
    """Where the sorted means of (universes, runs) lie if runs fall on either side of the limit.

    Low and high by rank, (universes,).
    """
    means = np.sort(flips @ (values - limit).T / values.shape[1], axis=1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    return limit + low, limit + high


class Numbers:
    """One claim's numbers in the universes that have any, and what they say together.

    Attributes:
        universes: their names.
        values: by run, as they are averaged, (universes, runs).
        joint: their test; NaN for a claim without a side.
        band: where they lie if the claim is wrong, low and high by rank; likewise.
    """

    def __init__(self, rows: pd.DataFrame, claim: Claim, confidence: float, seed: int) -> None:
        read = zip(rows["universe"], map(read_effects, rows["effects"]), strict=True)
        effects = {name: found for name, found in read if found}
        found = [headline(claim.criterion, one) for one in effects.values()]
        sided = [margins(claim.criterion, one) for one in effects.values()]
        self.universes = list(effects)
        self.values = np.array([values for values, _ in found])
        nothing = np.full(len(effects), np.nan)
        self.joint, self.band = JointTest(nothing, np.nan, np.nan), (nothing, nothing)
        if sided and sided[0] is not None:
            rng = stream(seed, "multiverse", "flips", claim.id)
            flips = signs(self.values.shape[1], RESAMPLES, rng)
            self.joint = joint_test(np.array(sided), flips)
            low, high = null_band(self.values, found[0][1], flips, confidence)
            is_ratio = effects[self.universes[0]][0].scale == "ratio"
            self.band = (np.exp(low), np.exp(high)) if is_ratio else (low, high)
