"""How many random features an attention layer needs, by family, and why.

An estimate of K = exp(kᵀq) by d_r features has a relative variance S/d_r, where S is the family's
closed form: e^‖k + q‖² − 1 for independent positive features. The error of normalized attention
a_i, and of its output o = Σ_i a_i v_i, follows to first order in 1/d_r, if the errors of different
keys are uncorrelated:

    E‖ô − o‖² / ‖o‖² = Σ_i a_i² S_i ‖v_i − o‖² / (d_r ‖o‖²)

and with unit vectors for values it is that of the attention itself. What all keys have in common
cancels, so this is on the safe side where keys differ, or like ones have unlike values. Where the
same keys come again and again with the same values, their errors add up instead, and more features
are needed, up to as many times as they come. S exceeds every float64 where ‖k + q‖² is large: all
of it is in logarithms.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from icl_contrastive.analysis.error_curves import CONFIDENCE, RESAMPLES, Array
from icl_contrastive.attention import kernel_attention
from icl_contrastive.features import FAMILIES, Statistics, build_family
from icl_contrastive.heads import Heads, read_heads
from icl_contrastive.streams import stream

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from icl_contrastive.features import Family
    from icl_contrastive.heads import Data, Mask

PAIRS = 2**13  # of keys and queries that closed forms are evaluated for; some take microseconds
EXACT = "donot_use_mm_for_euclid_dist"  # of small distances between long vectors
NEAR = 1.25  # an error is drawn again with more features if it is so many times the tolerance


@dataclass(frozen=True)
class Requirements:
    """Numbers of features with which half of a head's queries are within the tolerance.

    Attributes:
        matrix: what is within the tolerance, ``attention`` or ``output``.
        tolerance: the relative error allowed, a root mean square over draws.
        rows: one for each head (its position in the flattened leading axes), family and
            projection. ``log10_predicted`` is d_r by the closed forms. Draws of ``drawn`` features,
            so many or more where these were too few, had ``error``, from ``error_low`` to
            ``error_high`` (95 %). Where the prediction or the tolerance was within reach,
            ``log10_measured``, ``log10_low`` and ``log10_high`` are the d_r that follow from these;
            elsewhere NaN.
        reasons: by head the 10 %, 50 % and 90 % quantiles of ‖k + q‖² and ‖k − q‖² over the pairs
            that attend: ``sum_low``, ``sum``, ``sum_high``, ``difference_low`` …
    """

    matrix: Literal["attention", "output"]
    tolerance: float
    rows: list[dict[str, Any]]
    reasons: list[dict[str, Any]]

    @property
    def table(self) -> pd.DataFrame:
        """The rows as a table of pandas, which must be installed."""
        import pandas as pd

        return pd.DataFrame(self.rows)

    @property
    def squares(self) -> pd.DataFrame:
        """The reasons likewise."""
        import pandas as pd

        return pd.DataFrame(self.reasons)

    def __str__(self) -> str:
        lines = [f"Features for a relative error of {self.tolerance:g} of the {self.matrix}:"]
        for reason in self.reasons:
            lines += ["", _reason(SimpleNamespace(**reason)), _HEADING]
            own = [row for row in self.rows if row["head"] == reason["head"]]
            lines += [_line(SimpleNamespace(**row)) for row in own]
        return "\n".join(lines)


def required_features(
    queries: Data,
    keys: Data,
    tolerance: float = 0.1,
    *,
    values: Data | None = None,
    mask: Mask = None,
    scale: float | None = None,
    families: Sequence[str] | None = None,
    projections: Sequence[str] | None = None,
    fitted_on: tuple[Data, Data] | None = None,
    draws: int = 20,
    most: int = 2**13,
    seed: int = 0,
) -> Requirements:
    """The d_r at which a layer's estimated attention is within a relative tolerance, by family.

    It is the d_r for the median query, in predictions that of evenly spaced ones with at most 8,192
    keys in all: ‖â − a‖ ≤ tolerance · ‖a‖ in the root mean square over
    draws, and ‖ô − o‖ ≤ tolerance · ‖o‖ if values are given.

    Args:
        queries: (..., n, d), with batches and heads as leading axes; torch tensor or numpy array.
        keys: (..., n', d); for grouped-query attention with fewer heads.
        tolerance: relative error.
        values: (..., n', d_v), or None.
        mask: ``"causal"``, or booleans (..., n, n'), true where a query attends to a key.
        scale: factor on the scores qᵀk, by default 1/√d; 1 for vectors that carry it already.
        families: names, as ``features.build_family`` takes them; by default all that estimate the
            softmax.
        projections: laws of ω; by default all that each family has.
        fitted_on: queries and keys, (..., m, d) each, of other tokens of the same heads, on which
            families with constants are fitted. By default they are fitted on the tokens at even
            positions, and the attention among the others is judged.
        draws: of each family and projection.
        most: features to draw at most.
        seed: of the draws.

    Raises ValueError as ``heads.read_heads`` and ``features.build_family`` do.
    """
    if not 0 < tolerance < 1:
        raise ValueError(f"tolerance = {tolerance}: must be between 0 and 1")
    if draws < 2:
        raise ValueError(f"draws = {draws}: an interval needs at least 2")
    if most < 1:
        raise ValueError(f"most = {most}: must be at least 1")
    heads = read_heads(queries, keys, values, mask, scale)
    if fitted_on is None:
        fitting, heads = _every_other(heads, 0), _every_other(heads, 1)
        if not bool(heads.attends.flatten(-2).any(-1).all()):
            raise ValueError(
                "mask: in a head, no token at an odd position attends to one; give fitted_on, "
                "queries and keys of other tokens, and all of these are judged"
            )
    else:
        fitting = read_heads(*fitted_on, None, None, heads.scale)
        there, asked = ((*one.leading, one.keys.shape[-1]) for one in (fitting, heads))
        if there != asked:
            raise ValueError(
                f"fitted_on: leading axes and head size {there}, must be those of the queries, "
                f"{asked}"
            )
    if not (compared := list(_families(families, projections))):
        raise ValueError("families, projections: must be at least one of each, or None for all")
    rows, squares = [], []
    for head, (judged, known) in enumerate(zip(heads.each(), fitting.each(), strict=True)):
        statistics = Statistics.of(known.keys.cpu(), known.queries.cpu())
        squares.append({"head": head} | _squares(judged))
        for family, name in compared:
            rng = stream(seed, "required_features", head, name, family.projection)
            rows.append(
                {"head": head, "family": name, "projection": family.projection}
                | _requirement(judged, family, statistics, tolerance, draws, most, rng)
            )
    matrix: Literal["attention", "output"] = "attention" if values is None else "output"
    return Requirements(matrix, tolerance, rows, squares)


def _families(
    names: Sequence[str] | None, projections: Sequence[str] | None
) -> Iterator[tuple[Family, str]]:
    every = [name for name, family in FAMILIES.items() if family.unbiased]
    for name in every if names is None else names:
        family = build_family({"family": name})
        if not family.unbiased:
            raise ValueError(f"families: {name!r} does not estimate the softmax, at any d_r")
        for projection in family.projections if projections is None else projections:
            yield type(family)(projection), name


def _every_other(heads: Heads, first: int) -> Heads:
    """The tokens from the first on, in steps of two; without queries that attend to none."""
    if min(heads.queries.shape[-2], heads.keys.shape[-2]) < 2:
        raise ValueError(
            "a single token: give fitted_on, queries and keys of other tokens, on which families "
            "with constants are fitted"
        )
    chosen = slice(first, None, 2)
    return heads._replace(
        queries=heads.queries[..., chosen, :],
        keys=heads.keys[..., chosen, :],
        values=None if heads.values is None else heads.values[..., chosen, :],
        attends=heads.attends[..., chosen, chosen],
    )


def _squares(head: Heads) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, sign in (("sum", 1), ("difference", -1)):
        lengths = torch.cdist(head.queries, -sign * head.keys, compute_mode=EXACT)  # (n, n')
        quantiles = np.quantile(lengths[head.attends].cpu() ** 2, [0.1, 0.5, 0.9])
        found |= dict(zip((f"{name}_low", name, f"{name}_high"), quantiles.tolist(), strict=True))
    return found


def _requirement(
    head: Heads,
    family: Family,
    statistics: Statistics,
    tolerance: float,
    draws: int,
    most: int,
    rng: np.random.Generator,
) -> dict[str, float]:
    """The columns of ``Requirements.table`` for one head and family."""
    kept = head.attends.any(-1)
    head = head._replace(queries=head.queries[kept], attends=head.attends[kept])
    scores = (head.queries @ head.keys.mT).masked_fill(~head.attends, -torch.inf)
    attention = scores.softmax(-1)
    step = min(len(attention), -(-attention.numel() // PAIRS))
    some = slice(step // 2, None, step)  # evenly spaced queries
    log_v = _log_error(
        head._replace(queries=head.queries[some]), scores[some], family, statistics
    )  # (queries,)
    log_d_r = float(np.median(log_v)) - 2 * math.log(tolerance)
    within_reach = log_d_r <= math.log(most)
    exact = attention if head.values is None else attention @ head.values

    def squared_error(d_r: int) -> Array:
        """‖ô − o‖² / ‖o‖² of each query in one draw, (n,)."""
        drawn = family.draw(rng, head.keys.shape[-1], d_r, statistics)
        arrays = {name: torch.as_tensor(array).to(attention) for name, array in drawn.items()}
        features = family.feature_map(arrays)
        estimate = kernel_attention(head.queries, head.keys, features).mT * head.attends
        estimate = estimate / estimate.sum(-1, keepdim=True)
        if head.values is not None:
            estimate = estimate @ head.values
        error = ((estimate - exact) ** 2).sum(-1)
        relative = torch.where(error == 0, error, error / (exact**2).sum(-1))
        return np.asarray(relative.cpu().numpy())

    count = math.exp(log_d_r) if within_reach else most
    while True:
        d_r = max(1, -(-math.ceil(count) // family.multiple)) * family.multiple
        squares = np.stack([squared_error(d_r) for _ in range(draws)])  # (draws, n)
        error = np.median(np.sqrt(squares.mean(0)))
        count = min(most, d_r * (error / tolerance) ** 2)
        if not (within_reach and error > NEAR * tolerance and count > d_r):
            break
    samples = squares[rng.integers(draws, size=(RESAMPLES, draws))].mean(1)  # (resamples, n)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(np.median(np.sqrt(samples), -1), [tail, 1 - tail])
    errors = error, low, high
    least = tolerance * d_r**-0.5  # the error with d_r where one feature is enough
    scaled = [math.log10(d_r) + 2 * math.log10(max(e, least) / tolerance) for e in errors]
    measured = scaled if within_reach or errors[0] <= tolerance else [math.nan] * 3
    names = ("error", "error_low", "error_high", "log10_measured", "log10_low", "log10_high")
    return {"log10_predicted": max(0.0, log_d_r / math.log(10)), "drawn": d_r} | {
        name: float(number) for name, number in zip(names, (*errors, *measured), strict=True)
    }


def _log_error(head: Heads, scores: Tensor, family: Family, statistics: Statistics) -> Array:
    """log d_r E‖ô − o‖² / ‖o‖² of each query to first order, (n,)."""
    attention = scores.softmax(-1)
    shape = (*attention.shape, head.keys.shape[-1])
    k = np.broadcast_to(head.keys.cpu().numpy(), shape)
    q = np.broadcast_to(head.queries.cpu().numpy()[:, None], shape)
    d_r = 2 * shape[-1]  # whole blocks of orthogonal or simplex directions
    log_mse = family.log_relative_mse(k, q, d_r, statistics)  # (n, n')
    if log_mse is None:  # for blocks: as if the rows were independent
        log_mse = type(family)("independent").log_relative_mse(k, q, d_r, statistics)
    if log_mse is None:
        raise ValueError(f"families: {family!r} has no closed form of its error")
    log_s = torch.from_numpy(log_mse + math.log(d_r)).to(attention)
    # The largest weight a may be all there is: then 1 − a is known by the sum of the others alone,
    # and o − v is (1 − a) (o' − v), with o' the output of the others.
    top = attention.argmax(-1, keepdim=True)
    log_others = scores.scatter(-1, top, -torch.inf) - scores.logsumexp(-1, keepdim=True)
    log_rest = log_others.logsumexp(-1, keepdim=True)  # log (1 − a)
    others = (log_others - log_rest).exp().nan_to_num()  # all 0 where there are none
    if head.values is None:
        size = (attention**2).sum(-1, keepdim=True)
        distance = (1 - attention) ** 2 + (size - attention**2)  # of the unit vector of i from a
        from_others = 1 + (others**2).sum(-1, keepdim=True)
    else:
        output = attention @ head.values
        size = (output**2).sum(-1, keepdim=True)
        distance = torch.cdist(output, head.values, compute_mode=EXACT) ** 2
        of_others = others @ head.values - head.values[top[:, 0]]
        from_others = (of_others**2).sum(-1, keepdim=True)
    log_distance = distance.log().scatter(-1, top, 2 * log_rest + from_others.log())
    terms = 2 * scores.log_softmax(-1) + log_s + log_distance
    log_error = terms.logsumexp(-1)
    relative = torch.where(log_error == -torch.inf, log_error, log_error - size[:, 0].log())
    return np.asarray(relative.cpu().numpy())  # no error is 0 of an output of 0 too


def _log10_expm1(x: float) -> float:
    """log₁₀(eˣ − 1) without overflow, x > 0."""
    return (x + math.log(-math.expm1(-x))) / math.log(10)


def _power(log10: float) -> str:
    return f"{10**log10:,.0f}" if log10 < 6 else f"10^{log10:.1f}"


_HEADING = f"{'family':<16}{'projection':<14}{'predicted':>10}  {'measured (95 %)':<26}error"


def _reason(row: Any) -> str:
    variance = _power(_log10_expm1(max(row.sum, 1e-12)))
    return (
        f"head {row.head}: ‖k + q‖² is {row.sum:.1f} in the median ({row.sum_low:.1f} to "
        f"{row.sum_high:.1f} for 80 % of the pairs),\n"
        f"so one positive feature has a relative variance of {variance}"
    )


def _line(row: Any) -> str:
    measured = "beyond reach"
    if not math.isnan(row.log10_measured):
        interval = f"{_power(row.log10_low)} to {_power(row.log10_high)}"
        measured = f"{_power(row.log10_measured)} ({interval})"
    return (
        f"{row.family:<16}{row.projection:<14}{_power(row.log10_predicted):>10}  {measured:<26}"
        f"{row.error:.2g} with {row.drawn:,}"
    )
