"""Closed forms that the families' mean squared errors are made of.

An estimate of K = exp(xᵀy) is K times the mean of n terms t(ω) with E t = 1. Within a block of an
orthogonal or simplex draw, every pair of terms has the same covariance (Reid et al. 2023,
arXiv 2301.13856). The moments grow as e^‖x + y‖², so they are logarithms, or divided by E t².
"""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

NODES = 64  # of the quadrature over the angle; double precision from about 30 on


def log_error_of_mean(n: int, d: int, log_second: Array, cross: Array | None) -> Array:
    """Log of the mean squared error of the mean of n terms with mean 1, drawn in blocks of d.

    Args:
        n: number of terms.
        d: rows of a block.
        log_second: log E t(ω)².
        cross: E t(ω) t(ω') / E t(ω)² for two rows of one block, None if all rows are independent.
    """
    error = -np.expm1(-log_second) / n  # over E t²
    if cross is not None:
        full, rest = divmod(n, d)
        pairs = full * d * (d - 1) + rest * (rest - 1)  # ordered, within blocks
        error = error + pairs * (cross - np.exp(-log_second)) / n**2
    with np.errstate(divide="ignore"):  # log 0 = −∞; rounding can leave it below 0
        return np.asarray(log_second + np.log(np.maximum(error, 0)))


def log_error_of_even_terms(n: int, d: int, t: Array, cosine: float | None) -> Array:
    """``log_error_of_mean`` of n terms cosh(√t ωᵀu) e^(−t/2), or cos(√−t ωᵀu) e^(−t/2) for t < 0.

    cosh a cosh b is the mean of cosh(a + b) and cosh(a − b), and cos a cos b likewise.
    """
    log_second = np.asarray(np.logaddexp(t, -t) - np.log(2))  # log cosh t
    cross = None
    if cosine is not None:
        over = -t - log_second
        cross = (pair_moment(t, d, cosine, over) + pair_moment(t, d, -cosine, over)) / 2
    return log_error_of_mean(n, d, log_second, cross)


def pair_moment(t: Array, d: int, cosine: float, log_factor: Array) -> Array:
    """E exp(√t (ω + ω')ᵀu) for a unit vector u and two rows of one block, times e^log_factor.

    It is E ₀F₁(; d/2; r² t/4), r² = χ² + χ'² + 2 χχ' cosine, since ω + ω' has a uniform direction
    and the norm r. The sum χ² + χ'² ~ χ²_{2d} is independent of how the two share it and
    integrates to ₁F₁(d; d/2; ·), which leaves the share. t may be negative: then it is
    E cos(√−t (ω + ω')ᵀu). Where x > 0, ₁F₁(d; d/2; x) = e^x ₁F₁(−d/2; d/2; −x).
    """
    from scipy.special import hyp1f1

    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    sine = np.sin(np.pi / 2 * (nodes + 1))  # 2 χχ' / (χ² + χ'²)
    density = weights * sine ** (d - 1)
    x = t[..., None] / 2 * (1 + cosine * sine)
    slow = hyp1f1(np.where(x > 0, -d / 2, d), d / 2, -np.abs(x))
    moments = np.exp(np.maximum(x, 0) + log_factor[..., None]) * slow
    return np.asarray(moments @ density / density.sum())


def squared_norm(x: Array) -> Array:
    """‖x‖² over the last axis."""
    return np.asarray((x * x).sum(-1))
