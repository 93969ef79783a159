"""Random-feature families by the name that the config gives them under ``family``."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from icl_contrastive.features import positive

Array = npt.NDArray[np.float64]

FAMILIES: dict[str, Callable[[np.random.Generator, int, int], tuple[Array, Array]]] = {
    "positive": positive.draw,
}


def draw_features(
    family: str, rng: np.random.Generator, d: int, m: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Ω (m, d) and log weights b (m,) of one draw of the family, in float32.

    Every user of a draw, in whatever precision it computes, sees the same float32 numbers.
    Raises KeyError for an unknown family.
    """
    omega, log_weight = FAMILIES[family](rng, d, m)
    return omega.astype(np.float32), log_weight.astype(np.float32)
