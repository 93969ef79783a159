"""Hyperbolic random features: each ω is used with both signs."""

from typing import ClassVar

import numpy as np

from icl_contrastive.features.family import Array, ExponentialFamily, Statistics
from icl_contrastive.features.moments import log_error_of_even_terms, squared_norm
from icl_contrastive.features.projections import cosine


class Hyperbolic(ExponentialFamily):
    """φ(x) = [exp(ωᵀx), exp(−ωᵀx)] exp(−‖x‖²/2)/√d_r: Ω = [ω; −ω], b = 0.

    d_r/2 draws of ω, so d_r must be even (Choromanski et al. 2020, arXiv 2009.14794, Lemma 1).
    """

    multiple: ClassVar[int] = 2

    def sample(
        self, rng: np.random.Generator, d: int, d_r: int, statistics: Statistics | None
    ) -> dict[str, Array]:
        omega = self.directions(rng, d, d_r // 2)
        return {"omega": np.concatenate([omega, -omega]), "log_weight": np.zeros(d_r)}

    def log_relative_mse(
        self, keys: Array, queries: Array, d_r: int, statistics: Statistics | None = None
    ) -> Array:
        """Log of (e^φ − 1)(1 − e^−φ)/d_r with φ = ‖x + y‖² for independent ω.

        Each of the d_r/2 terms is cosh(ωᵀ(x + y)) e^(−φ/2).
        """
        d, phi = keys.shape[-1], squared_norm(keys + queries)
        return log_error_of_even_terms(d_r // 2, d, phi, cosine(self.projection, d))
