"""The reference model's gradient descent on the contrastive loss (Eq. 9–11, A.3).

All models of a batch descend at once; the gradient is autograd's, taken on the loss.
"""

from __future__ import annotations

import math
from numbers import Integral
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import torch
from torch.nn.functional import normalize

if TYPE_CHECKING:
    from torch import Tensor

    from icl_contrastive.dual import DualProblem
    from icl_contrastive.variants.base import Variant

Scheme = Literal["full_batch", "single_sample", "single_sample_shared_decay"]
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)

AT_ONCE = 8  # steps whose cosines are taken at once: more would leave the processor's cache


class Descent(NamedTuple):
    """Course of a descent over S steps.

    Attributes:
        weight: Ŵ after the last step, (..., d, m).
        prediction: ŷ_test = Ŵ φ(q), (..., d).
        path: ŷ_test before the first and after every step, (S + 1, ..., d), of the prompts that
            are followed.
        cosine: mean over the demonstrations of cos(ŷ^(i), y^(i)) likewise, (S + 1, ...). Without
            features it asks for keys of similar norms, see ``dual.softmax_coordinates``.
        cosine_others: the same with the labels of others, mean over i ≠ j of cos(ŷ^(i), y^(j)).
    """

    weight: Tensor
    prediction: Tensor
    path: Tensor
    cosine: Tensor
    cosine_others: Tensor


def pair_cosines(predictions: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean cosines of the N pairs (ŷ^(i), y^(i)) and of all others, i ≠ j: (..., N, d) → (...).

    The positive and the negative pairs of Theorem 2. That of the others is NaN where there are
    none.
    """
    n, tiny = labels.shape[-2], torch.finfo(predictions.dtype).tiny
    size = predictions.abs().amax(-1, keepdim=True).clamp_min(tiny)  # it is that of scaled φ
    u, v = normalize(predictions / size, dim=-1), normalize(labels, dim=-1, eps=tiny)
    own = (u * v).sum((-2, -1))
    every = (u.sum(-2) * v.sum(-2)).sum(-1)
    others = (every - own) / (n * (n - 1)) if n > 1 else torch.full_like(own, torch.nan)
    return own / n, others


def plan_descent(scheme: Scheme, n: int, epochs: int, eta_loss: float) -> tuple[list[slice], float]:
    """The batches of n demonstrations that a descent takes, and η_gd of its steps.

    Raises ValueError for another scheme, no epochs, or η_loss that is not positive, RuntimeError
    under ``torch.inference_mode()``.
    """
    if torch.is_inference_mode_enabled():
        raise RuntimeError(
            "a descent takes gradients, which there are none of under torch.inference_mode(); use "
            "torch.no_grad() instead"
        )
    if scheme not in SCHEMES:
        raise ValueError(f"scheme {scheme!r}: must be one of {', '.join(SCHEMES)}")
    if not (isinstance(epochs, Integral) and epochs >= 1):
        raise ValueError(f"epochs = {epochs!r}: must be an integer of at least 1")
    if not 0 < eta_loss < math.inf:
        raise ValueError(f"eta_loss = {eta_loss!r}: must be a positive number")
    if scheme == "full_batch":
        return [slice(0, n)], eta_loss
    return [slice(i, i + 1) for i in range(n)] * epochs, eta_loss / epochs


def descend(
    problem: DualProblem,
    variant: Variant,
    scheme: Scheme,
    epochs: int,
    eta_loss: float = 1.0,
    start: Tensor | None = None,
    followed: int | None = None,
) -> Descent:
    """Train the reference model by gradient descent on the variant's loss.

    It starts at ``start``, (..., d, m), by default the variant's W_0. ``followed`` is the number of
    prompts, the first ones of the last leading axis, whose path and cosine are kept, by default
    all.

    ``full_batch`` is one step on all N demonstrations with η_gd = η_loss (Eq. 10).
    ``single_sample`` is ``epochs`` = N_CL passes of N steps on one demonstration each, with
    η_gd = η_loss / N_CL (A.3). In the latter, a regularizer acts in full at every step;
    ``single_sample_shared_decay`` shares it over the N steps of a pass. Gradients are taken under
    ``torch.no_grad()`` too. Raises ValueError for another scheme, for no epochs, for η_loss that is
    not positive, for a start of another shape, and for a variant that the prompts are too short
    for.
    """
    n = problem.values.shape[-2]
    batches, eta = plan_descent(scheme, n, epochs, eta_loss)
    decay = 1 / n if scheme == "single_sample_shared_decay" else 1.0
    variant.check(n)
    test_input = problem.query_features[..., None, :]  # (..., 1, m)
    shown = (...,) if followed is None else (..., slice(followed))
    inputs, labels, shown_input = (
        one[*shown, :, :] for one in (problem.key_features, problem.values, test_input)
    )

    if start is None:
        weight = variant.initial_weight(problem)
    elif start.shape != (shape := problem.outer(problem.query_value, problem.query_features).shape):
        raise ValueError(f"start of shape {tuple(start.shape)}: must be {tuple(shape)}")
    else:
        weight = start.clone()
    path, predictions, cosines = [], [], []
    for step, batch in enumerate([None, *batches]):
        if batch is not None:
            weight.requires_grad_()
            with torch.enable_grad():
                loss = variant.loss(weight, problem, batch, eta_loss, decay).sum()
            (gradient,) = torch.autograd.grad(loss, weight)
            weight = weight.detach().sub_(gradient, alpha=eta)
        watched = weight[*shown, :, :].contiguous()  # so that no more prompts change a bit
        path.append((watched * shown_input).sum(-1))  # Ŵ φ(q) (Eq. 11), (..., d)
        predictions.append(inputs @ watched.mT)  # Ŵ φ(k) (Eq. 8), (..., N, d)
        if len(predictions) == AT_ONCE or step == len(batches):
            cosines.append(pair_cosines(torch.stack(predictions), labels))
            predictions.clear()
    prediction = (weight * test_input).sum(-1)  # (..., d)
    cosine, cosine_others = map(torch.cat, zip(*cosines, strict=True))
    return Descent(weight, prediction, torch.stack(path), cosine, cosine_others)
