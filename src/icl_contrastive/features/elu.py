"""elu(x) + 1: a cheap positive map that does not estimate the softmax kernel. A contrast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from icl_contrastive.features.base import FeatureMap
from icl_contrastive.features.family import Array, Family, Operations, Statistics

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class EluFeatures(FeatureMap):
    """φ(x) = elu(x) + 1, coordinate by coordinate: exp(x) below 0, x + 1 above."""

    def __call__(self, x: Tensor) -> Tensor:
        return x.clamp(max=0).exp() + x.clamp(min=0)


class EluPlusOne(Family):
    """The map of linear transformers, without randomness: d features, whatever d_r is.

    φ(x)ᵀφ(y) is a kernel of its own and no estimate of exp(xᵀy) (Katharopoulos et al. 2020, arXiv
    2006.16236, Eq. 7).
    """

    projections: ClassVar[tuple[str, ...]] = ()
    unbiased: ClassVar[bool] = False

    def dimension(self, d: int, d_r: int) -> int:
        return d

    def operations(self, d: int, d_r: int) -> Operations:
        return Operations(0, d)

    def sample(
        self, rng: np.random.Generator, d: int, d_r: int, statistics: Statistics | None
    ) -> dict[str, Array]:
        return {}

    def feature_map(self, arrays: Mapping[str, Tensor]) -> FeatureMap:
        return EluFeatures()
