"""Runs trained in the compiled loop, one after the other, each in its own caches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from icl_contrastive.training.layout import (
    Array,
    Stacks,
    build_kernel,
    build_mix,
    build_stacks,
    build_workspace,
)
from icl_contrastive.training.step import evaluate, train_prompts

if TYPE_CHECKING:
    from icl_contrastive.attention import Normalization
    from icl_contrastive.mixing import Mixing


class FusedRun:
    """One run's weights and the compiled loops over its prompts.

    Args:
        weights: ``W_Q``, ``W_K``, ``W_V`` (d, d) and, if augmented, ``g1``, ``g2`` (layers, d, d);
            their dtype, float32 or float64, is that of the training.
        omega, log_weight: (m, d) and (m,), or None for the exact softmax.
        mixing: the variant's, for N demonstrations.
        d_y: number of label coordinates, the last ones of a token.
        normalization: of keys and queries, see ``attention.normalize``.
    """

    def __init__(
        self,
        weights: dict[str, Array],
        omega: Array | None,
        log_weight: Array | None,
        mixing: Mixing,
        d_y: int,
        normalization: Normalization = "unit",
    ) -> None:
        dtype, d = weights["W_Q"].dtype, len(weights["W_Q"])
        self._stacks = build_stacks(weights)
        self._gradients = Stacks(*(np.zeros_like(array) for array in self._stacks))
        self._kernel = build_kernel(omega, log_weight, d, dtype)
        self._mix = build_mix(mixing, dtype)
        self._work = build_workspace(self._stacks, self._kernel, self._mix, d_y, normalization)

    def redraw(self, omega: Array, log_weight: Array) -> None:
        """Go on with other features, of the same number."""
        dtype, d = self._stacks.query.dtype, self._stacks.query.shape[1]
        self._kernel = build_kernel(omega, log_weight, d, dtype)

    def train(self, tokens: Array, targets: Array, learning_rate: float, batch: int = 1) -> float:
        """A step per batch: tokens (prompts, n, d), targets (prompts, d_y) → mean error."""
        dtype, last = self._stacks.query.dtype.type, (len(tokens) - 1) % batch + 1
        rates = dtype(learning_rate / batch), dtype(learning_rate / last)
        arguments = (self._gradients, self._kernel, self._mix, self._work, tokens, targets, batch)
        return float(train_prompts(self._stacks, *arguments, *rates))

    def evaluate(self, tokens: Array, targets: Array) -> float:
        """Mean squared error over prompts."""
        arguments = (self._kernel, self._mix, self._work, tokens, targets)
        return float(evaluate(self._stacks, *arguments))

    @property
    def weights(self) -> dict[str, Array]:
        """A copy of the weights, named and laid out as they were given."""
        d = self._stacks.query.shape[1]
        query, key, value = (array[..., :d] for array in self._stacks)
        weights = {"W_Q": query[0], "W_K": key[0], "W_V": value[0]}
        if len(value) > 1:
            weights["g1"] = value[1:]
        if len(key) > 1:
            weights["g2"] = key[1:]
        return {name: np.ascontiguousarray(array) for name, array in weights.items()}


class FusedRuns:
    """Runs one after the other, each in its own caches; first axis of every array: run."""

    def __init__(
        self,
        weights: dict[str, Array],
        omega: Array | None,
        log_weight: Array | None,
        mixing: Mixing,
        d_y: int,
        normalization: Normalization = "unit",
    ) -> None:
        self._runs = [
            FusedRun(
                {name: array[run] for name, array in weights.items()},
                None if omega is None else omega[run],
                None if log_weight is None else log_weight[run],
                mixing,
                d_y,
                normalization,
            )
            for run in range(len(weights["W_Q"]))
        ]

    def redraw(self, features: dict[str, Array]) -> None:
        """Go on with other features, (R, m, d) and (R, m)."""
        draws = zip(self._runs, features["omega"], features["log_weight"], strict=True)
        for run, omega, log_weight in draws:
            run.redraw(omega, log_weight)

    def train(self, tokens: Array, targets: Array, learning_rate: float, batch: int = 1) -> Array:
        """A step per batch: (R, prompts, n, d) and (R, prompts, d_y) → mean errors (R,)."""
        runs = zip(self._runs, tokens, targets, strict=True)
        return np.array([run.train(t, y, learning_rate, batch) for run, t, y in runs])

    def evaluate(self, tokens: Array, targets: Array) -> Array:
        """Mean squared error over prompts, (R,)."""
        runs = zip(self._runs, tokens, targets, strict=True)
        return np.array([run.evaluate(t, y) for run, t, y in runs])

    @property
    def weights(self) -> dict[str, Array]:
        """The weights as they were given, trained."""
        by_run = [run.weights for run in self._runs]
        return {name: np.stack([one[name] for one in by_run]) for name in by_run[0]}
