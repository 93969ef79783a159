"""Errors of the estimated attention, in every way that they can be read off it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch

from icl_contrastive.analysis.estimates import (
    EntryErrors,
    Matrices,
    entry_errors,
    estimated_matrices,
    exact_matrices,
    uniform_matrices,
)
from icl_contrastive.attention import Projections, layer_output
from icl_contrastive.features.base import FeatureMap


class Reading(NamedTuple):
    """What the errors are those of: the choices of two decisions."""

    matrix: str
    queries: str


class Found(NamedTuple):
    """What an estimate is compared with, as one reading has it, all (..., rows, columns)."""

    matrix: str
    estimate: torch.Tensor
    exact: torch.Tensor
    uniform: torch.Tensor

    @property
    def errors(self) -> EntryErrors:
        """By prompt."""
        return entry_errors(self.estimate, self.exact, self.uniform)


def kernel_matrices(projections: Projections, features: FeatureMap | None) -> Matrices:
    """φ(K)ᵀφ(Q), or exp(KᵀQ), before Eq. 6 divides by D, and its product with the values."""
    queries, keys, values = projections
    kernel = (keys @ queries.mT).exp() if features is None else features.kernel(keys, queries)
    return Matrices(kernel, layer_output(kernel, values).mT)


def read_estimates(
    projections: Projections, features: FeatureMap
) -> Iterator[tuple[Reading, Found]]:
    """Each matrix in each reading; without normalization, uniform weights have the exact sum D."""
    uniform, kernel = uniform_matrices(projections), kernel_matrices(projections, None)
    sums = kernel.attention.sum(-2, keepdim=True)
    of_kernel = Matrices(uniform.attention * sums, uniform.output * sums)
    triples = {
        "normalized": (
            estimated_matrices(projections, features),
            exact_matrices(projections),
            uniform,
        ),
        "unnormalized": (kernel_matrices(projections, features), kernel, of_kernel),
    }
    for matrix, three in triples.items():
        for name, *found in zip(Matrices._fields, *three, strict=True):
            for queries, columns in (("all", slice(None)), ("last", slice(-1, None))):
                yield Reading(matrix, queries), Found(name, *(one[..., columns] for one in found))
