"""How much of a claim's number each decision explains, alone and with all others.

Alone: the variance of the means by its values, of the whole (first-order Sobol index). With
interactions: the variance that is left when all other decisions are known (total index). Both are
taken over the whole space. Where only some universes are trained, the others are interpolated by a
Gaussian process whose kernel, Π (1 + ρ [same value]), has every main effect and interaction in it,
the less the more decisions an interaction is of; ρ is the one of highest likelihood.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from icl_contrastive.multiverse.inference import Numbers
from icl_contrastive.multiverse.judged import Judged
from icl_contrastive.multiverse.space import Choices, Decision, universe_name

Array = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

STRENGTHS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
NUGGET = 1e-6

SAMPLES = 200
"""Of the bootstrap over the runs."""


class Shares(NamedTuple):
    """By decision, (decisions,), or by bootstrap sample and decision."""

    alone: Array
    total: Array


def anova_kernel(a: Codes, b: Codes, strength: float) -> Array:
    """(n, decisions) and (n', decisions) → (n, n')."""
    same = a[:, None] == b[None]
    return np.asarray(np.where(same, 1 + strength, 1.0).prod(-1), np.float64)


def interpolation(trained: Codes, every: Codes, values: Array) -> Array:
    """The matrix (universes, trained ones) that takes values of the trained ones to all.

    Args:
        trained: codes of the values of each decision, (n, decisions).
        every: of all universes, likewise.
        values: of the trained ones, (n, k), by which the strength of the kernel is chosen.
    """
    n = len(trained)
    if n == len(every) and (trained == every).all():
        return np.eye(n)
    strength = max(STRENGTHS, key=lambda one: _log_likelihood(trained, values, one))
    inverse = np.linalg.inv(_with_nugget(anova_kernel(trained, trained, strength)))
    ones = np.ones((n, 1))
    mean = (ones.T @ inverse) / (ones.T @ inverse @ ones)  # generalized least squares, (1, n)
    across = anova_kernel(every, trained, strength) @ inverse
    return np.asarray(across @ (np.eye(n) - ones @ mean) + np.ones((len(every), 1)) @ mean)


def _with_nugget(kernel: Array) -> Array:
    nugget: Array = NUGGET * kernel[0, 0] * np.eye(len(kernel))
    return kernel + nugget


def _log_likelihood(codes: Codes, values: Array, strength: float) -> float:
    """Profiled over mean and variance, summed over the columns of values."""
    kernel = _with_nugget(anova_kernel(codes, codes, strength))
    n, k = values.shape
    inverse = np.linalg.inv(kernel)
    weights = inverse.sum(0) / inverse.sum()
    centered = values - weights @ values
    quadratic = np.einsum("ik,ij,jk->k", centered, inverse, centered)
    if not (quadratic > 0).all():
        return -np.inf
    determinant = np.linalg.slogdet(kernel).logabsdet
    return float(-n / 2 * np.log(quadratic / n).sum() - k / 2 * determinant)


def shares(values: Array, codes: Codes) -> Shares:
    """Of values (samples, universes) of a space with codes (universes, decisions).

    NaN where nothing varies.
    """
    spread = values.var(1)
    alone, total = [], []
    others = np.arange(codes.shape[1])
    for decision in others:
        alone.append(_between(values, codes[:, [decision]]))
        total.append(spread - _between(values, codes[:, others != decision]))
    with np.errstate(invalid="ignore", divide="ignore"):
        return Shares(*(np.stack(parts, 1) / spread[:, None] for parts in (alone, total)))


def _between(values: Array, codes: Codes) -> Array:
    """Variance of the means of groups of universes with the same codes, (samples,)."""
    if codes.shape[1] == 0:
        return np.zeros(len(values))
    _, group, counts = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
    order = np.argsort(group.ravel(), kind="stable")
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    means = np.add.reduceat(values[:, order], starts, axis=1) / counts
    weights = counts / counts.sum()
    center = means @ weights
    return np.asarray(((means - center[:, None]) ** 2) @ weights)


def explain(
    judged: Judged, numbers: Numbers, confidence: float, rng: np.random.Generator
) -> dict[str, Array]:
    """``alone`` and ``total`` of ``shares``, and their ``_low`` and ``_high``.

    Each by decision; NaN if fewer than two trainings have the number in all that is read off them.
    What was not trained is interpolated, separately for each choice of what is decided afterwards;
    a training without the number is no part of the space.
    """
    space, there = judged.space, dict(zip(numbers.universes, numbers.values, strict=True))
    analyses = space.analyzed.universes()
    names = [f"{share}{end}" for share in ("alone", "total") for end in ("", "_low", "_high")]

    def of(choices: Choices) -> list[Array | None]:
        return [there.get(universe_name({**choices, **after})) for after in analyses]

    trained = set(judged.trained.values())
    tried = [one for one in space.trained.universes() if universe_name(one) in trained]
    known = [one for one in tried if all(values is not None for values in of(one))]
    if len(known) < 2:
        return {name: np.full(len(space.decisions), np.nan) for name in names}
    kept = [one for one in space.trained.universes() if one in known or one not in tried]
    values = np.array([of(one) for one in known], np.float64)  # (known, analyses, runs)

    runs = values.shape[2]
    resampled = rng.multinomial(runs, np.full(runs, 1 / runs), SAMPLES)
    weights = np.concatenate([np.ones((1, runs)), resampled]) / runs
    means = np.einsum("kar,sr->ska", values, weights)
    before = space.trained.decisions
    to_all = interpolation(_codes(before, known), _codes(before, kept), values.mean(2))
    every = np.einsum("uk,ska->sua", to_all, means).reshape(len(weights), -1)
    codes = _codes(space.decisions, [{**one, **after} for one in kept for after in analyses])

    tail, parts = (1 - confidence) / 2, []
    for share in shares(every, codes):
        parts += [share[0], *np.quantile(share[1:], [tail, 1 - tail], axis=0)]
    return dict(zip(names, parts, strict=True))


def _codes(decisions: Mapping[str, Decision], universes: Sequence[Choices]) -> Codes:
    """The place of each value among those of its decision, (universes, decisions)."""
    values = {name: [*one.values, *one.added] for name, one in decisions.items()}
    return np.array([[values[name].index(one[name]) for name in values] for one in universes])
