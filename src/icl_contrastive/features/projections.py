"""The random directions ω of a draw: rows that are each N(0, I_d), in one of three joint laws.

``independent`` rows; ``orthogonal`` ones (Yu et al. 2016, "Orthogonal random features") and those
that point to the corners of a regular ``simplex`` (Reid et al. 2023, arXiv 2301.13856) in blocks of
d rows. A block is diag(χ_d) S R with independent norms χ_d, a random rotation R, and S the identity
or the simplex. Where m is no multiple of d, the last block is cut short.
"""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def independent(rng: np.random.Generator, d: int, m: int) -> Array:
    """Independent rows, (m, d)."""
    return rng.standard_normal((m, d))


def orthogonal(rng: np.random.Generator, d: int, m: int) -> Array:
    """Rows orthogonal to the others of their block, (m, d)."""
    return _blocks(rng, np.eye(d), m)


def simplex(rng: np.random.Generator, d: int, m: int) -> Array:
    """Rows at the angle arccos(−1/(d − 1)) to the others of their block, (m, d); d ≥ 2."""
    return _blocks(rng, simplex_directions(d), m)


PROJECTIONS: dict[str, Callable[[np.random.Generator, int, int], Array]] = {
    "independent": independent,
    "orthogonal": orthogonal,
    "simplex": simplex,
}


def haar(rng: np.random.Generator, d: int, count: int) -> Array:
    """Random orthogonal matrices, uniform (Haar) on O(d), (count, d, d).

    The Q that LAPACK returns is not uniform: its signs are a convention, which leaves E[Q_11] near
    −0.8. With the signs of R's diagonal it is (Mezzadri 2007, "How to generate random matrices from
    the classical compact groups").
    """
    q, r = np.linalg.qr(rng.standard_normal((count, d, d)))
    signs = np.where(np.diagonal(r, axis1=-2, axis2=-1) < 0, -1.0, 1.0)  # (count, d)
    return np.asarray(q * signs[:, None, :])


def simplex_directions(d: int) -> Array:
    """Unit vectors to the d corners of a regular simplex, (d, d): s_iᵀs_j = −1/(d − 1)."""
    if d < 2:
        raise ValueError(f"a simplex needs at least 2 dimensions, not {d}")
    edge = np.append(np.ones(d - 1), 0.0)
    corners = math.sqrt(d / (d - 1)) * np.eye(d)
    corners -= (math.sqrt(d) + 1) * (d - 1) ** -1.5 * edge
    corners[-1] = (d - 1) ** -0.5 * edge
    return corners


def cosine(projection: str, d: int) -> float | None:
    """Cosine of the angle between two rows of one block; None where rows are independent."""
    return {"independent": None, "orthogonal": 0.0, "simplex": -1 / max(d - 1, 1)}[projection]


def _blocks(rng: np.random.Generator, directions: Array, m: int) -> Array:
    d = len(directions)
    rotated = directions @ haar(rng, d, -(-m // d))  # (blocks, d, d)
    norms = np.sqrt(rng.chisquare(d, m))
    return np.asarray(norms[:, None] * rotated.reshape(-1, d)[:m])
