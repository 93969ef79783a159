"""What the trained layer is compared with: is it in-context learning at all?

With one task for all prompts a layer can learn the task into its weights, and a low error says
nothing about the demonstrations. The controls take them away bit by bit, or replace the layer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch.nn.functional import cosine_similarity

from icl_contrastive.dual import dual_problem
from icl_contrastive.limits import FULL_WIDTH_PROMPTS

if TYPE_CHECKING:
    from torch import Tensor

    from icl_contrastive.attention import Layer
    from icl_contrastive.variants import Variant


class Prediction(NamedTuple):
    """Predictions ŷ and labels y of the query tokens, both (prompts, d_y)."""

    predictor: str
    prediction: Tensor
    target: Tensor


def zero_shot_part(layer: Layer, tokens: Tensor, variant: Variant, d_y: int) -> Tensor:
    """The label part of W_0 φ(q), (prompts, n, d) → (prompts, d_y).

    What the reference model says before it has learned from a demonstration; a_{N+1} v_{N+1} in
    the plain layer. The demonstrations' part is all else of ŷ.
    """
    mixing = variant.mixing(tokens.shape[-2] - 1)
    parts = []
    for some in torch.split(tokens, FULL_WIDTH_PROMPTS):
        problem = dual_problem(layer.weights, some, layer.features, mixing)
        weight = variant.initial_weight(problem)[:, -d_y:]  # (some prompts, d_y, m)
        parts.append((weight @ problem.query_features[..., None])[..., 0])
    return torch.cat(parts)


def value_cosine(value_weight: Tensor, task: Tensor) -> float:
    """Cosine of the label's row of W_V with (W, −1): 1 if right labels leave values of zero.

    Then each demonstration's value is W x − y, and the query's, whose label is masked, W x: it
    answers from itself. The mean over the label coordinates.

    Args:
        value_weight: W_V, (d_out, d_x + d_y).
        task: W, (d_y, d_x).
    """
    d_y = len(task)
    direction = torch.cat([task, -torch.eye(d_y, dtype=task.dtype)], -1)  # (d_y, d_x + d_y)
    return float(cosine_similarity(value_weight[-d_y:], direction, dim=-1).mean())


def zero_shot_share(zero_shot: Tensor, prediction: Tensor) -> float:
    """Share of the last coordinate's variance, cov(zero-shot part, ŷ) / var(ŷ), over the prompts.

    With the demonstrations' share it sums to 1. NaN where all predictions are the same.
    """
    part, whole = zero_shot[:, -1], prediction[:, -1] - prediction[:, -1].mean()
    return float((part - part.mean()) @ whole / (whole @ whole))


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
