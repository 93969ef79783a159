"""In-context learning as gradient descent on a contrastive loss (Ren & Liu 2023).

The public names below are loaded on first use, so that importing the package, or one of its
light modules, never loads torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from icl_contrastive.analysis.estimates import approximation_errors
    from icl_contrastive.attention import (
        Weights,
        exact_attention,
        kernel_attention,
        layer_output,
        project,
    )
    from icl_contrastive.descent import descend
    from icl_contrastive.dual import DualProblem, dual_problem
    from icl_contrastive.features import Family, Statistics, build_family
    from icl_contrastive.features.base import ExponentialFeatures
    from icl_contrastive.kernel_dual import (
        Equivalence,
        SoftmaxProblem,
        check_equivalence,
        descend_softmax,
        softmax_problem,
    )
    from icl_contrastive.prediction import predict
    from icl_contrastive.requirements import Requirements, required_features
    from icl_contrastive.tasks import sample_prompts
    from icl_contrastive.training import pretrain
    from icl_contrastive.variants import build_variant
    from icl_contrastive.variants.base import Variant

_NAMES = {
    "analysis.estimates": "approximation_errors",
    "attention": "Weights exact_attention kernel_attention layer_output project",
    "descent": "descend",
    "dual": "DualProblem dual_problem",
    "features": "Family Statistics build_family",
    "features.base": "ExponentialFeatures",
    "kernel_dual": "Equivalence SoftmaxProblem check_equivalence descend_softmax softmax_problem",
    "prediction": "predict",
    "requirements": "Requirements required_features",
    "tasks": "sample_prompts",
    "training": "pretrain",
    "variants": "build_variant",
    "variants.base": "Variant",
}
_HOME = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = [
    "DualProblem",
    "Equivalence",
    "ExponentialFeatures",
    "Family",
    "Requirements",
    "SoftmaxProblem",
    "Statistics",
    "Variant",
    "Weights",
    "approximation_errors",
    "build_family",
    "build_variant",
    "check_equivalence",
    "descend",
    "descend_softmax",
    "dual_problem",
    "exact_attention",
    "kernel_attention",
    "layer_output",
    "predict",
    "pretrain",
    "project",
    "required_features",
    "sample_prompts",
    "softmax_problem",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
