"""Trigonometric random features: unbiased, but not positive. A contrast, not for training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from icl_contrastive.features.base import FeatureMap
from icl_contrastive.features.family import Array, Family, Operations, Statistics
from icl_contrastive.features.moments import log_error_of_even_terms, squared_norm
from icl_contrastive.features.projections import cosine

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class TrigonometricFeatures(FeatureMap):
    """φ(x) = [cos ωᵀx, sin ωᵀx] exp(‖x‖²/2)/√m for the m rows of ``omega``, (..., m, d)."""

    omega: Tensor

    def _waves(self, x: Tensor) -> Tensor:
        import torch

        angle = x @ self.omega.mT  # (..., n, m)
        return torch.cat([angle.cos(), angle.sin()], -1) / math.sqrt(self.omega.shape[-2])

    def __call__(self, x: Tensor) -> Tensor:
        return ((x * x).sum(-1, keepdim=True) / 2).exp() * self._waves(x)

    def scaled(self, keys: Tensor, queries: Tensor) -> tuple[Tensor, Tensor]:
        """The factor of the longest key is 1, and so is that of every query."""
        exponent = (keys * keys).sum(-1, keepdim=True) / 2  # (..., n, 1)
        factor = (exponent - exponent.amax(-2, keepdim=True)).exp()
        return factor * self._waves(keys), self._waves(queries)


class Trigonometric(Family):
    """The random Fourier features of exp(xᵀy) = exp(‖x‖²/2 + ‖y‖²/2) exp(−‖x − y‖²/2).

    d_r/2 draws of ω, so d_r must be even (Rahimi & Recht 2007, "Random features for large-scale
    kernel machines"). An estimate can be negative, most of all where the kernel is small.
    """

    multiple: ClassVar[int] = 2
    nonnegative: ClassVar[bool] = False

    def operations(self, d: int, d_r: int) -> Operations:
        return Operations(d_r // 2 * d, d_r)

    def sample(
        self, rng: np.random.Generator, d: int, d_r: int, statistics: Statistics | None
    ) -> dict[str, Array]:
        return {"omega": self.directions(rng, d, d_r // 2)}

    def feature_map(self, arrays: Mapping[str, Tensor]) -> FeatureMap:
        return TrigonometricFeatures(arrays["omega"])

    def log_relative_mse(
        self, keys: Array, queries: Array, d_r: int, statistics: Statistics | None = None
    ) -> Array:
        """Log of e^δ (1 − e^−δ)²/d_r with δ = ‖x − y‖² for independent ω.

        Each of the d_r/2 terms is cos(ωᵀ(x − y)) e^(δ/2).
        """
        d, delta = keys.shape[-1], squared_norm(keys - queries)
        return log_error_of_even_terms(d_r // 2, d, -delta, cosine(self.projection, d))
