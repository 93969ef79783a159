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

_HOME = {
    "DualProblem": "dual",
    "Equivalence": "kernel_dual",
    "ExponentialFeatures": "features.base",
    "Family": "features",
    "Requirements": "requirements",
    "SoftmaxProblem": "kernel_dual",
    "Statistics": "features",
    "Variant": "variants.base",
    "Weights": "attention",
    "approximation_errors": "analysis.estimates",
    "build_family": "features",
    "build_variant": "variants",
    "check_equivalence": "kernel_dual",
    "descend": "descent",
    "descend_softmax": "kernel_dual",
    "dual_problem": "dual",
    "exact_attention": "attention",
    "kernel_attention": "attention",
    "layer_output": "attention",
    "predict": "prediction",
    "pretrain": "training",
    "project": "attention",
    "required_features": "requirements",
    "sample_prompts": "tasks",
    "softmax_problem": "kernel_dual",
}

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
