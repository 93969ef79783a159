"""Positive random features, the paper's choice."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def draw(rng: np.random.Generator, d: int, m: int) -> tuple[Array, Array]:
    """Ω with independent rows ω ~ N(0, I_d), shape (m, d), and b = 0, shape (m,).

    φ(x) = exp(Ωx − ‖x‖²/2)/√m is unbiased: E φ(x)ᵀφ(y) = exp(xᵀy) (Choromanski et al. 2020,
    arXiv 2009.14794, Lemma 1; section 5.1 of the paper).
    """
    return rng.standard_normal((m, d)), np.zeros(m)
