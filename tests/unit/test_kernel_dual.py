"""The reference model of the exact softmax, and layers of any shape checked against it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from icl_contrastive import check_equivalence
from icl_contrastive.attention import exact_attention, project
from icl_contrastive.descent import SCHEMES, Scheme, descend
from icl_contrastive.dual import dual_problem
from icl_contrastive.features.base import ExponentialFeatures
from icl_contrastive.kernel_dual import SoftmaxProblem, descend_softmax, softmax_problem
from icl_contrastive.prediction import predict

from .cases import make_case, relative

TOLERANCE = 1e-12
BROKEN = 1e-3


def normal(seed: int, *shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def heads(seed: int, *leading: int, n: int = 9, d: int = 5, d_v: int = 4) -> list[torch.Tensor]:
    """Queries, keys and values."""
    return [normal(seed + i, *leading, n, size) for i, size in enumerate((d, d, d_v))]


def at_last_token(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor
) -> SoftmaxProblem:
    n = len(keys)
    attends = torch.ones(1, n, dtype=torch.bool)
    return softmax_problem(queries[-1:], keys, values, attends, torch.tensor([n - 1]))


# The identities


@given(
    seed=st.integers(0, 2**32 - 10),
    n=st.integers(1, 12),
    d=st.integers(1, 8),
    d_v=st.integers(1, 8),
    size=st.sampled_from([0.1, 1.0, 10.0, 1000.0]),
    mask=st.sampled_from([None, "causal", "any"]),
    epochs=st.integers(1, 7),
)
def test_every_softmax_layer_is_a_step_of_its_reference_models(
    seed: int, n: int, d: int, d_v: int, size: float, mask: Any, epochs: int
) -> None:
    queries, keys, values = heads(seed, 2, n=n, d=d, d_v=d_v)
    values = values + 3  # no output that is near 0 by cancellation
    if mask == "any":
        mask = np.random.default_rng(seed).random((n, n)) < 0.6
        mask[:, 0] = True
    found = check_equivalence(size * queries, size * keys, values, mask=mask, epochs=epochs)
    assert found.one_step_error.shape == (2, n)
    assert found.one_step_error.max() <= TOLERANCE
    assert found.epochs_error.max() <= TOLERANCE


@pytest.mark.parametrize("d", [12, 64, 128])
@pytest.mark.parametrize("weight", [0.1, 1.0])
def test_identity_holds_at_the_sizes_of_real_heads(d: int, weight: float) -> None:
    tokens = normal(0, 128, d)
    queries, keys, values = (tokens @ (weight * normal(1 + i, d, d)) for i in range(3))
    found = check_equivalence(queries, keys, values, mask="causal", epochs=2)
    assert found.one_step_error.max() <= 1e-14
    assert found.epochs_error.max() <= 1e-14


@pytest.mark.parametrize("alpha", [-0.5, 0.01, 0.3])
def test_the_regularized_reference_model_is_the_layer_of_eq_14(alpha: float) -> None:
    model = {"model": "regularized", "form": "eq14", "alpha": alpha}
    case = make_case(model, 0, demonstrations=15, d=12)
    output = predict(case.weights, case.h, case.variant, features=None)
    problem = at_last_token(*project(case.weights, case.h))
    step = descend_softmax(problem, "full_batch", 1, alpha=alpha)
    assert relative(step.prediction[0], output) <= TOLERANCE
    wrong = descend_softmax(problem, "full_batch", 1, alpha=-alpha)
    assert relative(wrong.prediction[0], output) > BROKEN


@pytest.mark.parametrize("alpha", [0.0, 0.2])
@pytest.mark.parametrize("eta", [1.0, 0.1])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_descent_in_function_space_is_descent_of_the_weights(
    scheme: Scheme, eta: float, alpha: float
) -> None:
    """For a kernel of finitely many features, f can be had both ways."""
    model = {"model": "regularized", "form": "eq14", "alpha": alpha}
    case = make_case(model, 1)
    features = case.features
    assert isinstance(features, ExponentialFeatures)
    by_weights = descend(dual_problem(case.weights, case.h, features), case.variant, scheme, 3, eta)

    queries, keys, values = project(case.weights, case.h)
    softmax = at_last_token(queries, keys, values)
    problem = SoftmaxProblem(
        scores=features.kernel(queries[-1:], keys),
        log_gram=features.kernel(keys, keys).log(),
        samples=softmax.samples,
        own=softmax.own,
        values=values,
    )
    by_functions = descend_softmax(problem, scheme, 3, eta, alpha)
    assert relative(by_functions.prediction[0], by_weights.prediction) <= TOLERANCE
    for coefficients, cosine in (
        (problem.initial_coefficients(), by_weights.cosine[0]),
        (by_functions.coefficients, by_weights.cosine[-1]),
    ):
        assert relative(problem.cosine(coefficients)[0], cosine) <= 1e-9


def test_the_gradient_is_that_of_the_loss() -> None:
    """Finite differences of Eq. 9 along a coefficient give the functional gradient's action."""
    queries, keys, values = heads(0)
    problem = at_last_token(queries, keys, values)
    gram = problem.log_gram.exp()
    samples = slice(0, len(keys))

    def loss(coefficients: torch.Tensor) -> torch.Tensor:
        return problem.loss(gram @ coefficients, samples, 1.0)

    start = problem.initial_coefficients()
    step = start - descend_softmax(problem, "full_batch", 1).coefficients  # the gradient
    direction = normal(3, *start.shape)
    inner = (step * (gram @ direction)).sum()  # in the space of κ
    slope = loss(start + direction) - loss(start)  # the loss is linear
    assert slope.item() == pytest.approx(inner.item(), rel=1e-10)


# What is reported


def test_shares_and_cosines_by_hand() -> None:
    q, k, v = (one.numpy() for one in heads(0, n=4))
    found = check_equivalence(q, k, v, mask="causal", epochs=1)
    for t in range(4):
        kernel = np.exp(k[: t + 1] @ q[t] / math.sqrt(q.shape[1]))
        a = kernel / kernel.sum()
        output = a @ v[: t + 1]
        assert found.own_share[t] == pytest.approx(a[t] * v[t] @ output / (output @ output))
        coefficients = a[:, None] / kernel[:, None] * v[: t + 1]
        start = coefficients * (np.arange(t + 1) == t)[:, None]
        for c, reported in ((start, found.cosine_before), (coefficients, found.cosine_after)):
            predictions = np.exp(k[:t] @ k[: t + 1].T / math.sqrt(q.shape[1])) @ c
            sizes = np.linalg.norm(predictions, axis=-1) * np.linalg.norm(v[:t], axis=-1)
            cosines = (predictions * v[:t]).sum(-1) / sizes
            if t:
                assert reported[t] == pytest.approx(cosines.mean(), rel=1e-10)
    assert found.own_share[0] == pytest.approx(1.0)
    assert np.isnan(found.cosine_before[0])
    assert np.isnan(found.cosine_after[0])


def test_a_token_that_does_not_attend_to_itself_starts_at_nothing() -> None:
    queries, keys, values = heads(0)
    found = check_equivalence(queries, keys, values, mask=~np.eye(9, dtype=bool))
    assert found.one_step_error.max() <= TOLERANCE
    assert (found.own_share == 0).all()
    assert (found.cosine_before == 0).all()


def test_nothing_overflows() -> None:
    """Scores of 10^5, and keys whose products with each other are as large."""
    queries, keys, values = heads(0)
    found = check_equivalence(300 * queries, 300 * keys, values, scale=1.0)
    for measure in vars(found).values():
        assert np.isfinite(measure).all()
    assert found.one_step_error.max() <= TOLERANCE


@given(
    seed=st.integers(0, 2**32 - 10),
    size=st.sampled_from([1.0, 30.0, 1000.0]),
    smallest=st.sampled_from([1.0, 1e-9, 1e-100]),
)
def test_cosines_of_keys_and_values_of_any_size(seed: int, size: float, smallest: float) -> None:
    """By the softmax of the kernels with each key; what comes later is of no account."""
    queries, keys, values = heads(seed)
    values[2] *= smallest
    keys[:-1] *= size
    keys[-1] *= 9 * size
    found = check_equivalence(queries, keys, values, mask="causal", scale=1.0, epochs=1)
    directions = torch.nn.functional.normalize(values, eps=0.0)
    for t in range(1, len(keys)):
        before = directions[:t] @ directions[t]
        predictions = (keys[:t] @ keys[: t + 1].mT).softmax(-1) @ values[: t + 1]
        after = (torch.nn.functional.normalize(predictions, eps=0.0) * directions[:t]).sum(-1)
        assert found.cosine_before[t] == pytest.approx(before.mean().item(), abs=1e-9)
        assert found.cosine_after[t] == pytest.approx(after.mean().item(), abs=1e-9)


def test_a_wrong_start_breaks_the_identity() -> None:
    """What is checked can fail: W_0 of another token is not this one's."""
    queries, keys, values = heads(0)
    attends = torch.ones(1, 9, dtype=torch.bool)
    problem = softmax_problem(queries[-1:], keys, values, attends, torch.tensor([8]))
    exact = exact_attention(queries[-1:], keys).mT @ values
    shifted = values.clone()
    shifted[-1] = values[0]
    wrong = softmax_problem(queries[-1:], keys, shifted, attends, torch.tensor([8]))
    assert relative(descend_softmax(problem, "full_batch", 1).prediction, exact) <= TOLERANCE
    assert relative(descend_softmax(wrong, "full_batch", 1).prediction, exact) > BROKEN


def test_heads_and_batches_are_checked_one_by_one() -> None:
    queries, keys, values = heads(0, 2, 3)
    found = check_equivalence(queries, keys, values, mask="causal")
    one = check_equivalence(queries[1, 2], keys[1, 2], values[1, 2], mask="causal")
    np.testing.assert_array_equal(found.own_share[1, 2], one.own_share)
    np.testing.assert_array_equal(found.cosine_after[1, 2], one.cosine_after)


def test_grouped_queries_share_keys() -> None:
    queries, keys, values = heads(0, 2, 6)
    few = check_equivalence(queries, keys[:, :3], values[:, :3])
    repeated = keys[:, :3].repeat_interleave(2, 1), values[:, :3].repeat_interleave(2, 1)
    np.testing.assert_array_equal(few.own_share, check_equivalence(queries, *repeated).own_share)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_layers_of_lower_precision_are_checked_in_float64(dtype: torch.dtype) -> None:
    queries, keys, values = (one.to(dtype).requires_grad_() for one in heads(0))
    assert check_equivalence(queries, keys, values).one_step_error.max() <= TOLERANCE


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_layers_are_checked_where_no_gradients_are_taken(context: Any, dtype: torch.dtype) -> None:
    """As the outputs of a model's hooks are had."""
    expected = check_equivalence(*(one.to(dtype) for one in heads(0)))
    with context():
        found = check_equivalence(*(one.to(dtype).clone() for one in heads(0)))
    np.testing.assert_array_equal(found.own_share, expected.own_share)
    assert found.epochs_error.max() <= TOLERANCE


# Messages


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"queries": np.ones(5)}, r"queries: shape \(5,\) is not \(\.\.\., tokens, head size\)"),
        ({"keys": np.ones((2, 9, 4))}, r"head sizes differ: queries \(2, 9, 5\), keys \(2, 9, 4\)"),
        ({"values": np.ones((2, 8, 4))}, r"one value for each key: keys .*, values \(2, 8, 4\)"),
        ({"keys": np.full((2, 9, 5), np.nan)}, r"keys: 90 of 90 entries are NaN or infinite"),
        ({"keys": np.ones((3, 9, 5))}, r"2 heads of queries do not divide among 3 heads of keys"),
        ({"keys": np.ones((1, 2, 9, 5))}, r"leading axes differ: queries .*, keys \(1, 2, 9, 5\)"),
        ({"mask": np.ones((9, 9))}, r"mask: torch\.float64 must be boolean"),
        ({"mask": np.ones((4, 9), bool)}, r"mask: shape \(4, 9\) does not fit scores \(2, 9, 9\)"),
        ({"mask": np.eye(9, k=1, dtype=bool)}, r"mask: a query attends to no key"),
        ({"mask": "full"}, r"mask: 'full' must be 'causal' or an array of booleans"),
        ({"scale": 0.0}, r"scale = 0\.0: must be positive"),
        ({"queries": np.ones((2, 8, 5))}, r"8 queries, 9 keys: every token must have both"),
        ({"epochs": 0}, r"epochs = 0: must be an integer of at least 1"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, npt.ArrayLike], message: str) -> None:
    given = dict(zip(("queries", "keys", "values"), heads(0, 2), strict=True))
    with pytest.raises(ValueError, match=message):
        check_equivalence(**(given | changes))  # type: ignore[arg-type]


def test_no_descent_is_refused() -> None:
    problem = at_last_token(*heads(0))
    with pytest.raises(ValueError, match=r"eta_loss = 0\.0: must be a positive number"):
        descend_softmax(problem, "full_batch", 1, eta_loss=0.0)
    with pytest.raises(ValueError, match="must be one of full_batch"):
        descend_softmax(problem, "adam", 1)  # type: ignore[arg-type]
