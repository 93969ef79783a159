"""What the trained layer is compared with: is it in-context learning at all?

With one task for all prompts a layer can learn the task into its weights, and a low error says
nothing about the demonstrations. The controls take them away bit by bit, or replace the layer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from icl_contrastive.prediction import predict

if TYPE_CHECKING:
    from torch import Tensor

    from icl_contrastive.attention import Weights
    from icl_contrastive.features.base import FeatureMap
    from icl_contrastive.variants import Variant


class Prediction(NamedTuple):
    """Predictions ŷ and labels y of the query tokens, both (prompts, d_y)."""

    predictor: str
    prediction: Tensor
    target: Tensor


def predict_labels(
    weights: Weights, tokens: Tensor, variant: Variant, features: FeatureMap | None, d_y: int
) -> Tensor:
    """The label part of ĥ_{N+1}: (prompts, n, d) → (prompts, d_y)."""
    return predict(weights, tokens, variant, features)[..., -d_y:]


def altered_prompts(
    tokens: Tensor, target: Tensor, task: Tensor | None, rng: np.random.Generator
) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Name, tokens (prompts, n, d) and targets (prompts, d_y) of each way to alter the prompts.

    Args:
        tokens: the test prompts.
        target: their query tokens' labels, (prompts, d_y).
        task: another W, (d_y, d_x), for prompts with the same x but labels of their own; None
            leaves that control out.
        rng: chooses the order of the shuffled labels.
    """
    prompts, n = tokens.shape[:2]
    d_y = target.shape[-1]
    demonstrations = n - 1

    order = torch.from_numpy(rng.permuted(np.indices((prompts, demonstrations))[1], axis=1))
    shuffled = tokens.clone()
    shuffled[:, :-1, -d_y:] = tokens[:, :-1, -d_y:].gather(1, order[..., None].expand(-1, -1, d_y))
    yield "shuffled labels", shuffled, target

    unlabeled = tokens.clone()
    unlabeled[:, :-1, -d_y:] = 0
    yield "zero labels", unlabeled, target

    zeroed = tokens.clone()
    zeroed[:, :-1] = 0
    yield "zeroed demonstrations", zeroed, target

    half = (demonstrations + 1) // 2
    yield "half the demonstrations", torch.cat([tokens[:, :half], tokens[:, -1:]], 1), target

    if task is not None:
        labels = tokens[..., :-d_y] @ task.mT  # (prompts, n, d_y)
        fresh = tokens.clone()
        fresh[:, :-1, -d_y:] = labels[:, :-1]
        yield "fresh task", fresh, labels[:, -1]


def least_squares(tokens: Tensor, d_y: int, ridge: float = 0.0) -> Tensor:
    """Linear regression on each prompt's demonstrations: (prompts, n, d) → (prompts, d_y).

    Ŵ minimizes Σ ‖y_i − W x_i‖² + ridge ‖W‖²; without ridge, of least norm.
    """
    x, y = tokens[:, :-1, :-d_y], tokens[:, :-1, -d_y:]  # (prompts, N, d_x), (prompts, N, d_y)
    query = tokens[:, -1:, :-d_y]  # (prompts, 1, d_x)
    if ridge == 0:
        solution = torch.linalg.pinv(x) @ y
    else:
        gram = x.mT @ x + ridge * torch.eye(x.shape[-1], dtype=x.dtype)
        solution = torch.linalg.solve(gram, x.mT @ y)
    prediction: Tensor = (query @ solution)[:, 0]
    return prediction
