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
        mse_uniform: mean squared error of the matrix that uniform weights give instead.
        nearer_than_uniform: share of the entries that are nearer to the exact one than its is.
        absolute_largest: median absolute error among the largest tenth of every column's entries.
        absolute_rest: among all others.
        relative: relative error of the median entry.
        relative_largest: of the median entry among the largest tenth of every column.
        relative_rest: of the median entry among all others.
    """

    mse: Tensor
    mae: Tensor
    size: Tensor
    mse_uniform: Tensor
    nearer_than_uniform: Tensor
    absolute_largest: Tensor
    absolute_rest: Tensor
    relative: Tensor
    relative_largest: Tensor
    relative_rest: Tensor


class BiasVariance(NamedTuple):
    """What the expected squared error of an estimated matrix consists of, each (...).

    Attributes:
        bias2: mean squared bias of the entries, estimated without bias: it may be negative.
        variance: mean variance of the entries.
    """

    bias2: Tensor
    variance: Tensor


def exact_matrices(projections: Projections) -> Matrices:
    """A and Ĥ of Eq. 1 and 6 for the tokens of a prompt."""
    attention = exact_attention(projections.queries, projections.keys)
    return Matrices(attention, layer_output(attention, projections.values).mT)


def estimated_matrices(projections: Projections, features: FeatureMap) -> Matrices:
    """The same with A_u = φ(K)ᵀφ(Q) (Eq. 7)."""
    attention = kernel_attention(projections.queries, projections.keys, features)
    return Matrices(attention, layer_output(attention, projections.values).mT)


def uniform_matrices(projections: Projections) -> Matrices:
    """The same with the weight 1/n on every token: what an estimate has to be better than."""
    keys, n = projections.keys, projections.keys.shape[-2]
    attention = keys.new_full((*keys.shape[:-1], n), 1 / n)
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


def entry_errors(estimate: Tensor, exact: Tensor, uniform: Tensor) -> EntryErrors:
    """Errors of matrices (..., rows, columns), a number for each of the batch.

    Raises ValueError if the shapes differ.
    """
    _check_shapes(estimate, exact)
    _check_shapes(uniform, exact)
    difference, size = (estimate - exact).abs(), exact.abs()
    of_uniform = (uniform - exact).abs()
    order = size.argsort(dim=-2, descending=True, stable=True)
    absolute, relative = (one.gather(-2, order) for one in (difference, difference / size))
    largest = math.ceil(exact.shape[-2] / 10)

    def mean(entries: Tensor) -> Tensor:
        return entries.mean((-2, -1))

    def median(entries: Tensor) -> Tensor:
        return entries.flatten(-2).quantile(0.5, dim=-1)

    return EntryErrors(
        mse=mean(difference**2),
        mae=mean(difference),
        size=mean(size),
        mse_uniform=mean(of_uniform**2),
        nearer_than_uniform=mean((difference < of_uniform).to(exact.dtype)),
        absolute_largest=median(absolute[..., :largest, :]),
        absolute_rest=median(absolute[..., largest:, :]),
        relative=median(relative),
        relative_largest=median(relative[..., :largest, :]),
        relative_rest=median(relative[..., largest:, :]),
    )


def bias_and_variance(estimates: Tensor, exact: Tensor) -> BiasVariance:
    """Of independent estimates (draws, ..., rows, columns) of matrices (..., rows, columns).

    The two sum to the mean of the draws' squared errors. The mean over the draws has a share of the
    variance in its own squared error, which is taken off the bias. NaN for a single draw.
    """
    draws = len(estimates)
    mean = estimates.mean(0)
    variance = ((estimates - mean) ** 2).sum(0) / (draws - 1)
    bias2 = (mean - exact) ** 2 - variance / draws
    return BiasVariance(bias2.mean((-2, -1)), variance.mean((-2, -1)))


def _check_shapes(matrix: Tensor, exact: Tensor) -> None:
    if matrix.shape != exact.shape:
        shapes = f"{tuple(matrix.shape)} and {tuple(exact.shape)}"
        raise ValueError(f"matrix and exact one have the shapes {shapes}: they must be the same")
