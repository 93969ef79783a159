"""The estimated attention in every way that its errors can be read off."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from icl_contrastive.analysis.estimates import (
    Matrices,
    estimated_matrices,
    exact_matrices,
    uniform_matrices,
)
from icl_contrastive.attention import Projections, layer_output
from icl_contrastive.features.base import FeatureMap
from icl_contrastive.steps.attention_errors import Compared


class Reading(NamedTuple):
    """What the errors are those of: the choices of two decisions."""

    matrix: str
    queries: str


def kernel_matrices(projections: Projections, features: FeatureMap | None) -> Matrices:
    """φ(K)ᵀφ(Q), or exp(KᵀQ), before Eq. 6 divides by D, and its product with the values."""
    queries, keys, values = projections
    kernel = (keys @ queries.mT).exp() if features is None else features.kernel(keys, queries)
    return Matrices(kernel, layer_output(kernel, values).mT)


def read_both(projections: Projections) -> Callable[[FeatureMap], Iterator[Compared]]:
    """Each matrix in each reading; without normalization, uniform weights have the exact sum D."""
    exact, uniform = exact_matrices(projections), uniform_matrices(projections)
    kernel = kernel_matrices(projections, None)
    sums = kernel.attention.sum(-2, keepdim=True)
    of_kernel = Matrices(uniform.attention * sums, uniform.output * sums)

    def read(features: FeatureMap) -> Iterator[Compared]:
        threes = {
            "normalized": (estimated_matrices(projections, features), exact, uniform),
            "unnormalized": (kernel_matrices(projections, features), kernel, of_kernel),
        }
        for normalized, three in threes.items():
            for name, *found in zip(Matrices._fields, *three, strict=True):
                for queries, columns in (("all", slice(None)), ("last", slice(-1, None))):
                    reading = Reading(normalized, queries)
                    yield Compared(reading, name, *(one[..., columns] for one in found))

    return read
