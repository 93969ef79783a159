"""Feature maps φ of the softmax kernel, exp(xᵀy) ≈ φ(x)ᵀφ(y) (Eq. 7), on torch tensors.

Nothing here imports torch when it is loaded: pretraining draws features and never needs it.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


FEATURE_BLOCK = 4096


class FeatureMap(ABC):
    """φ: R^d → R^m, batched over leading axes that broadcast against those of its parameters.

    φ itself is all that a new map must have; the rest follows from it.
    """

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """φ(x): (..., n, d) → (..., n, m)."""

    def kernel(self, keys: Tensor, queries: Tensor) -> Tensor:
        """φ(K)ᵀφ(Q), all pairs: (..., n, d) and (..., n', d) → (..., n, n')."""
        return self(keys) @ self(queries).mT

    def attention(self, keys: Tensor, query: Tensor) -> Tensor:
        """φ(k_i)ᵀφ(q) over its sum: (..., n, d) and (..., 1, d) → (..., n)."""
        scores = (self(keys) * self(query)).sum(-1)
        return scores / scores.sum(-1, keepdim=True)


@dataclass(frozen=True)
class ExponentialFeatures(FeatureMap):
    """φ(x) = exp(Ω x + b − ‖x‖²/2) / √m.

    All random features of the softmax kernel that are positive have this form; a family is the
    distribution of Ω and b.

    Attributes:
        omega: Ω, (..., m, d).
        log_weight: b, (..., m).
    """

    omega: Tensor
    log_weight: Tensor

    def _log(self, x: Tensor) -> Tensor:
        """log φ(x) + log √m: (..., n, d) → (..., n, m)."""
        exponent = x @ self.omega.mT + self.log_weight[..., None, :]  # (..., n, m)
        return exponent - (x * x).sum(-1, keepdim=True) / 2

    def __call__(self, x: Tensor) -> Tensor:
        return self._log(x).exp() / math.sqrt(self.omega.shape[-2])

    def kernel(self, keys: Tensor, queries: Tensor) -> Tensor:
        """In blocks of features, so that memory does not grow with m."""
        total = keys.new_zeros(())
        for start in range(0, self.omega.shape[-2], FEATURE_BLOCK):
            block = slice(start, start + FEATURE_BLOCK)
            part = ExponentialFeatures(self.omega[..., block, :], self.log_weight[..., block])
            total = total + part._log(keys).exp() @ part._log(queries).exp().mT
        return total / self.omega.shape[-2]

    def attention(self, keys: Tensor, query: Tensor) -> Tensor:
        return self.log_kernel(keys, query).softmax(-1)

    def log_kernel(self, keys: Tensor, queries: Tensor) -> Tensor:
        """log φ(k)ᵀφ(q), pair by pair: (..., n, d) and (..., n, d) → (..., n).

        Without overflow at any norm: one log-mean-exp over Ω (k + q).
        """
        norms = (keys * keys).sum(-1) + (queries * queries).sum(-1)  # (..., n)
        exponent = (keys + queries) @ self.omega.mT + 2 * self.log_weight[..., None, :]
        return exponent.logsumexp(-1) - norms / 2 - math.log(self.omega.shape[-2])
