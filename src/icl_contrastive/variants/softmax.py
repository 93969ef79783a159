"""The plain softmax layer: Theorem 1."""

from dataclasses import dataclass
from typing import Annotated, Literal

from icl_contrastive.variants.base import Variant


@dataclass(frozen=True)
class Softmax(Variant):
    """ĥ = Σ a_i v_i (Eq. 2); dual: Eq. 9 from W_0 = v_{N+1} φ(k_{N+1})ᵀ / D' (Eq. 12)."""

    attention: Annotated[
        Literal["kernel", "exact"],
        {"description": "Random features (Eq. 7) or the softmax itself (Eq. 2), as a control."},
    ] = "kernel"

    @property
    def label(self) -> str:
        return "exact softmax" if self.attention == "exact" else "plain"
