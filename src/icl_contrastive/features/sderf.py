"""Simplified dense-exponential random features (SDERF): weights on ω by direction."""

from typing import ClassVar

import numpy as np

from icl_contrastive.features.family import Array, ExponentialFamily, Statistics
from icl_contrastive.features.moments import log_error_of_mean, squared_norm


def best_constants(second_moment: Array) -> tuple[Array, Array]:
    """Diagonal of A, (d,), and Q, (d, d), with the least mean log second moment.

    Σ = QΛQᵀ, and each a_l is the best constant of OPRF in one dimension at φ = λ_l (Likhosherstov
    et al. 2023, arXiv 2302.00787, Theorem 4.3).
    """
    values, q = np.linalg.eigh(second_moment)
    values = np.maximum(values, 0)  # rounding can leave them below
    largest = np.take_along_axis(q, np.abs(q).argmax(0)[None], 0)
    q = q * np.where(largest < 0, -1.0, 1.0)  # LAPACK leaves the sign open
    return (1 - 2 * values - np.sqrt(4 * values**2 + 12 * values + 1)) / 16, q


class SDERF(ExponentialFamily):
    """φ(x) = det(I − 4A)^(1/4) exp(ωᵀAω + ωᵀ(I − 4A)^(1/2)Qᵀx − ‖x‖²/2)/√d_r.

    Ω = ω (I − 4A)^(1/2) Qᵀ, b = ωᵀAω + log det(I − 4A)/4, with A diagonal and Q orthogonal, the
    best for Σ, the second moment of x + y. Unbiased (Likhosherstov et al. 2023, arXiv 2302.00787;
    with orthogonal ω it is their FAVOR#).
    """

    uses_statistics: ClassVar[bool] = True

    def sample(
        self, rng: np.random.Generator, d: int, d_r: int, statistics: Statistics | None
    ) -> dict[str, Array]:
        a, q = best_constants(self.required(statistics).second_moment)
        omega = self.directions(rng, d, d_r)
        weight = (omega * omega) @ a + np.log(1 - 4 * a).sum() / 4
        return {"omega": omega * np.sqrt(1 - 4 * a) @ q.T, "log_weight": weight}

    def constants_cost(self, d: int, d_r: int, vectors: int) -> int:
        """Σ, its eigenvectors (9d³ operations, Golub & Van Loan, section 8.3), weights and Ω."""
        return vectors * d**2 + 9 * d**3 // 2 + d_r * d + d_r * d**2

    def log_relative_mse(
        self, keys: Array, queries: Array, d_r: int, statistics: Statistics | None = None
    ) -> Array | None:
        """A product over the directions of Q for independent ω; none is known for blocks."""
        if self.projection != "independent":
            return None
        a, q = best_constants(self.required(statistics).second_moment)
        z = keys + queries
        log_second = (np.log(1 - 4 * a) - np.log(1 - 8 * a) / 2).sum()
        along = (z @ q) ** 2 @ (2 * (1 - 4 * a) / (1 - 8 * a))
        log_second = log_second + along - squared_norm(z)
        return log_error_of_mean(d_r, keys.shape[-1], log_second, None)
