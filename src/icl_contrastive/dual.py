"""What a prompt gives the reference model f(x) = W φ(x) to learn (Eq. 8–13).

Each query token has a reference model of its own, because D' depends on the query.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import torch

from icl_contrastive.attention import check_shapes, neighbor_ranks, project, query_ranks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from icl_contrastive.attention import Weights
    from icl_contrastive.features.base import FeatureMap
    from icl_contrastive.mixing import Mixing


@dataclass(frozen=True)
class DualProblem:
    """What the demonstrations and the query token give the reference model to learn.

    φ is used up to positive factors, one s for all keys of a prompt and one t for its query, since
    the features of long vectors leave the range of floating point. D' is that of the scaled
    features, s t times that of φ itself. Then W is 1/t of what it is for φ, the gradient 1/t, and
    every loss 1/t², that of the regularizer too: a descent takes the same course, and its
    predictions Ŵ φ(q) are the same. Those of the keys, Ŵ φ(k_i), are s/t of theirs, with the same
    cosines.

    Attributes:
        key_features: φ(k_i) of the demonstrations, (..., N, m): the training inputs.
        values: v_i of the demonstrations, (..., N, d): their labels.
        query_key_features: φ(k_{N+1}), (..., m).
        query_value: v_{N+1}, (..., d).
        query_features: φ(q), (..., m): the test input.
        normalizer: D' = Σ_{i ≤ N+1} φ(k_i)ᵀφ(q), (...).
        query_ranks: rank of each token's weight at the query token, 0 lowest, (..., N + 1).
        own_ranks: rank of demonstration j among the others when h_i is the query, (..., N, N).
            Each is None where it is not asked for.
    """

    key_features: Tensor
    values: Tensor
    query_key_features: Tensor
    query_value: Tensor
    query_features: Tensor
    normalizer: Tensor
    query_ranks: Tensor | None
    own_ranks: Tensor | None

    @property
    def query_attention(self) -> Tensor:
        """a_{N+1}, the query token's weight on itself, (...)."""
        return (self.query_key_features * self.query_features).sum(-1) / self.normalizer

    def compressed(self) -> DualProblem:
        """The same problem in N + 2 dimensions at most, from which every descent goes the same way.

        W_0 and all gradients lie in the span of the N + 2 feature vectors. Each prompt's vectors
        are replaced by their coordinates in an orthonormal basis of a space that holds them, the
        columns of R in ΦᵀQR: this keeps all products φᵀφ', and so W φ and ‖W‖². m becomes
        min(m, N + 2), whatever the rank; a problem as narrow as that stays what it is.
        """
        vectors = torch.cat(
            [
                self.key_features,
                self.query_key_features[..., None, :],
                self.query_features[..., None, :],
            ],
            -2,
        )  # (..., N + 2, m)
        if vectors.shape[-1] <= vectors.shape[-2]:
            return self
        coordinates = torch.linalg.qr(vectors.mT, mode="r").R.mT.contiguous()  # (..., N + 2, m')
        return replace(
            self,
            key_features=coordinates[..., :-2, :],
            query_key_features=coordinates[..., -2, :],
            query_features=coordinates[..., -1, :],
        )

    def outer(self, value: Tensor, features: Tensor) -> Tensor:
        """value ⊗ features / D', a term of Eq. 4 and 10: (..., d) and (..., m) → (..., d, m)."""
        return value[..., :, None] * features[..., None, :] / self.normalizer[..., None, None]

    def attraction(self, weight: Tensor, labels: Tensor, samples: slice, eta: float) -> Tensor:
        """−(1 / η D) Σ_{i in samples} label_iᵀ W φ(k_i) (Eq. 9), (..., samples, d) → (...)."""
        total = weight.new_zeros(())
        # One by one: for a single sample, autograd takes several times as long with W @ φ.
        for i, label in zip(range(self.values.shape[-2])[samples], labels.unbind(-2), strict=True):
            prediction = (weight * self.key_features[..., i, None, :]).sum(-1)  # (..., d)
            total = total + (label * prediction).sum(-1)
        return -total / (eta * self.normalizer)

    def own_negatives(self, k: int, samples: slice) -> Tensor:
        """Mean value of each sample's k negatives, (..., samples, d) (Eq. 18).

        Raises ValueError for a problem without ranks.
        """
        chosen = (_there(self.own_ranks)[..., samples, :] < k).to(self.values.dtype)
        return chosen @ self.values / k

    def common_negatives(self, k: int) -> tuple[Tensor, Tensor]:
        """Mean value of the k tokens with the lowest scores and of all others, (..., d) each.

        Raises ValueError for a problem without ranks.
        """
        values = torch.cat([self.values, self.query_value[..., None, :]], -2)  # (..., N + 1, d)
        chosen = (_there(self.query_ranks) < k).to(values.dtype)[..., None, :]  # (..., 1, N + 1)
        others = values.shape[-2] - k
        negative = (chosen @ values)[..., 0, :] / k
        return negative, ((1 - chosen) @ values)[..., 0, :] / others


def _there(ranks: Tensor | None) -> Tensor:
    if ranks is None:
        raise ValueError("negatives are asked for that the problem's mixing has not")
    return ranks


def dual_problem(
    weights: Weights, tokens: Tensor, features: FeatureMap | None, mixing: Mixing | None = None
) -> DualProblem:
    """The reference model's training set and test input for prompts (..., N + 1, d).

    Ranks take longer than all else; with a variant's ``mixing``, they are those that it has terms
    for. Without features it is the problem of the exact softmax, in N + 2 dimensions
    (``softmax_coordinates``). Raises ValueError if shapes do not fit (``attention.check_shapes``).
    """
    check_shapes(weights, tokens)
    projections = project(weights, tokens)
    query = projections.queries[..., -1:, :]  # (..., 1, d)
    pair = projections.keys, query
    key_features, query_features = (
        softmax_coordinates(*pair) if features is None else features.scaled(*pair)
    )
    query_features = query_features[..., 0, :]  # (..., m)
    scores = (key_features @ query_features[..., None])[..., 0]  # (..., N + 1)
    of_query = mixing is None or mixing.offset_by_rank is not None
    of_each = mixing is None or mixing.repulsion_by_rank is not None
    return DualProblem(
        key_features=key_features[..., :-1, :],
        values=projections.values[..., :-1, :],
        query_key_features=key_features[..., -1, :],
        query_value=projections.values[..., -1, :],
        query_features=query_features,
        normalizer=scores.sum(-1),
        query_ranks=query_ranks(projections, features) if of_query else None,
        own_ranks=neighbor_ranks(projections, features) if of_each else None,
    )


def softmax_coordinates(keys: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
    """φ(k_i), (..., n, n + 1), and φ(q), (..., 1, n + 1), for κ(x, y) = exp(xᵀy), up to factors.

    κ has no finite φ, but n + 1 vectors of its space lie in n + 1 dimensions, where their
    coordinates follow from their products κ. The first axis is that of φ(q), so that the scores
    κ(k_i, q) are as precise as exp; the others hold what the keys have besides, a square root of
    their products without that part. Keys carry the factor exp(−max ‖k‖²/2), φ(q) has length 1: a
    key whose ‖k‖² is smaller than the largest by 25 or more is left no precise direction, which
    cosines need and predictions do not. Those of ``SoftmaxProblem`` are precise at any ‖k‖².

    Args:
        keys: (..., n, d).
        query: (..., 1, d).
    """
    longest = (keys**2).sum(-1).amax(-1)[..., None, None] / 2
    along = keys @ query.mT - (query**2).sum(-1, keepdim=True) / 2 - longest  # (..., n, 1)
    # At large norms φ(q) is as good as orthogonal to all keys; their scores keep their ratios.
    least = math.log(torch.finfo(along.dtype).tiny) / 4
    along = (along + (least - along.amax(-2, keepdim=True)).clamp(min=0)).exp()
    rest = (keys @ keys.mT - 2 * longest).exp() - along @ along.mT  # (..., n, n)
    values, vectors = torch.linalg.eigh(rest)
    root = vectors * values.clamp(min=0).sqrt()[..., None, :]
    on_axis = torch.zeros_like(torch.cat([along, root], -1)[..., :1, :])
    on_axis[..., 0] = 1
    return torch.cat([along, root], -1), on_axis


def join(
    problems: Sequence[DualProblem], of: Callable[[list[Tensor]], Tensor] = torch.cat
) -> DualProblem:
    """Several problems, (prompts, ...) each, as one; with torch.stack, on an axis of their own."""
    parts = {f.name: [getattr(one, f.name) for one in problems] for f in fields(DualProblem)}
    return replace(
        problems[0],
        **{name: of(part) for name, part in parts.items() if part[0] is not None},
    )
