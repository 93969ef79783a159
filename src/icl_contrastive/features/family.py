"""What a random-feature family is: a distribution of feature maps, drawn without torch.

A family is one file: a class that draws the arrays of a map (``sample``), makes the map from them
(``feature_map``), and, where there is one, states the closed form of its error.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from icl_contrastive.features.base import ExponentialFeatures
from icl_contrastive.features.projections import PROJECTIONS

if TYPE_CHECKING:
    from torch import Tensor

    from icl_contrastive.features.base import FeatureMap

Array = npt.NDArray[np.float64]


class Moments(NamedTuple):
    """Mean, (d,), and covariance, (d, d), of keys or of queries.

    The covariance is shrunk toward a multiple of I, the more the fewer tokens there are, so that it
    can be inverted (Chen et al. 2010, "Shrinkage algorithms for MMSE covariance estimation", OAS).
    """

    mean: Array
    covariance: Array

    @classmethod
    def of(cls, x: Array) -> Moments:
        """Moments of tokens (n, d)."""
        n, d = x.shape
        mean = x.mean(0)
        covariance = (x - mean).T @ (x - mean) / n
        trace, square = np.trace(covariance), (covariance**2).sum()
        above = (n + 1 - 2 / d) * (square - trace**2 / d)  # 0 for a multiple of I
        share = min(1.0, ((1 - 2 / d) * square + trace**2) / above) if above > 0 else 1.0
        return cls(mean, (1 - share) * covariance + share * trace / d * np.eye(d))


@dataclass(frozen=True)
class Statistics:
    """What a family may know of keys x and queries y before it is drawn.

    Attributes:
        second_moment: Σ = E[zzᵀ] of z = x + y over all pairs of a key and a query,
            E[xxᵀ] + E[yyᵀ] + x̄ȳᵀ + ȳx̄ᵀ, (d, d).
        keys: Mean and covariance of the keys alone; None if only Σ is known.
        queries: likewise.
    """

    second_moment: Array
    keys: Moments | None = None
    queries: Moments | None = None

    @classmethod
    def of(cls, keys: npt.ArrayLike, queries: npt.ArrayLike) -> Statistics:
        """Statistics of keys (..., d) and queries (..., d), both as φ takes them.

        Raises ValueError for none of them and for other sizes.
        """
        x, y = (np.asarray(a, np.float64).reshape(-1, np.shape(a)[-1]) for a in (keys, queries))
        if x.shape[1] != y.shape[1]:
            raise ValueError(f"sizes differ: keys {np.shape(keys)}, queries {np.shape(queries)}")
        if not (len(x) and len(y)):
            raise ValueError("no keys or no queries: there must be one of each at least")
        cross = np.outer(x.mean(0), y.mean(0))
        second_moment = x.T @ x / len(x) + y.T @ y / len(y) + cross + cross.T
        return cls(second_moment, Moments.of(x), Moments.of(y))


class Operations(NamedTuple):
    """What φ(x) of one x ∈ R^d takes, once the map is drawn.

    Attributes:
        multiply_adds: of the product Ωx.
        transcendentals: evaluations of exp, sin or cos.
    """

    multiply_adds: int
    transcendentals: int


class Family(ABC):
    """A random-feature family with one of its laws of ω; d_r is the output dimension of φ.

    Attributes:
        projections: the laws of ω that it can be drawn with, from ``projections.PROJECTIONS``; the
            first is the default.
        multiple: what d_r must be a multiple of.
        nonnegative: whether φ(x)ᵀφ(y) ≥ 0 always. Others cannot be trained with: attention weights
            would be negative and their sum could vanish.
        unbiased: whether E φ(x)ᵀφ(y) = exp(xᵀy).
        uses_statistics: whether ``draw`` needs the statistics of keys and queries.
        projection: the law of ω, ``none`` for a family without randomness.
    """

    projections: ClassVar[tuple[str, ...]] = tuple(PROJECTIONS)
    multiple: ClassVar[int] = 1
    nonnegative: ClassVar[bool] = True
    unbiased: ClassVar[bool] = True
    uses_statistics: ClassVar[bool] = False

    def __init__(self, projection: str | None = None) -> None:
        """Raises ValueError for a law of ω that the family does not have."""
        if projection is not None and projection not in self.projections:
            allowed = ", ".join(self.projections) or "none, since nothing is drawn"
            raise ValueError(f"projection: {projection!r} is not allowed; {self!r} has {allowed}")
        self.projection = projection or self.default_projection() or "none"

    @classmethod
    def default_projection(cls) -> str | None:
        """The law of ω unless one is given; None if nothing is drawn."""
        return next(iter(cls.projections), None)

    def __repr__(self) -> str:
        return type(self).__name__

    def dimension(self, d: int, d_r: int) -> int:
        """Output dimension of φ for inputs in R^d, when d_r is asked for.

        Raises ValueError if the family has no map of that dimension.
        """
        if not isinstance(d_r, Integral) or d_r < 1 or d_r % self.multiple:
            even = {1: "", 2: " and even"}.get(self.multiple, f" and a multiple of {self.multiple}")
            raise ValueError(f"d_r = {d_r!r}: {self!r} needs an integer of at least 1{even}")
        return d_r

    def operations(self, d: int, d_r: int) -> Operations:
        """The cost of one φ(x)."""
        return Operations(d_r * d, d_r)

    def constants_cost(self, d: int, d_r: int, vectors: int) -> int:
        """Multiply-adds that it takes to suit drawn ω to so many keys and queries."""
        return 0

    def draw(
        self, rng: np.random.Generator, d: int, d_r: int, statistics: Statistics | None = None
    ) -> dict[str, npt.NDArray[np.float32]]:
        """The arrays of one random map, as ``feature_map`` takes them, in float32.

        Every user of a draw, in whatever precision it computes, sees the same float32 numbers.
        Raises ValueError for a d_r that the family does not have, statistics that it lacks, and
        arrays that are none, are not finite or have other shapes than ``shapes``.
        """
        self.dimension(d, d_r)
        if statistics is not None and len(statistics.second_moment) != d:
            raise ValueError(f"statistics are of size {len(statistics.second_moment)}: must be {d}")
        arrays = self.sample(rng, d, d_r, statistics)
        if not isinstance(arrays, Mapping):
            raise ValueError(f"{self!r}.sample: {type(arrays).__name__} must be a dict of arrays")
        with np.errstate(over="ignore"):  # what is too large is told below
            drawn = {name: np.asarray(array, np.float32) for name, array in arrays.items()}
        for name, shape in self.shapes(d, d_r).items():
            if name not in drawn or drawn[name].shape != shape:
                found = f"shape {drawn[name].shape}" if name in drawn else "missing"
                raise ValueError(f"{self!r}.sample: {name}: {found}; must be of shape {shape}")
        for name, array in drawn.items():
            if not np.isfinite(array).all():
                raise ValueError(f"{self!r}.sample: {name}: not finite in float32")
        return drawn

    def shapes(self, d: int, d_r: int) -> dict[str, tuple[int, ...]]:
        """Shapes that arrays must have, as far as they are known."""
        return {}

    @abstractmethod
    def sample(
        self, rng: np.random.Generator, d: int, d_r: int, statistics: Statistics | None
    ) -> dict[str, Array]:
        """The arrays of one random map; the work of ``draw``."""

    @abstractmethod
    def feature_map(self, arrays: Mapping[str, Tensor]) -> FeatureMap:
        """The map of a draw, from tensors by their names; more leading axes are a batch."""

    def log_relative_mse(
        self, keys: Array, queries: Array, d_r: int, statistics: Statistics | None = None
    ) -> Array | None:
        """log E (φ(x)ᵀφ(y) / exp(xᵀy) − 1)², pair by pair: (..., d) and (..., d) → (...).

        A logarithm, since it grows with ‖x + y‖². None where no closed form is known.
        """
        return None

    def directions(self, rng: np.random.Generator, d: int, m: int) -> Array:
        """m rows ω of the family's law, (m, d)."""
        return PROJECTIONS[self.projection](rng, d, m)

    def required(self, statistics: Statistics | None) -> Statistics:
        """The statistics, which this family needs; raises ValueError if there are none."""
        if statistics is None:
            raise ValueError(f"{self!r} needs the statistics of keys and queries")
        return statistics


class ExponentialFamily(Family):
    """A family of ``ExponentialFeatures``: what it draws is ``omega`` and ``log_weight``."""

    def shapes(self, d: int, d_r: int) -> dict[str, tuple[int, ...]]:
        return {"omega": (d_r, d), "log_weight": (d_r,)}

    def feature_map(self, arrays: Mapping[str, Tensor]) -> FeatureMap:
        return ExponentialFeatures(arrays["omega"], arrays["log_weight"])
