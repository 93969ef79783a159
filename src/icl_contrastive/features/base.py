"""Feature maps φ of the softmax kernel, exp(xᵀy) ≈ φ(x)ᵀφ(y) (Eq. 7), on torch tensors.

Nothing here imports torch when it is loaded: pretraining draws features and never needs it.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


PAIR_BLOCK = 2**21  # numbers, one for each pair and feature, that are in memory together


class FeatureMap(ABC):
    """φ: R^d → R^m, batched over leading axes that broadcast against those of its parameters.

    φ itself is all that a new map must have; the rest follows from it. A map whose values leave
    the range of floating point at large norms overrides ``scaled``: attention and reference model
    need φ only up to factors.
    """

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """φ(x): (..., n, d) → (..., n, m)."""

    def scaled(self, keys: Tensor, queries: Tensor) -> tuple[Tensor, Tensor]:
        """φ(K) times one positive number, φ(Q) with one for each query.

        (..., n, d) and (..., n', d) → (..., n, m) and (..., n', m).
        """
        return self(keys), self(queries)

    def kernel(self, keys: Tensor, queries: Tensor) -> Tensor:
        """φ(K)ᵀφ(Q), all pairs: (..., n, d) and (..., n', d) → (..., n, n')."""
        return self(keys) @ self(queries).mT

    def scores(self, keys: Tensor, queries: Tensor) -> Tensor:
        """Numbers that rank the keys of each query as φ(K)ᵀφ(Q) does, (..., n, n')."""
        phi_keys, phi_queries = self.scaled(keys, queries)
        return phi_keys @ phi_queries.mT

    def attention(self, keys: Tensor, queries: Tensor) -> Tensor:
        """φ(K)ᵀφ(Q), every column over its sum: (..., n, d) and (..., n', d) → (..., n, n')."""
        phi_keys, phi_queries = self.scaled(keys, queries)
        scores = phi_keys @ phi_queries.mT
        return scores / scores.sum(-2, keepdim=True)


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

    def scaled(self, keys: Tensor, queries: Tensor) -> tuple[Tensor, Tensor]:
        """The largest product of two features is 1, and both have features of the same size."""
        log_keys, log_queries = self._log(keys), self._log(queries)
        highest = log_keys.amax(-2, keepdim=True)  # (..., 1, m)
        product = (highest + log_queries).amax(-1, keepdim=True)  # (..., n', 1)
        apart = highest.amax(-1, keepdim=True) + log_queries.amax(-1, keepdim=True) - product
        shift = highest.amax(-1, keepdim=True) - apart.amax(-2, keepdim=True) / 2  # (..., 1, 1)
        return (log_keys - shift).exp(), (log_queries - (product - shift)).exp()

    def kernel(self, keys: Tensor, queries: Tensor) -> Tensor:
        return self.log_kernel(keys, queries).exp()

    def scores(self, keys: Tensor, queries: Tensor) -> Tensor:
        return self.log_kernel(keys, queries)

    def attention(self, keys: Tensor, queries: Tensor) -> Tensor:
        """For one query, each feature's share of all that its keys get, summed: few operations."""
        if queries.shape[-2] > 1:
            return self.log_kernel(keys, queries).softmax(-2)
        exponent = (keys + queries) @ self.omega.mT
        exponent += 2 * self.log_weight[..., None, :]
        exponent -= (keys * keys).sum(-1, keepdim=True) / 2  # ‖q‖² cancels
        shares = exponent.flatten(-2).softmax(-1).view_as(exponent)  # (..., n, m)
        return shares.sum(-1, keepdim=True)

    def log_kernel(self, keys: Tensor, queries: Tensor) -> Tensor:
        """log φ(K)ᵀφ(Q), all pairs, at any norm: (..., n, d) and (..., n', d) → (..., n, n').

        As a product of matrices, shifted for each key and query, where nothing that counts
        underflows; else as a log-mean-exp for each pair, which takes n n' exponentials a feature
        for n + n'.
        """
        import torch

        # A CUDA graph has no branches.
        fixed = keys.is_cuda and torch.cuda.is_current_stream_capturing()
        if queries.shape[-2] > 1 and not fixed:
            log_keys, log_queries = self._log(keys), self._log(queries)
            key_shift, query_shift = (x.amax(-1, keepdim=True) for x in (log_keys, log_queries))
            product = (log_keys - key_shift).exp_() @ (log_queries - query_shift).exp_().mT
            m, limits = self.omega.shape[-2], torch.finfo(product.dtype)
            if bool((product > m * limits.tiny / limits.eps).all()):
                return product.log() + key_shift + query_shift.mT - math.log(m)
        return self._log_kernel_by_pair(keys, queries)

    def _log_kernel_by_pair(self, keys: Tensor, queries: Tensor) -> Tensor:
        """In blocks of features, so that memory for pairs does not grow with m."""
        import torch

        m = self.omega.shape[-2]
        batch = np.broadcast_shapes(keys.shape[:-2], queries.shape[:-2], self.omega.shape[:-2])
        pairs = math.prod(batch) * keys.shape[-2] * queries.shape[-2]
        size = max(1, PAIR_BLOCK // max(1, pairs))
        log_keys, log_queries = self._log(keys), self._log(queries)
        parts = []
        for start in range(0, m, size):
            block = slice(start, start + size)
            exponent = log_keys[..., :, None, block] + log_queries[..., None, :, block]
            parts.append(exponent.logsumexp(-1))  # (..., n, n')
        return torch.stack(parts).logsumexp(0) - math.log(m)
