"""Positive random features (PRF), the paper's choice."""

import numpy as np

from icl_contrastive.features.family import Array, ExponentialFamily, Statistics
from icl_contrastive.features.moments import log_error_of_mean, pair_moment, squared_norm
from icl_contrastive.features.projections import cosine


class Positive(ExponentialFamily):
    """φ(x) = exp(ωᵀx − ‖x‖²/2)/√d_r: Ω = ω, b = 0.

    Unbiased: Choromanski et al. 2020, arXiv 2009.14794, Lemma 1; section 5.1 of the paper.
    """

    def sample(
        self, rng: np.random.Generator, d: int, d_r: int, statistics: Statistics | None
    ) -> dict[str, Array]:
        return {"omega": self.directions(rng, d, d_r), "log_weight": np.zeros(d_r)}

    def log_relative_mse(
        self, keys: Array, queries: Array, d_r: int, statistics: Statistics | None = None
    ) -> Array:
        """Log of (e^φ − 1)/d_r with φ = ‖x + y‖² for independent ω; less where ω is in blocks."""
        d, phi = keys.shape[-1], squared_norm(keys + queries)
        angle = cosine(self.projection, d)
        cross = None if angle is None else pair_moment(phi, d, angle, -2 * phi)
        return log_error_of_mean(d_r, d, phi, cross)
