"""Optimal positive random features (OPRF): Gaussian weights on ω, with the best constant."""

import math
from typing import ClassVar

import numpy as np

from icl_contrastive.features.family import Array, ExponentialFamily, Statistics
from icl_contrastive.features.moments import log_error_of_mean, pair_moment, squared_norm
from icl_contrastive.features.projections import cosine


def best_constant(phi: float, d: int) -> float:
    """A < 1/8 with the least second moment at φ = E‖x + y‖²; at most 0.

    The root of the derivative of log(second moment) below 1/8 (Likhosherstov et al. 2022, arXiv
    2205.15317, Theorem 3).
    """
    return (d - 2 * phi - math.sqrt(4 * phi**2 + 12 * d * phi + d**2)) / (16 * d)


class OPRF(ExponentialFamily):
    """φ(x) = (1 − 4A)^(d/4) exp(A‖ω‖² + √(1 − 4A) ωᵀx − ‖x‖²/2)/√d_r.

    Ω = √(1 − 4A) ω, b = A‖ω‖² + (d/4) log(1 − 4A), with A the best constant for the mean of
    ‖x + y‖² over all pairs of a key and a query. Unbiased for every A < 1/8 (Likhosherstov et al.
    2022, arXiv 2205.15317; with orthogonal ω it is their FAVOR++).
    """

    uses_statistics: ClassVar[bool] = True

    def sample(
        self, rng: np.random.Generator, d: int, d_r: int, statistics: Statistics | None
    ) -> dict[str, Array]:
        a = self._constant(d, statistics)
        omega = self.directions(rng, d, d_r)
        weight = a * squared_norm(omega) + d / 4 * math.log(1 - 4 * a)
        return {"omega": math.sqrt(1 - 4 * a) * omega, "log_weight": weight}

    def constants_cost(self, d: int, d_r: int, vectors: int) -> int:
        """Norms of the vectors and of ω, and ω's scaling."""
        return vectors * d + 2 * d_r * d

    def log_relative_mse(
        self, keys: Array, queries: Array, d_r: int, statistics: Statistics | None = None
    ) -> Array:
        """The covariance of two rows of one block is that of positive features.

        The factor exp(2A‖ω‖²) rescales each χ_d by (1 − 4A)^(−1/2), which √(1 − 4A) undoes.
        """
        d, phi = keys.shape[-1], squared_norm(keys + queries)
        a = self._constant(d, statistics)
        log_second = d * math.log(1 - 4 * a) - d / 2 * math.log(1 - 8 * a)
        log_second = log_second + 2 * (1 - 4 * a) / (1 - 8 * a) * phi - phi
        angle = cosine(self.projection, d)
        cross = None if angle is None else pair_moment(phi, d, angle, -phi - log_second)
        return log_error_of_mean(d_r, d, log_second, cross)

    def _constant(self, d: int, statistics: Statistics | None) -> float:
        return best_constant(float(np.trace(self.required(statistics).second_moment)), d)
