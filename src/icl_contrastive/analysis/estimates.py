"""How well random features estimate the softmax attention (section 5.2, Fig. 3, 4, 6, 7, 9)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch

from icl_contrastive.attention import exact_attention, kernel_attention, layer_output

if TYPE_CHECKING:
    from torch import Tensor

    from icl_contrastive.attention import Projections
    from icl_contrastive.features.base import FeatureMap


class Matrices(NamedTuple):
    """Attention matrix (..., n, n), column j summing to 1 for query j, and output (..., d, n)."""

    attention: Tensor
    output: Tensor


class Errors(NamedTuple):
    """Means over all entries of a matrix."""

    mse: float
    mae: float


class EntryErrors(NamedTuple):
    """How far off an estimated matrix (..., rows, columns) is, each (...).

    Attributes:
        mse: mean squared error of the entries.
        mae: mean absolute error of the entries.
        size: mean absolute value of the exact entries.
        relative: relative error of the median entry.
        relative_largest: of the median entry among the largest tenth of every column.
        relative_rest: of the median entry among all others.
    """

    mse: Tensor
    mae: Tensor
    size: Tensor
    relative: Tensor
    relative_largest: Tensor
    relative_rest: Tensor


def exact_matrices(projections: Projections) -> Matrices:
    """A and Ĥ of Eq. 1 and 6 for the tokens of a prompt."""
    attention = exact_attention(projections.queries, projections.keys)
    return Matrices(attention, layer_output(attention, projections.values).mT)


def estimated_matrices(projections: Projections, features: FeatureMap) -> Matrices:
    """The same with A_u = φ(K)ᵀφ(Q) (Eq. 7)."""
    attention = kernel_attention(projections.queries, projections.keys, features)
    return Matrices(attention, layer_output(attention, projections.values).mT)


def mild_pairs(projections: Projections, share: float = 0.1) -> tuple[Tensor, Tensor]:
    """Indices of the pairs (key, query) with the least max(‖k + q‖, ‖k − q‖), a share of all.

    The spread of an estimate of exp(kᵀq) grows exponentially with ‖k + q‖², or ‖k − q‖² for
    trigonometric features: only for mild pairs do a few dozen draws show what it is.

    Raises ValueError for projections of more than one prompt, and for a share outside (0, 1].
    """
    if projections.keys.ndim != 2:
        raise ValueError(f"keys of shape {tuple(projections.keys.shape)}: must be (n, d)")
    if not 0 < share <= 1:
        raise ValueError(f"share = {share!r}: must be above 0 and at most 1")
    keys, queries = projections.keys[:, None], projections.queries[None]
    squares = [((keys + sign * queries) ** 2).sum(-1) for sign in (1, -1)]
    largest = torch.maximum(*squares)  # (n, n)
    count = max(1, round(share * largest.numel()))
    chosen = largest.flatten().argsort(stable=True)[:count].sort().values
    return chosen // largest.shape[1], chosen % largest.shape[1]


def approximation_errors(estimate: Tensor, exact: Tensor) -> Errors:
    """Mean squared and mean absolute error over all entries (Fig. 3 center and right).

    Raises ValueError if the shapes differ.
    """
    _check_shapes(estimate, exact)
    difference = estimate - exact
    return Errors(float((difference**2).mean()), float(difference.abs().mean()))


def entry_errors(estimate: Tensor, exact: Tensor) -> EntryErrors:
    """Errors of matrices (..., rows, columns), a number for each of the batch.

    Raises ValueError if the shapes differ.
    """
    _check_shapes(estimate, exact)
    difference, size = (estimate - exact).abs(), exact.abs()
    order = size.argsort(dim=-2, descending=True, stable=True)
    relative = (difference / size).gather(-2, order)
    largest = math.ceil(exact.shape[-2] / 10)

    def mean(entries: Tensor) -> Tensor:
        return entries.mean((-2, -1))

    def median(entries: Tensor) -> Tensor:
        return entries.flatten(-2).quantile(0.5, dim=-1)

    return EntryErrors(
        mse=mean(difference**2),
        mae=mean(difference),
        size=mean(size),
        relative=median(relative),
        relative_largest=median(relative[..., :largest, :]),
        relative_rest=median(relative[..., largest:, :]),
    )


def _check_shapes(estimate: Tensor, exact: Tensor) -> None:
    if estimate.shape != exact.shape:
        shapes = f"{tuple(estimate.shape)} and {tuple(exact.shape)}"
        raise ValueError(f"estimate and exact have the shapes {shapes}: they must be the same")
