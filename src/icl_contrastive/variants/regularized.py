"""Section 4.1: the contrastive loss with ‖W‖² added."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np

from icl_contrastive.mixing import Mixing
from icl_contrastive.variants.base import Variant, in_words

if TYPE_CHECKING:
    from torch import Tensor

    from icl_contrastive.dual import DualProblem


@dataclass(frozen=True, kw_only=True)
class Regularized(Variant):
    """Eq. 14 takes away α a_{N+1} v_{N+1}; Eq. 15 takes away α v_{N+1}, which is not the same.

    Both are one step on Eq. 13. For Eq. 15, W_0 is scaled so that the decay by 1 − α leaves
    (a_{N+1} − α) v_{N+1}, which needs α ≠ 1.
    """

    form: Annotated[
        Literal["eq14", "eq15"],
        {"description": "Eq. 14 takes away alpha a v of the query token, Eq. 15 alpha v (4.1)."},
    ]
    alpha: Annotated[float, {"description": "Strength of the regularizer; a list is a grid."}]

    @property
    def label(self) -> str:
        return f"{'Eq. 14' if self.form == 'eq14' else 'Eq. 15'}, α = {in_words(self.alpha)}"

    def check(self, n_demonstrations: int) -> None:
        if self.form == "eq15" and self.alpha == 1:
            raise ValueError(
                "alpha: 1 is not allowed with form: eq15; must be another number, since the "
                "reference model's W_0 divides by 1 - alpha"
            )

    @property
    def gradient_is_constant(self) -> bool:
        return self.alpha == 0

    def mixing(self, n_demonstrations: int) -> Mixing:
        plain = super().mixing(n_demonstrations)
        query = np.zeros(n_demonstrations + 1)
        query[-1] = self.alpha
        if self.form == "eq14":
            return replace(plain, gain=plain.gain - query)
        return replace(plain, offset=plain.offset - query)

    def initial_weight(self, problem: DualProblem) -> Tensor:
        """Raises ValueError for Eq. 15 with α = 1, FloatingPointError if it is not finite."""
        self.check(problem.values.shape[-2])
        weight = super().initial_weight(problem)
        if self.form == "eq14":
            return weight
        a = problem.query_attention[..., None, None]  # (..., 1, 1)
        scaled = weight * (a - self.alpha) / ((1 - self.alpha) * a)
        if not bool(scaled.isfinite().all()):
            raise FloatingPointError(
                f"the query token's weight on itself, {float(a.min()):.3g} at least, leaves no "
                f"finite W_0 for Eq. 15, which divides by it; {a.dtype} has no such numbers"
            )
        return scaled

    @property
    def starts_elsewhere(self) -> bool:
        return self.form == "eq15"

    def restated(self) -> Variant | None:
        """Section 4.1 gives Eq. 15 as Eq. 14 of all tokens."""
        return replace(self, form="eq15") if self.form == "eq14" else None

    def loss(
        self, weight: Tensor, problem: DualProblem, samples: slice, eta: float, decay: float
    ) -> Tensor:
        """Eq. 13: Eq. 9 + (α / 2η) ‖W‖²."""
        norm = (weight * weight).sum((-2, -1))
        contrast = super().loss(weight, problem, samples, eta, decay)
        return contrast + decay * self.alpha / (2 * eta) * norm
