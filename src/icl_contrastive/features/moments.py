"""Closed forms that the families' mean squared errors are made of.

An estimate of K = exp(xᵀy) is K times the mean of n terms t(ω) with E t = 1. Within a block of an
orthogonal or simplex draw, every pair of terms has the same covariance (Reid et al. 2023,
arXiv 2301.13856).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

NODES = 64  # of the quadrature over the angle; double precision from about 30 on


def error_of_mean(n: int, d: int, second: Array, cross: Array | None) -> Array:
    """Mean squared error of the mean of n terms with mean 1, drawn in blocks of d.

    Args:
        n: number of terms.
        d: rows of a block.
        second: E t(ω)².
        cross: E t(ω) t(ω') for two rows of one block, None if all rows are independent.
    """
    variance = (second - 1) / n
    if cross is None:
        return variance
    full, rest = divmod(n, d)
    pairs = full * d * (d - 1) + rest * (rest - 1)  # ordered, within blocks
    return np.asarray(variance + pairs * (cross - 1) / n**2)


def pair_moment(t: Array, d: int, cosine: float) -> Array:
    """E exp(√t (ω + ω')ᵀu) for a unit vector u and two rows of one block.

    It is E ₀F₁(; d/2; r² t/4), r² = χ² + χ'² + 2 χχ' cosine, since ω + ω' has a uniform direction
    and the norm r. The sum χ² + χ'² ~ χ²_{2d} is independent of how the two share it and
    integrates to ₁F₁(d; d/2; ·), which leaves the share. t may be negative: then it is
    E cos(√−t (ω + ω')ᵀu).
    """
    from scipy.special import hyp1f1

    if cosine == 0:
        return np.asarray(hyp1f1(d, d / 2, t / 2))
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    sine = np.sin(np.pi / 2 * (nodes + 1))  # 2 χχ' / (χ² + χ'²)
    density = weights * sine ** (d - 1)
    moments = hyp1f1(d, d / 2, t[..., None] / 2 * (1 + cosine * sine))
    return np.asarray(moments @ density / density.sum())


def squared_norm(x: Array) -> Array:
    """‖x‖² over the last axis."""
    return np.asarray((x * x).sum(-1))


def squared_kernel(keys: Array, queries: Array) -> Array:
    """K² = exp(2 xᵀy), pair by pair."""
    return np.asarray(np.exp(2 * (keys * queries).sum(-1)))
