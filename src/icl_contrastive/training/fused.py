"""Runs trained in the compiled loop, one after the other, each in its own caches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from icl_contrastive.training.layout import (
    Array,
    Stacks,
    build_kernel,
    build_mix,
    build_stacks,
    build_workspace,
)
from icl_contrastive.training.step import visit_prompts

if TYPE_CHECKING:
    from icl_contrastive.choices import Normalization
    from icl_contrastive.mixing import Mixing


class FusedRuns:
    """Weights of R runs and the compiled loops over their prompts.

    The arguments are those of ``BatchedRuns``, with weights in float32 or float64, and as features
    ``omega`` (R, m, d) and ``log_weight`` (R, m), None for the exact softmax.
    """

    def __init__(
        self,
        weights: dict[str, Array],
        features: dict[str, Array] | None,
        mixing: Mixing,
        d_y: int,
        normalization: Normalization = "unit",
    ) -> None:
        self._dtype, self._d = weights["W_Q"].dtype, weights["W_Q"].shape[-1]
        self._stacks = [
            build_stacks({name: array[run] for name, array in weights.items()})
            for run in range(len(weights["W_Q"]))
        ]
        self._gradients = [Stacks(*map(np.zeros_like, stacks)) for stacks in self._stacks]
        self.redraw(features)
        self._mix = build_mix(mixing, self._dtype)
        self._work = [
            build_workspace(stacks, kernel, self._mix, d_y, normalization)
            for stacks, kernel in zip(self._stacks, self._kernels, strict=True)
        ]

    def redraw(self, features: dict[str, Array] | None) -> None:
        """Go on with other features, arrays of the same shapes."""
        self._kernels = [
            build_kernel(
                None if features is None else (features["omega"][run], features["log_weight"][run]),
                self._d,
                self._dtype,
            )
            for run in range(len(self._stacks))
        ]

    def train(self, tokens: Array, targets: Array, learning_rate: float, batch: int = 1) -> Array:
        """A step per batch: (R, prompts, n, d) and (R, prompts, d_y) → mean errors (R,)."""
        last = (tokens.shape[1] - 1) % batch + 1
        rates = (self._dtype.type(learning_rate / count) for count in (batch, last))
        return self._visit(tokens, targets, batch, *rates)

    def evaluate(self, tokens: Array, targets: Array) -> Array:
        """Mean squared error over prompts, (R,)."""
        return self._visit(tokens, targets, 0, *np.zeros(2, self._dtype))

    def _visit(self, tokens: Array, targets: Array, *how: Any) -> Array:
        runs = zip(
            self._stacks, self._gradients, self._kernels, self._work, tokens, targets, strict=True
        )
        return np.array(
            [
                visit_prompts(stacks, gradients, kernel, self._mix, work, t, y, *how)
                for stacks, gradients, kernel, work, t, y in runs
            ]
        )

    @property
    def weights(self) -> dict[str, Array]:
        """A copy of the weights, named and laid out as they were given."""
        query, key, value = (
            np.stack(parts)[..., : self._d] for parts in zip(*self._stacks, strict=True)
        )  # (R, layers, d, d)
        weights = {"W_Q": query[:, 0], "W_K": key[:, 0], "W_V": value[:, 0]}
        if value.shape[1] > 1:
            weights["g1"] = value[:, 1:]
        if key.shape[1] > 1:
            weights["g2"] = key[:, 1:]
        return {name: np.ascontiguousarray(array) for name, array in weights.items()}
