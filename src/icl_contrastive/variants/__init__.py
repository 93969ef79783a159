"""The variants by the name that the config gives them under ``model``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from icl_contrastive.variants.augmented import Augmented
from icl_contrastive.variants.base import Mixing, Variant
from icl_contrastive.variants.negative import Negative
from icl_contrastive.variants.regularized import Regularized
from icl_contrastive.variants.softmax import Softmax

VARIANTS: dict[str, type[Variant]] = {
    "softmax": Softmax,
    "regularized": Regularized,
    "augmented": Augmented,
    "negative": Negative,
}

__all__ = ["VARIANTS", "Mixing", "Variant", "build_variant"]


def build_variant(model: Mapping[str, Any]) -> Variant:
    """Variant of a config entry, such as ``{"model": "regularized", "alpha": 0.01}``.

    Raises KeyError for an unknown model, TypeError for a hyperparameter it does not have.
    """
    hyperparameters = {key: value for key, value in model.items() if key != "model"}
    return VARIANTS[model["model"]](**hyperparameters)
