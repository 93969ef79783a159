"""Section 4.2: nonlinear augmentations of values and keys."""

from __future__ import annotations

from dataclasses import dataclass

from icl_contrastive.variants.base import Variant


@dataclass(frozen=True)
class Augmented(Variant):
    """Eq. 16: v → g1(v), k → g2(k), with g(x) = GELU(Wx) or, as g+, GELU(W_2 GELU(W_1 x)).

    The augmentations act inside the projections, so layer and dual are those of the plain layer
    with both replaced: the loss of section 4.2 is Eq. 9 on g1(v_i) and φ(g2(k_i)).
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.g1 + self.g2 == 0:
            raise ValueError("an augmented variant needs g1 or g2: the number of GELU layers")

    @property
    def label(self) -> str:
        """The paper's symbols, with a plus for every layer after the first: ``g₁, g₂⁺``."""
        layers = {"g₁": self.g1, "g₂": self.g2}
        return ", ".join(name + "⁺" * (count - 1) for name, count in layers.items() if count)
