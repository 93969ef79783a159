"""Section 4.2: nonlinear augmentations of values and keys."""

from dataclasses import dataclass
from typing import Annotated

from icl_contrastive.variants.base import Variant


@dataclass(frozen=True)
class Augmented(Variant):
    """Eq. 16: v → g1(v), k → g2(k), with g(x) = GELU(Wx) or, as g+, GELU(W_2 GELU(W_1 x)).

    The augmentations act inside the projections, so layer and dual are those of the plain layer
    with both replaced: the loss of section 4.2 is Eq. 9 on g1(v_i) and φ(g2(k_i)).
    """

    g1: Annotated[
        int,
        {"description": "GELU layers on the values (Eq. 16).", "minimum": 0, "maximum": 2},
    ] = 0
    g2: Annotated[
        int,
        {"description": "GELU layers on the keys (Eq. 16).", "minimum": 0, "maximum": 2},
    ] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.g1 + self.g2 == 0:
            raise ValueError("g1: 0 is not allowed with g2: 0; one of them must be 1 or 2")

    @property
    def label(self) -> str:
        """The paper's symbols, with a plus for every layer after the first: ``g₁, g₂⁺``."""
        layers = {"g₁": self.g1, "g₂": self.g2}
        return ", ".join(name + "⁺" * (count - 1) for name, count in layers.items() if count)
