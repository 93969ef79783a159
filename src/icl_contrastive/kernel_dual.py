"""The reference model of the exact softmax, which needs no features (Eq. 8–14).

Theorem 1 holds for any kernel, not just for one that a finite φ gives. For κ(x, y) = exp(xᵀy), the
softmax's own, the reference model is f = Σ_j c_j κ(k_j, ·) with a vector c_j for each token. The
functional gradient of Eq. 9 is −(1/ηD) Σ_i v_i κ(k_i, ·), so a step moves c_i where one of W would
add v_i φ(k_i)ᵀ, and W_0 is the coefficient v_{N+1}/D' of the token's own key.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import cosine_similarity, scaled_dot_product_attention

from icl_contrastive.descent import plan_descent
from icl_contrastive.heads import read_heads

if TYPE_CHECKING:
    from torch import Tensor

    from icl_contrastive.descent import Scheme
    from icl_contrastive.heads import Data, Heads, Mask

Array = npt.NDArray[np.float64]

BLOCK = 2**23  # coefficients in memory at a time, 64 MB


@dataclass(frozen=True)
class SoftmaxProblem:
    """What n tokens give the reference models of T query tokens to learn.

    No number here overflows. κ(·, q) is relative to the largest of a query's scores, which D'
    and with it f take up; κ between keys is kept as a logarithm.

    Attributes:
        scores: κ(k_j, q_t) over the largest of query t, 0 where it does not attend, (..., T, n).
        log_gram: log κ(k_j, k_i) = k_jᵀk_i, (..., n, n).
        samples: whether token i is a demonstration to query t, (..., T, n).
        own: whether token j is the query token t, and attended to, (..., T, n).
        values: v_j, the labels, (..., n, d).
    """

    scores: Tensor
    log_gram: Tensor
    samples: Tensor
    own: Tensor
    values: Tensor

    @property
    def normalizer(self) -> Tensor:
        """D' = Σ_j κ(k_j, q_t), (..., T)."""
        return self.scores.sum(-1)

    def initial_coefficients(self) -> Tensor:
        """c of W_0: v_t / D' for the query token itself, 0 for all others, (..., T, n, d)."""
        share = self.own / self.normalizer[..., None]  # (..., T, n)
        return share[..., None] * self.values[..., None, :, :]

    def predict(self, coefficients: Tensor) -> Tensor:
        """f(q_t) = Σ_j c_j κ(k_j, q_t): (..., T, n, d) → (..., T, d)."""
        return (self.scores[..., None, :] @ coefficients)[..., 0, :]

    def cosine(self, coefficients: Tensor) -> Tensor:
        """Mean over the demonstrations of cos(f(k_i), v_i), (..., T); NaN without any."""
        kinds = torch.finfo(coefficients.dtype)
        log_gram = self.log_gram - self.log_gram.amax(-2, keepdim=True)  # each f(k_i) by a factor
        if log_gram.min() > math.log(kinds.tiny) / 2:
            predictions = log_gram.exp().mT[..., None, :, :] @ coefficients  # (..., T, n, d)
        else:  # what is all of f(k_i) could vanish beside keys that have no part in it
            predictions = torch.stack(list(map(self._at_keys, coefficients.unbind(-3))), -3)
        size = predictions.abs().amax(-1, keepdim=True).clamp_min(kinds.tiny)
        labels = self.values[..., None, :, :]
        cosines = cosine_similarity(predictions / size, labels, dim=-1, eps=kinds.tiny)
        return (cosines * self.samples).sum(-1) / self.samples.sum(-1)

    def _at_keys(self, coefficients: Tensor) -> Tensor:
        """f(k_i) of one query, each over the largest κ in it: (..., n, d) → (..., n, d)."""
        absent = (coefficients == 0).all(-1, keepdim=True)
        log_gram = self.log_gram.masked_fill(absent, -torch.inf)
        largest = log_gram.amax(-2, keepdim=True).clamp_min(torch.finfo(log_gram.dtype).min)
        return (log_gram - largest).exp().mT @ coefficients

    def loss(self, predictions: Tensor, samples: slice, eta: float) -> Tensor:
        """Eq. 9, −(1/ηD) Σ_i v_iᵀ f(k_i), for predictions f(k_i) (..., T, s, d): (..., T)."""
        labels = self.samples[..., samples, None] * self.values[..., None, samples, :]
        return -(labels * predictions).sum((-2, -1)) / (eta * self.normalizer)


def softmax_problem(
    queries: Tensor, keys: Tensor, values: Tensor, attends: Tensor, own: Tensor
) -> SoftmaxProblem:
    """The problem of queries (..., T, d) among tokens (..., n, d), scaled as in ``project``.

    Args:
        queries: of the query tokens, (..., T, d).
        keys: of all tokens, (..., n, d).
        values: of all tokens, (..., n, d_v).
        attends: whether query t attends to token j, (..., T, n).
        own: which token each query is of, (T,).
    """
    scores = (queries @ keys.mT).masked_fill(~attends, -torch.inf)  # (..., T, n)
    scores = (scores - scores.amax(-1, keepdim=True)).exp()
    itself = torch.arange(keys.shape[-2], device=keys.device) == own[:, None]  # (T, n)
    return SoftmaxProblem(
        scores=scores,
        log_gram=keys @ keys.mT,
        samples=attends & ~itself,
        own=attends & itself,
        values=values,
    )


class SoftmaxDescent(NamedTuple):
    """Reference models after a descent: c, (..., T, n, d), and ŷ_test = f(q_t), (..., T, d)."""

    coefficients: Tensor
    prediction: Tensor


def descend_softmax(
    problem: SoftmaxProblem,
    scheme: Scheme,
    epochs: int,
    eta_loss: float = 1.0,
    alpha: float = 0.0,
) -> SoftmaxDescent:
    """Functional gradient descent on Eq. 9, with α also on Eq. 13; see ``descent.descend``.

    The gradient of the loss with respect to the predictions f(k_i) is autograd's; it is the
    functional gradient's coefficient at k_i. That of (α/2η)‖f‖², in the norm of κ's own space, is
    (α/η) f. Gradients are taken under ``torch.no_grad()`` too. Raises ValueError for another
    scheme, for no epochs, and for η_loss that is not positive.
    """
    batches, eta = plan_descent(scheme, problem.values.shape[-2], epochs, eta_loss)
    decay = problem.samples.to(problem.scores.dtype)  # (..., T, n): none without a sample
    if scheme == "full_batch":
        decay = torch.ones_like(decay)
    elif scheme == "single_sample_shared_decay":
        decay = decay / decay.sum(-1, keepdim=True).clamp(min=1)

    coefficients = problem.initial_coefficients()
    for batch in batches:
        # Eq. 9 is linear in f(k_i): wherever it is taken, its derivative is the same.
        predictions = torch.zeros_like(coefficients[..., batch, :], requires_grad=True)
        with torch.enable_grad():
            loss = problem.loss(predictions, batch, eta_loss).sum()
        (gradient,) = torch.autograd.grad(loss, predictions)
        if alpha:
            coefficients *= 1 - eta / eta_loss * alpha * decay[..., batch.start, None, None]
        coefficients[..., batch, :] -= eta * gradient
    return SoftmaxDescent(coefficients, problem.predict(coefficients))


@dataclass(frozen=True)
class Equivalence:
    """How an attention layer and its reference models compare, (..., n): by head and token.

    Attributes:
        one_step_error: ‖f(q) − ĥ‖ / ‖ĥ‖ after one gradient step on all tokens attended to.
        epochs_error: the same after N_CL epochs of single-sample steps (A.3).
        own_share: share of ĥ that comes from W_0, the token's own value: a vᵀĥ / ‖ĥ‖². The shares
            of all tokens sum to 1; one that points away from ĥ has a negative share. NaN if ĥ = 0.
        cosine_before: mean of cos(f(k_i), v_i) over the other tokens, for f = W_0 (Theorem 2); NaN
            where there are none, 0 where a token does not attend to itself and W_0 is 0.
        cosine_after: the same after one step.
    """

    one_step_error: Array
    epochs_error: Array
    own_share: Array
    cosine_before: Array
    cosine_after: Array


def check_equivalence(
    queries: Data,
    keys: Data,
    values: Data,
    *,
    mask: Mask = None,
    scale: float | None = None,
    epochs: int = 10,
) -> Equivalence:
    """Check that a softmax attention layer is one gradient step of its reference models.

    Each token of each head has a reference model of its own: it starts from the token's own value
    and learns those of the other tokens that it attends to (Theorem 1). The layer is torch's.

    Args:
        queries: (..., n, d), with batches and heads as leading axes; torch tensor or numpy array.
        keys: (..., n, d); for grouped-query attention with fewer heads.
        values: (..., n, d_v), likewise.
        mask: ``"causal"``, or booleans (..., n, n), true where a query attends to a key.
        scale: factor on the scores qᵀk, by default 1/√d; 1 for vectors that carry it already.
        epochs: N_CL of ``epochs_error``.

    Raises ValueError as ``heads.read_heads`` does, and unless there is a query for each key.
    """
    with torch.inference_mode(False):  # none of whose tensors autograd takes
        heads = read_heads(queries, keys, values, mask, scale)
    n = heads.keys.shape[-2]
    if heads.queries.shape[-2] != n:
        raise ValueError(
            f"{heads.queries.shape[-2]} queries, {n} keys: every token must have both, since its "
            "reference model starts from its own"
        )
    with torch.inference_mode(False):
        measures = [torch.cat(_compare(head, epochs), -1) for head in heads.each()]  # (5, n) each
    shape = (*heads.leading, n)
    return Equivalence(*(m.reshape(shape).cpu().numpy() for m in torch.stack(measures, 1)))


def _compare(head: Heads, epochs: int) -> list[Tensor]:
    """The measures of ``Equivalence`` for one head, (5, T) for each block of T queries."""
    assert head.values is not None  # noqa: S101 - check_equivalence asks for them
    largest = head.values.abs().max()  # no measure depends on it, and squares keep to their range
    values = head.values / largest if largest else head.values
    output = scaled_dot_product_attention(
        head.queries, head.keys, values, attn_mask=head.attends, scale=1.0
    )
    n, d = values.shape
    measures = []
    size = max(1, BLOCK // (n * d))
    for first in range(0, n, size):
        token = torch.arange(first, min(first + size, n), device=output.device)
        problem = softmax_problem(
            head.queries[token], head.keys, values, head.attends[token], token
        )
        start = problem.initial_coefficients()
        one = descend_softmax(problem, "full_batch", epochs=1)
        many = descend_softmax(problem, "single_sample", epochs)
        norm = output[token].norm(dim=-1)  # (T,)
        from_own = problem.predict(start)  # (T, d)
        measures.append(
            torch.stack(
                [
                    _relative((one.prediction - output[token]).norm(dim=-1), norm),
                    _relative((many.prediction - output[token]).norm(dim=-1), norm),
                    (from_own * output[token]).sum(-1) / norm**2,
                    problem.cosine(start),
                    problem.cosine(one.coefficients),
                ]
            )
        )
    return measures


def _relative(distance: Tensor, norm: Tensor) -> Tensor:
    """The distance in parts of the norm; no distance is 0 of nothing too."""
    return torch.where(distance == 0, 0.0, distance / norm)
