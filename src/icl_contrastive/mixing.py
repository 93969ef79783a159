"""How a layer's output coefficients come from its attention weights (Eq. 1, 14–18)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Mixing:
    """Coefficients of the values, from the attention weights a ∈ R^{N+1} at the query token.

    c_j = gain_j a_j + offset_j + offset_by_rank[rank of a_j among all N + 1]
          − Σ_{i ≤ N, i ≠ j} a_i repulsion_by_rank[rank of token j among i's others]

    Ranks count from the lowest score; the second kind ranks the demonstrations j ≠ i by their
    scores when h_i is the query. Ranks are constants of differentiation. A term that is None is
    not there.
    """

    gain: Array  # (N + 1,)
    offset: Array  # (N + 1,)
    offset_by_rank: Array | None = None  # (N + 1,)
    repulsion_by_rank: Array | None = None  # (N - 1,)

    @classmethod
    def identity(cls, n_demonstrations: int) -> Mixing:
        """c = a."""
        return cls(np.ones(n_demonstrations + 1), np.zeros(n_demonstrations + 1))
