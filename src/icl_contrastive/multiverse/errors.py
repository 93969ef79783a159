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
)
from icl_contrastive.attention import Projections, layer_output
from icl_contrastive.features.base import FeatureMap


class Reading(NamedTuple):
    """What the errors are those of: the choices of two decisions."""

    matrix: str
    queries: str


def kernel_matrices(projections: Projections, features: FeatureMap | None) -> Matrices:
    """φ(K)ᵀφ(Q), or exp(KᵀQ), before Eq. 6 divides by D, and its product with the values."""
    queries, keys, values = projections
    kernel = (keys @ queries.mT).exp() if features is None else features.kernel(keys, queries)
    return Matrices(kernel, layer_output(kernel, values).mT)


def read_errors(
    projections: Projections, features: FeatureMap
) -> Iterator[tuple[Reading, str, EntryErrors]]:
    """Reading, name of the matrix, and its errors by prompt."""
    pairs = {
        "normalized": (estimated_matrices(projections, features), exact_matrices(projections)),
        "unnormalized": (
            kernel_matrices(projections, features),
            kernel_matrices(projections, None),
        ),
    }
    for matrix, (estimates, exacts) in pairs.items():
        for name in Matrices._fields:
            estimate, exact = getattr(estimates, name), getattr(exacts, name)
            for queries, columns in (("all", slice(None)), ("last", slice(-1, None))):
                reading = Reading(matrix, queries)
                yield reading, name, entry_errors(estimate[..., columns], exact[..., columns])


def as_rows(errors: EntryErrors) -> torch.Tensor:
    """(prompts, measures)."""
    return torch.stack(errors, -1)
