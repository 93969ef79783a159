"""Balanced features: keys and queries are centered and brought to the same covariance first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from icl_contrastive.features.base import ExponentialFeatures, FeatureMap
from icl_contrastive.features.family import Array, ExponentialFamily, Family, Operations, Statistics
from icl_contrastive.features.oprf import OPRF
from icl_contrastive.features.positive import Positive
from icl_contrastive.features.sderf import SDERF

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class BalancedFeatures(FeatureMap):
    """φ_K(k) = φ(u) e^{bᵀk} for keys, φ_Q(q) = φ(w) e^{cᵀ(q − b)} for queries.

    u = A(k − c) and w = A⁻ᵀ(q − b). Called by itself, it is φ_K.

    Attributes:
        features: φ.
        transform: A, (..., d, d).
        key_mean: c, (..., d).
        query_mean: b, (..., d).
    """

    features: ExponentialFeatures
    transform: Tensor
    key_mean: Tensor
    query_mean: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        u, tilt = self._of_keys(x)
        return self.features(u) * tilt.exp()

    def scaled(self, keys: Tensor, queries: Tensor) -> tuple[Tensor, Tensor]:
        (u, tilt), (w, _) = self._of_keys(keys), self._of_queries(queries)
        phi_keys, phi_queries = self.features.scaled(u, w)
        return phi_keys * (tilt - tilt.amax(-2, keepdim=True)).exp(), phi_queries

    def kernel(self, keys: Tensor, queries: Tensor) -> Tensor:
        of_queries = self._of_queries(queries)[1].mT
        return (self.scores(keys, queries) + of_queries).exp()

    def scores(self, keys: Tensor, queries: Tensor) -> Tensor:
        (u, tilt), (w, _) = self._of_keys(keys), self._of_queries(queries)
        return self.features.log_kernel(u, w) + tilt

    def attention(self, keys: Tensor, queries: Tensor) -> Tensor:
        return self.scores(keys, queries).softmax(-2)

    def _of_keys(self, keys: Tensor) -> tuple[Tensor, Tensor]:
        """u, (..., n, d), and bᵀk, (..., n, 1)."""
        u = (keys - self.key_mean[..., None, :]) @ self.transform.mT
        return u, keys @ self.query_mean[..., None]

    def _of_queries(self, queries: Tensor) -> tuple[Tensor, Tensor]:
        """w, (..., n, d), and cᵀ(q − b), (..., n, 1)."""
        # A⁻¹ is taken here, so that it is the inverse of A as it was rounded for the artifact.
        import torch

        centered = queries - self.query_mean[..., None, :]
        return centered @ torch.linalg.inv(self.transform), centered @ self.key_mean[..., None]


def square_root(matrix: Array) -> Array:
    """The positive semidefinite root of a positive semidefinite matrix, (d, d)."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T)


def geometric_mean(a: Array, b: Array) -> Array:
    """a # b = a^(1/2) (a^(−1/2) b a^(−1/2))^(1/2) a^(1/2) of positive definite matrices."""
    root = square_root(a)
    inverse = np.linalg.inv(root)
    return np.asarray(root @ square_root(inverse @ b @ inverse) @ root)


@dataclass(frozen=True)
class Balance:
    """The change of variables with the least E‖u + w‖² over independent keys and queries.

    With the means taken out this is tr(MΣ_k) + tr(M⁻¹Σ_q), M = AᵀA. Its minimum solves MΣ_kM = Σ_q,
    the geometric mean Σ_k⁻¹ # Σ_q, at which u and w have the same covariance.

    Attributes:
        transform: A, (d, d), symmetric.
        key_mean: c, (d,).
        query_mean: b, (d,).
        statistics: those of u and w.
    """

    transform: Array
    key_mean: Array
    query_mean: Array
    statistics: Statistics

    @classmethod
    def of(cls, statistics: Statistics) -> Balance:
        """Raises ValueError for statistics of second moments only."""
        if statistics.keys is None or statistics.queries is None:
            raise ValueError("balanced features need means and covariances: see Statistics.of")
        of_keys, of_queries = statistics.keys.covariance, statistics.queries.covariance
        transform = np.eye(len(of_keys))
        if np.trace(of_keys) > 0 and np.trace(of_queries) > 0:
            precision = np.asarray(np.linalg.inv(of_keys), np.float64)
            transform = square_root(geometric_mean(precision, of_queries))
        inverse = np.linalg.inv(transform)
        second_moment = transform @ of_keys @ transform.T + inverse.T @ of_queries @ inverse
        return cls(
            transform, statistics.keys.mean, statistics.queries.mean, Statistics(second_moment)
        )

    def changed(self, keys: Array, queries: Array) -> tuple[Array, Array]:
        """u and w."""
        u = (keys - self.key_mean) @ self.transform.T
        return u, (queries - self.query_mean) @ np.linalg.inv(self.transform)


class Balanced(Family):
    """Positive features of u = A(k − c) and w = A⁻ᵀ(q − b), with e^{bᵀk} in those of the key.

    kᵀq = uᵀw + bᵀk + cᵀ(q − b) for any invertible A and any b, c, so the estimate is as unbiased
    as that of exp(uᵀw), and a reference model with this φ is as exact as any.

    What of it is known: an A for both sides and OPRF's weights, without the means, are the ADERF of
    Likhosherstov et al. 2023 (arXiv 2302.00787), whose closed form by a singular value
    decomposition is the geometric mean of the uncentered second moments. With A = I, taking out
    the means is importance sampling of ω from N(b + c, I), the proposals of LARA (Zheng, Wang &
    Kong 2022, arXiv 2204.04667) with one for all tokens and an unbiased weight. That a factor of q
    cancels in the attention is the shift invariance of the softmax.

    A, b and c are to be fitted on other tokens than those that it is used on.
    """

    uses_statistics: ClassVar[bool] = True
    weights: ClassVar[type[ExponentialFamily]] = Positive

    def operations(self, d: int, d_r: int) -> Operations:
        """Besides those of φ, the product Ax."""
        return Operations(d_r * d + d * d, d_r)

    def constants_cost(self, d: int, d_r: int, vectors: int) -> int:
        """Covariances, five matrix roots and inverses at 9d³ (Golub & Van Loan, section 8.3)."""
        inner = self.weights(self.projection).constants_cost(d, d_r, vectors)
        return vectors * d**2 + 5 * 9 * d**3 + inner

    def sample(
        self, rng: np.random.Generator, d: int, d_r: int, statistics: Statistics | None
    ) -> dict[str, Array]:
        balance = Balance.of(self.required(statistics))
        drawn = self.weights(self.projection).sample(rng, d, d_r, balance.statistics)
        return drawn | {
            "transform": balance.transform,
            "key_mean": balance.key_mean,
            "query_mean": balance.query_mean,
        }

    def feature_map(self, arrays: Mapping[str, Tensor]) -> FeatureMap:
        return BalancedFeatures(
            ExponentialFeatures(arrays["omega"], arrays["log_weight"]),
            arrays["transform"],
            arrays["key_mean"],
            arrays["query_mean"],
        )

    def log_relative_mse(
        self, keys: Array, queries: Array, d_r: int, statistics: Statistics | None = None
    ) -> Array | None:
        """That of φ at u and w: all other factors are exact."""
        balance = Balance.of(self.required(statistics))
        u, w = balance.changed(keys, queries)
        inner = self.weights(self.projection)
        return inner.log_relative_mse(u, w, d_r, balance.statistics)


class BalancedOPRF(Balanced):
    """Balanced features with the weights of OPRF."""

    weights: ClassVar[type[ExponentialFamily]] = OPRF


class BalancedSDERF(Balanced):
    """Balanced features with the weights of SDERF."""

    weights: ClassVar[type[ExponentialFamily]] = SDERF
