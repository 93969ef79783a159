"""In-context learning as gradient descent on a contrastive loss (Ren & Liu 2023).

The public names below are loaded on first use, so that importing the package, or one of its
light modules, never loads torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from icl_contrastive.analysis.estimates import approximation_errors as approximation_errors
    from icl_contrastive.attention import Weights as Weights
    from icl_contrastive.attention import exact_attention as exact_attention
    from icl_contrastive.attention import kernel_attention as kernel_attention
    from icl_contrastive.attention import layer_output as layer_output
    from icl_contrastive.attention import project as project
    from icl_contrastive.descent import descend as descend
    from icl_contrastive.dual import DualProblem as DualProblem
    from icl_contrastive.dual import dual_problem as dual_problem
    from icl_contrastive.features import Family as Family
    from icl_contrastive.features import Statistics as Statistics
    from icl_contrastive.features import build_family as build_family
    from icl_contrastive.features.base import ExponentialFeatures as ExponentialFeatures
    from icl_contrastive.kernel_dual import Equivalence as Equivalence
    from icl_contrastive.kernel_dual import SoftmaxProblem as SoftmaxProblem
    from icl_contrastive.kernel_dual import check_equivalence as check_equivalence
    from icl_contrastive.kernel_dual import descend_softmax as descend_softmax
    from icl_contrastive.kernel_dual import softmax_problem as softmax_problem
    from icl_contrastive.prediction import predict as predict
    from icl_contrastive.requirements import Requirements as Requirements
    from icl_contrastive.requirements import required_features as required_features
    from icl_contrastive.tasks import sample_prompts as sample_prompts
    from icl_contrastive.training import pretrain as pretrain
    from icl_contrastive.variants import build_variant as build_variant
    from icl_contrastive.variants.base import Variant as Variant

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

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
