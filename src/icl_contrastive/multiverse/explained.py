"""What each decision explains of a claim's number, with intervals over the runs."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from icl_contrastive.multiverse.judged import Judged
from icl_contrastive.multiverse.numbers import Numbers
from icl_contrastive.multiverse.space import Choices, Decision, universe_name
from icl_contrastive.multiverse.variance import Array, interpolation, shares

SAMPLES = 200
"""Of the bootstrap."""


def explain(
    judged: Judged, numbers: Numbers, confidence: float, rng: np.random.Generator
) -> dict[str, Array]:
    """``alone`` and ``total`` of ``variance.shares``, and their ``_low`` and ``_high``.

    Each by decision; NaN if fewer than two trainings have the number in all that is read off them.
    What was not trained is interpolated, separately for each choice of what is decided afterwards;
    a training without the number is no part of the space.
    """
    space, there = judged.space, dict(zip(numbers.universes, numbers.values, strict=True))
    analyses = space.analyzed.universes()
    names = [f"{share}{end}" for share in ("alone", "total") for end in ("", "_low", "_high")]

    def of(choices: Choices) -> list[Array | None]:
        return [there.get(universe_name({**choices, **after})) for after in analyses]

    tried = [one for one in space.trained.universes() if universe_name(one) in judged.names]
    known = [one for one in tried if all(values is not None for values in of(one))]
    if len(known) < 2:
        return {name: np.full(len(space.decisions), np.nan) for name in names}
    kept = [one for one in space.trained.universes() if one in known or one not in tried]
    values = np.array([of(one) for one in known], np.float64)  # (known, analyses, runs)

    runs = values.shape[2]
    resampled = rng.multinomial(runs, np.full(runs, 1 / runs), SAMPLES)
    weights = np.concatenate([np.ones((1, runs)), resampled]) / runs
    means = np.einsum("kar,sr->ska", values, weights)
    trained = space.trained.decisions
    to_all = interpolation(_codes(trained, known), _codes(trained, kept), values.mean(2))
    every = np.einsum("uk,ska->sua", to_all, means).reshape(len(weights), -1)
    codes = _codes(space.decisions, [{**one, **after} for one in kept for after in analyses])

    tail, parts = (1 - confidence) / 2, []
    for share in shares(every, codes):
        parts += [share[0], *np.quantile(share[1:], [tail, 1 - tail], axis=0)]
    return dict(zip(names, parts, strict=True))


def _codes(
    decisions: Mapping[str, Decision], universes: Sequence[Choices]
) -> npt.NDArray[np.int64]:
    """The place of each value among those of its decision, (universes, decisions)."""
    values = {name: [*one.values, *one.added] for name, one in decisions.items()}
    return np.array([[values[name].index(one[name]) for name in values] for one in universes])
