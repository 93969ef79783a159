"""One self-attention layer: exact (Eq. 1, 2) and with kernel features (Eq. 6, 7).

Tokens are rows here, (..., N + 1, d), where the paper writes columns. All functions are batched
over leading axes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, get_args

import torch
from torch.nn.functional import gelu, pad

from icl_contrastive.choices import Normalization

if TYPE_CHECKING:
    from torch import Tensor

    from icl_contrastive.features.base import FeatureMap
    from icl_contrastive.mixing import Mixing


@dataclass(frozen=True)
class Weights:
    """Weights of one layer, each (..., d_out, d); augmentations (..., layers, d, d) or None.

    In the paper d_out is d; W_V may have another number of rows than W_Q and W_K.

    ``normalization`` is that of keys and queries, see ``normalize``.
    """

    W_Q: Tensor
    W_K: Tensor
    W_V: Tensor
    g1: Tensor | None = None
    g2: Tensor | None = None
    normalization: Normalization = "unit"

    @classmethod
    def from_tensors(
        cls, tensors: Mapping[str, Tensor], normalization: Normalization = "unit"
    ) -> Weights:
        """Weights by their names in an artifact; other names are left alone.

        The artifact's config says which normalization they were trained with.
        """
        g1, g2 = tensors.get("g1"), tensors.get("g2")
        return cls(tensors["W_Q"], tensors["W_K"], tensors["W_V"], g1, g2, normalization)


class Layer(NamedTuple):
    """Weights of one or more layers, and their features; None with the softmax itself."""

    weights: Weights
    features: FeatureMap | None


class ReadOut(NamedTuple):
    """What a layer comes to at the query token."""

    attention: Tensor  # a of all tokens, (..., N + 1)
    coefficients: Tensor  # c of ``Mixing``, by which their values are summed, (..., N + 1)
    output: Tensor  # ĥ_{N+1}, (..., d)


class Projections(NamedTuple):
    """Queries, keys and values of the tokens, each (..., n, d)."""

    queries: Tensor
    keys: Tensor
    values: Tensor


def augment(x: Tensor, layers: Tensor | None) -> Tensor:
    """g(x) = GELU(W_L … GELU(W_1 x)) (Eq. 16): (..., n, d) and (..., L, d, d) → (..., n, d)."""
    if layers is not None:
        for weight in layers.unbind(-3):
            x = gelu(x @ weight.mT)
    return x


def normalize(x: Tensor, normalization: Normalization) -> Tensor:
    """Keys or queries as section 3.1 normalizes them, (..., d) → (..., d).

    ``unit`` divides each by its norm, its literal reading; the zero vector stays zero, and passes
    no gradient. ``scaled`` multiplies by d^(−1/4), so that the product of a key and a query carries
    the 1/√d of Eq. 1: what Choromanski et al. 2020 mean by renormalization. ``none`` does nothing.

    Raises ValueError for another word.
    """
    if normalization == "unit":
        if x.dtype == torch.float16:  # which has no squares of numbers above 256
            return normalize(x.float(), normalization).half()
        squares = (x * x).sum(-1, keepdim=True)
        zero = squares == 0  # whose root has no derivative
        return x * squares.masked_fill(zero, 1).rsqrt().masked_fill(zero, 0)
    if normalization == "scaled":
        factor: float = x.shape[-1] ** -0.25
        return factor * x
    if normalization == "none":
        return x
    choices = ", ".join(get_args(Normalization))
    raise ValueError(f"normalization {normalization!r}: must be one of {choices}")


def project(weights: Weights, tokens: Tensor) -> Projections:
    """Normalized queries and keys, and values (Eq. 1; Eq. 16 if augmented).

    Normalization comes last, after g2, so that φ needs no 1/√d_out (section 3.1).
    """
    return Projections(
        normalize(tokens @ weights.W_Q.mT, weights.normalization),
        normalize(augment(tokens @ weights.W_K.mT, weights.g2), weights.normalization),
        augment(tokens @ weights.W_V.mT, weights.g1),
    )


def exact_attention(queries: Tensor, keys: Tensor) -> Tensor:
    """A of Eq. 6 with the exact softmax: (..., n, n), A[i, j] from key i at query j."""
    return torch.softmax(keys @ queries.mT, -2)


def kernel_attention(queries: Tensor, keys: Tensor, features: FeatureMap) -> Tensor:
    """A of Eq. 6 with A_u = φ(K)ᵀφ(Q) (Eq. 7): (..., n, n), every column summing to 1."""
    return features.attention(keys, queries)


def layer_output(attention: Tensor, values: Tensor) -> Tensor:
    """Ĥ of Eq. 1 as rows: (..., n, n) and (..., n, d) → (..., n, d)."""
    return attention.mT @ values


def query_attention(projections: Projections, features: FeatureMap | None) -> Tensor:
    """A's last column: the weights a of all tokens at the query token, (..., N + 1).

    Those of the exact softmax without features.
    """
    query = projections.queries[..., -1:, :]  # (..., 1, d)
    if features is None:
        return torch.softmax((projections.keys * query).sum(-1), -1)
    return features.attention(projections.keys, query).squeeze(-1)


def score_ranks(scores: Tensor) -> Tensor:
    """Rank of every entry along the last axis, 0 for the lowest; ties by position."""
    return scores.argsort(dim=-1, stable=True).argsort(dim=-1, stable=True)


def query_ranks(projections: Projections, features: FeatureMap | None) -> Tensor:
    """Rank of each token's score at the query token, (..., N + 1).

    By scores, not by weights: of these, the lowest can underflow to the same 0.
    """
    query = projections.queries[..., -1:, :]  # (..., 1, d)
    return score_ranks(_scores(projections.keys, query, features)[..., 0])


def neighbor_ranks(projections: Projections, features: FeatureMap | None) -> Tensor:
    """ranks[i, j] of demonstration j among the others when h_i is the query, (..., N, N).

    The demonstration itself, on the diagonal, ranks last.
    """
    queries, keys = projections.queries[..., :-1, :], projections.keys[..., :-1, :]
    scores = _scores(keys, queries, features).mT  # (..., N queries, N keys)
    own = torch.eye(scores.shape[-1], dtype=torch.bool, device=scores.device)
    return score_ranks(scores.masked_fill(own, torch.inf))


@torch.no_grad()
def _scores(keys: Tensor, queries: Tensor, features: FeatureMap | None) -> Tensor:
    return keys @ queries.mT if features is None else features.scores(keys, queries)


def coefficients(
    mixing: Mixing,
    attention: Tensor,
    projections: Projections,
    features: FeatureMap | None,
) -> Tensor:
    """c of ``Mixing`` (Eq. 14–18), (..., N + 1), from the attention weights at the query token."""

    def constant(array: object) -> Tensor:
        return torch.as_tensor(array, dtype=attention.dtype, device=attention.device)

    c = constant(mixing.gain) * attention + constant(mixing.offset)
    if mixing.offset_by_rank is not None:
        c = c + constant(mixing.offset_by_rank)[query_ranks(projections, features)]
    if mixing.repulsion_by_rank is not None:
        weight = pad(constant(mixing.repulsion_by_rank), (0, 1))  # itself, the last rank, has none
        repulsion = weight[neighbor_ranks(projections, features)]  # (..., N, N)
        total = (attention[..., None, :-1] @ repulsion).squeeze(-2)  # (..., N)
        c = c - pad(total, (0, 1))
    return c


def read_out(
    weights: Weights, tokens: Tensor, mixing: Mixing, features: FeatureMap | None
) -> ReadOut:
    """ĥ_{N+1} = Σ_i c_i g1(v_i) (Eq. 2, 14–18), and what it comes from, for prompts (..., n, d)."""
    projections = project(weights, tokens)
    attention = query_attention(projections, features)
    c = coefficients(mixing, attention, projections, features)  # (..., N + 1)
    return ReadOut(attention, c, (c[..., None, :] @ projections.values).squeeze(-2))


def check_shapes(weights: Weights, tokens: Tensor) -> None:
    """Raises ValueError for prompts that are none, or that do not fit the weights.

    Leading axes are broadcast, and the last ones of weights (heads, say) and of tokens (prompts)
    must not both be longer than 1: whether each prompt meets each head or its own is told apart
    by axes of length 1. W (heads, d_h, d) goes with tokens (prompts, 1, n, d), and W (runs, 1, d,
    d) with the runs' own prompts (runs, prompts, n, d).
    """
    shape = tuple(tokens.shape)
    if len(shape) < 2 or shape[-2] < 2:
        raise ValueError(
            f"tokens of shape {shape}: must be (..., N + 1, d), with a demonstration at least and "
            "the query token"
        )
    for name in ("W_Q", "W_K", "W_V"):
        of_weight = tuple(getattr(weights, name).shape)
        if len(of_weight) < 2 or of_weight[-1] != shape[-1]:
            raise ValueError(
                f"{name} of shape {of_weight}: must be (..., d_out, {shape[-1]}) for tokens of "
                f"shape {shape}"
            )
        if of_weight[-3:-2] > (1,) and shape[-3:-2] > (1,):
            raise ValueError(
                f"{name} of shape {of_weight} with tokens of shape {shape}: must not both have "
                "several in their last leading axis; give the tokens an axis of length 1 there, "
                "tokens[..., None, :, :], for each prompt to meet every layer, or the weights, "
                f"{name}[..., None, :, :], for each layer to have prompts of its own"
            )
    sizes = {name: tuple(getattr(weights, name).shape) for name in ("W_Q", "W_K")}
    if sizes["W_Q"][-2] != sizes["W_K"][-2]:
        raise ValueError(
            f"W_Q of shape {sizes['W_Q']} and W_K of shape {sizes['W_K']}: must have as many rows"
        )
