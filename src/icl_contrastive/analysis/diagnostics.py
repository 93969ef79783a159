"""What can be read off one run's layer: how well it predicts, and how well it is estimated."""

import numpy as np
import torch

from icl_contrastive.analysis.reading import read
from icl_contrastive.attention import Layer, Projections, project
from icl_contrastive.features import Family
from icl_contrastive.variants import Variant


def diagnose(
    layer: Layer,
    variant: Variant,
    family: Family,
    d_r: int,
    tokens: torch.Tensor,
    targets: torch.Tensor,
) -> dict[str, float]:
    """Numbers by name, over prompts (prompts, n, d) with targets (prompts, d_y).

    Medians over the prompts of ``absolute_error``, |ŷ − y|, of ``absolute_error_exact``, the same
    with the exact softmax in place of the estimate, and of ``query_weight``, a_{N+1};
    ``relative_deviation``, the median over prompts and keys of an estimated kernel entry's;
    ``weight_error``, the mean over prompts of Σ_i |a_i − a_i exact| / 2.
    """
    without = layer._replace(features=None)
    estimated, exact = (read(one, tokens, variant) for one in (layer, without))
    errors = [
        float(np.median((one.output[:, -1] - targets[:, -1]).abs())) for one in (estimated, exact)
    ]
    projections = project(layer.weights, tokens)
    return {
        "absolute_error": errors[0],
        "absolute_error_exact": errors[1],
        "query_weight": float(np.median(estimated.attention[:, -1])),
        "relative_deviation": float(np.median(relative_deviation(family, projections, d_r))),
        "weight_error": float((estimated.attention - exact.attention).abs().sum(-1).mean() / 2),
    }


def relative_deviation(family: Family, projections: Projections, d_r: int) -> np.ndarray:
    """Standard deviation of φ(k)ᵀφ(q) over exp(kᵀq), for every key at the query, (prompts, n).

    √((e^‖k+q‖² − 1)/d_r) for independent positive features. NaN where no closed form is known, or
    one that depends on what the family knew when it was drawn.
    """
    keys = projections.keys.numpy()
    queries = np.broadcast_to(projections.queries[:, -1:].numpy(), keys.shape)
    squared = None if family.uses_statistics else family.log_relative_mse(keys, queries, d_r)
    if squared is None:
        return np.full(keys.shape[:2], np.nan)
    return np.asarray(np.exp(squared / 2))
