"""Section 4.3: negative samples."""

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
class Negative(Variant):
    """Negative samples in the two forms that the paper gives, which are not the same.

    ``eq18`` (Eq. 17, 18): each demonstration's value loses β times the mean value of its own k
    negatives, the k other demonstrations with the lowest scores when it is the query.

    ``section_5.5``: of all N + 1 tokens, the k with the lowest scores at the query lose β / k
    each, the others gain β / (N + 1 − k) each, so that the coefficients still sum to 1. Since
    they do, this is the plain layer with every value shifted by β (mean of the positives' values
    − mean of the negatives').
    """

    form: Annotated[
        Literal["section_5.5", "eq18"],
        {"description": "Negatives of each demonstration (Eq. 18) or of the query (section 5.5)."},
    ]
    k: Annotated[
        int,
        {
            "description": "Tokens with the lowest scores; a list is a grid.",
            "minimum": 1,
        },
    ]
    beta: Annotated[
        float, {"description": "Strength of the repulsion; a list is a grid.", "minimum": 0}
    ]

    @property
    def label(self) -> str:
        form = ", Eq. 18" if self.form == "eq18" else ""
        return f"k = {self.k}, β = {in_words(self.beta)}{form}"

    def check(self, n_demonstrations: int) -> None:
        most = n_demonstrations if self.form == "section_5.5" else n_demonstrations - 1
        if not 1 <= self.k <= most:
            raise ValueError(
                f"k: {self.k} is not allowed; must be an integer from 1 to {most} with form: "
                f"{self.form} (N = {n_demonstrations})"
            )

    def mixing(self, n_demonstrations: int) -> Mixing:
        self.check(n_demonstrations)
        n = n_demonstrations + 1
        plain = super().mixing(n_demonstrations)
        if self.form == "eq18":
            repulsion = np.where(np.arange(n - 2) < self.k, self.beta / self.k, 0.0)
            return replace(plain, repulsion_by_rank=repulsion)
        shift = np.where(np.arange(n) < self.k, -self.beta / self.k, self.beta / (n - self.k))
        return replace(plain, offset_by_rank=shift)

    def initial_weight(self, problem: DualProblem) -> Tensor:
        if self.form == "eq18":
            return super().initial_weight(problem)
        negatives, positives = problem.common_negatives(self.k)
        shifted = problem.query_value + self.beta * (positives - negatives)
        return problem.outer(shifted, problem.query_key_features)

    @property
    def starts_elsewhere(self) -> bool:
        return self.form == "section_5.5"

    def restated(self) -> Variant | None:
        """Section 5.5 gives shifted scores as what Eq. 18 comes down to."""
        return replace(self, form="section_5.5") if self.form == "eq18" else None

    def loss(
        self, weight: Tensor, problem: DualProblem, samples: slice, eta: float, decay: float
    ) -> Tensor:
        """Eq. 17: attraction to one's own value, repulsion from the mean of the negatives.

        In the form of section 5.5 all demonstrations share one set of negatives, and a set of
        positives attracts as strongly.
        """
        if self.form == "eq18":
            repels = problem.own_negatives(self.k, samples)  # (..., samples, d)
        else:
            negative, positive = problem.common_negatives(self.k)
            repels = (negative - positive)[..., None, :]  # (..., 1, d)
        labels = problem.values[..., samples, :] - self.beta * repels
        return problem.attraction(weight, labels, samples, eta)
