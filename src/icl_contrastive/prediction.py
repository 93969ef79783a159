"""What a variant's layer puts out at the query token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from icl_contrastive.attention import check_shapes, read_out

if TYPE_CHECKING:
    from torch import Tensor

    from icl_contrastive.attention import Weights
    from icl_contrastive.features.base import FeatureMap
    from icl_contrastive.variants.base import Variant


def predict(
    weights: Weights, tokens: Tensor, variant: Variant, features: FeatureMap | None
) -> Tensor:
    """ĥ_{N+1} of the variant's layer (Eq. 2, 14–18), (..., n, d) → (..., d).

    Without features the attention is the exact softmax. Raises ValueError if the weights have
    other augmentations than the variant, or shapes do not fit (``check_shapes``).
    """
    check_shapes(weights, tokens)
    for name, layers in (("g1", weights.g1), ("g2", weights.g2)):
        there, asked = 0 if layers is None else layers.shape[-3], getattr(variant, name)
        if there != asked:
            raise ValueError(f"{name}: the variant has {asked} layers, the weights have {there}")
    return read_out(weights, tokens, variant.mixing(tokens.shape[-2] - 1), features).output
