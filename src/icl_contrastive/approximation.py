"""How well random features estimate the exact softmax attention (section 5.2, Fig. 3, 4, 6, 7, 9)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from icl_contrastive.attention import exact_attention, kernel_attention, layer_output

if TYPE_CHECKING:
    from torch import Tensor

    from icl_contrastive.attention import Projections
    from icl_contrastive.features.base import FeatureMap


class Matrices(NamedTuple):
    """Attention matrix (n, n), column j summing to 1 for query j, and output matrix (d, n)."""

    attention: Tensor
    output: Tensor


class Errors(NamedTuple):
    """Means over all entries of a matrix."""

    mse: float
    mae: float


def exact_matrices(projections: Projections) -> Matrices:
    """A and Ĥ of Eq. 1 and 6 for the tokens of one prompt."""
    attention = exact_attention(projections.queries, projections.keys)
    return Matrices(attention, layer_output(attention, projections.values).mT)


def estimated_matrices(projections: Projections, features: FeatureMap) -> Matrices:
    """The same with A_u = φ(K)ᵀφ(Q) (Eq. 7)."""
    attention = kernel_attention(projections.queries, projections.keys, features)
    return Matrices(attention, layer_output(attention, projections.values).mT)


def approximation_errors(estimate: Tensor, exact: Tensor) -> Errors:
    """Mean squared and mean absolute error over all entries (Fig. 3 center and right)."""
    difference = estimate - exact
    return Errors(float((difference**2).mean()), float(difference.abs().mean()))
