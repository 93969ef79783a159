"""Exact attention (Eq. 1, 2, 6), kernel attention (Eq. 7), and how close the latter comes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import gelu, scaled_dot_product_attention

from icl_contrastive.analysis.estimates import (
    approximation_errors,
    bias_and_variance,
    entry_errors,
    estimated_matrices,
    exact_matrices,
    mild_pairs,
    uniform_matrices,
)
from icl_contrastive.attention import (
    Projections,
    Weights,
    augment,
    exact_attention,
    kernel_attention,
    layer_output,
    neighbor_ranks,
    normalize,
    project,
    query_attention,
    query_ranks,
    score_ranks,
)
from icl_contrastive.choices import Normalization
from icl_contrastive.descent import descend
from icl_contrastive.dual import dual_problem
from icl_contrastive.features.base import PAIR_BLOCK, ExponentialFeatures
from icl_contrastive.features.trigonometric import TrigonometricFeatures
from icl_contrastive.mixing import Mixing
from icl_contrastive.prediction import predict
from icl_contrastive.variants import build_variant

from . import naive
from .cases import Case, cases, make_case

D = 12


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(2023)


def normal(generator: torch.Generator, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def weights_of(generator: torch.Generator, scale: float = 0.3) -> Weights:
    W_Q, W_K, W_V = scale * normal(generator, 3, D, D)
    return Weights(W_Q, W_K, W_V, normalization="scaled")  # Eq. 1


def features_of(generator: torch.Generator, m: int, d: int = D) -> ExponentialFeatures:
    return ExponentialFeatures(normal(generator, m, d), torch.zeros(m, dtype=torch.float64))


# Exact attention


@pytest.mark.parametrize("shape", [(16, D), (3, 32, D)], ids=["one prompt", "batch"])
def test_exact_layer_is_scaled_dot_product_attention(
    generator: torch.Generator, shape: tuple[int, ...]
) -> None:
    """Eq. 1, with its 1/√d_out, for all queries at once."""
    weights, tokens = weights_of(generator), normal(generator, *shape)
    projections = project(weights, tokens)
    attention = exact_attention(projections.queries, projections.keys)
    q, k, v = (tokens @ w.mT for w in (weights.W_Q, weights.W_K, weights.W_V))
    expected = scaled_dot_product_attention(q, k, v)
    torch.testing.assert_close(
        layer_output(attention, projections.values), expected, rtol=1e-12, atol=1e-13
    )
    ones = torch.ones(shape[:-1], dtype=torch.float64)
    torch.testing.assert_close(attention.sum(-2), ones)  # every query's column


def test_a_head_of_fewer_dimensions_than_its_tokens_is_scaled_by_its_own(
    generator: torch.Generator,
) -> None:
    W_Q, W_K, W_V = (normal(generator, rows, D) for rows in (4, 4, 7))
    weights = Weights(W_Q, W_K, W_V, normalization="scaled")
    tokens = normal(generator, 5, 16, D)
    q, k, v = (tokens @ w.mT for w in (weights.W_Q, weights.W_K, weights.W_V))
    expected = scaled_dot_product_attention(q, k, v)[:, -1]
    exact = build_variant({"model": "softmax", "attention": "exact"})
    torch.testing.assert_close(
        predict(weights, tokens, exact, None), expected, rtol=1e-12, atol=1e-13
    )
    features = features_of(generator, 40, 4)
    plain = build_variant({"model": "softmax"})
    reference = descend(dual_problem(weights, tokens, features), plain, "full_batch", 1).prediction
    torch.testing.assert_close(predict(weights, tokens, plain, features), reference)


def test_augmentations_that_are_not_there_are_told(generator: torch.Generator) -> None:
    weights, tokens = weights_of(generator), normal(generator, 3, 16, D)
    augmented = build_variant({"model": "augmented", "g1": 1})
    with pytest.raises(ValueError, match="g1: the variant has 1 layers, the weights have 0"):
        predict(weights, tokens, augmented, None)


def test_prediction_without_features_is_the_last_token_of_that_layer(
    generator: torch.Generator,
) -> None:
    weights, tokens = weights_of(generator), normal(generator, 5, 16, D)
    q, k, v = (tokens @ w.mT for w in (weights.W_Q, weights.W_K, weights.W_V))
    expected = scaled_dot_product_attention(q, k, v)[:, -1]
    exact = build_variant({"model": "softmax", "attention": "exact"})
    torch.testing.assert_close(
        predict(weights, tokens, exact, None), expected, rtol=1e-12, atol=1e-13
    )


def test_exact_attention_does_not_overflow() -> None:
    keys = torch.tensor([[800.0], [-800.0]], dtype=torch.float64)
    attention = exact_attention(torch.tensor([[1.0]], dtype=torch.float64), keys)
    torch.testing.assert_close(attention, torch.tensor([[1.0], [0.0]], dtype=torch.float64))


# Projections


def test_normalized_keys_and_queries(generator: torch.Generator) -> None:
    """The readings of section 3.1, for keys and queries, as is meant; values have none."""
    weights, tokens = weights_of(generator), normal(generator, 16, D)
    k, q = tokens @ weights.W_K.mT, tokens @ weights.W_Q.mT
    readings: tuple[tuple[Normalization, torch.Tensor, torch.Tensor], ...] = (
        ("unit", k / k.norm(dim=1, keepdim=True), q / q.norm(dim=1, keepdim=True)),
        ("scaled", k / D**0.25, q / D**0.25),
        ("none", k, q),
    )
    for normalization, expected_k, expected_q in readings:
        queries, keys, values = project(replace(weights, normalization=normalization), tokens)
        torch.testing.assert_close(queries, expected_q)
        torch.testing.assert_close(keys, expected_k)
        torch.testing.assert_close(values, tokens @ weights.W_V.mT)


def test_normalization_is_one_of_three() -> None:
    with pytest.raises(ValueError, match="normalization 'norm': must be one of unit, scaled, none"):
        normalize(torch.ones(2), "norm")  # type: ignore[arg-type]


def test_the_unit_vector_of_zero_is_zero_and_so_is_its_gradient() -> None:
    x = torch.tensor([[0.0, 0.0], [3.0, 4.0]], dtype=torch.float64, requires_grad=True)
    unit = normalize(x, "unit")
    torch.testing.assert_close(unit, torch.tensor([[0.0, 0.0], [0.6, 0.8]], dtype=torch.float64))
    (gradient,) = torch.autograd.grad(unit[:, 0].sum(), x)
    # (I − x̂ x̂ᵀ) e_1 / ‖x‖
    expected = torch.tensor([[0.0, 0.0], [0.64 / 5, -0.48 / 5]], dtype=torch.float64)
    torch.testing.assert_close(gradient, expected)


def test_augmentations_come_before_the_normalization(generator: torch.Generator) -> None:
    """Eq. 16: g2(W_K H)ᵀ W_Q H / √d_out, so that g2 sees the keys as they are."""
    plain, tokens = weights_of(generator), normal(generator, 16, D)
    g1, g2 = normal(generator, 1, D, D), normal(generator, 2, D, D)
    twice = gelu(gelu(tokens @ plain.W_K.mT @ g2[0].mT) @ g2[1].mT)
    readings: tuple[tuple[Normalization, torch.Tensor], ...] = (
        ("unit", torch.nn.functional.normalize(twice)),
        ("scaled", twice / D**0.25),
    )
    for normalization, expected in readings:
        weights = Weights(plain.W_Q, plain.W_K, plain.W_V, g1, g2, normalization)
        _, keys, values = project(weights, tokens)
        torch.testing.assert_close(values, gelu(tokens @ plain.W_V.mT @ g1[0].mT))
        torch.testing.assert_close(keys, expected)


def test_gelu_is_the_exact_one() -> None:
    x = torch.linspace(-6, 6, 101, dtype=torch.float64)[:, None]
    one = torch.ones(1, 1, 1, dtype=torch.float64)
    expected = naive.gelu(x[:, 0].numpy())
    np.testing.assert_allclose(augment(x, one)[:, 0], expected, rtol=1e-12, atol=1e-15)


# Random features


@given(cases())
def test_kernels_are_products_of_features(case: Case) -> None:
    """``kernel``, ``log_kernel`` and the attention against an explicit φᵀφ."""
    features = case.features
    assert features is not None
    projections = project(case.weights, case.h)
    k, q = (naive.keys(case.layer, case.tokens), naive.queries(case.layer, case.tokens))
    expected = np.array([[naive.kernel(case.layer, key, query) for query in q] for key in k])
    np.testing.assert_allclose(
        features.kernel(projections.keys, projections.queries), expected, rtol=1e-10
    )
    at_all = expected / expected.sum(0)
    attention = kernel_attention(projections.queries, projections.keys, features)
    np.testing.assert_allclose(attention, at_all, rtol=1e-10)
    at_query = expected[:, -1] / expected[:, -1].sum()
    np.testing.assert_allclose(query_attention(projections, features), at_query, rtol=1e-10)


def test_kernel_in_blocks_of_features_is_the_kernel(generator: torch.Generator) -> None:
    m = 2 * PAIR_BLOCK // (4 * 40) + 5
    features = ExponentialFeatures(normal(generator, m, 3), 0.3 * normal(generator, m))
    keys, query = 0.5 * normal(generator, 4, 40, 3), 0.5 * normal(generator, 4, 1, 3)
    explicit = features(keys) @ features(query).mT
    torch.testing.assert_close(features.kernel(keys, query), explicit, rtol=1e-12, atol=0)


def test_log_kernel_does_not_overflow_where_the_features_do(generator: torch.Generator) -> None:
    """A shift that cancels, in the log domain: key 60 from the origin, in float32."""
    features = ExponentialFeatures(torch.randn(50, D, generator=generator), torch.zeros(50))
    x = torch.full((1, D), 60 / math.sqrt(D))
    log_kernel = features.log_kernel(x, x)
    double = ExponentialFeatures(features.omega.double(), features.log_weight.double())
    assert log_kernel.isfinite().all()
    torch.testing.assert_close(
        log_kernel.double(), double.log_kernel(x.double(), x.double()), rtol=1e-5, atol=0
    )


def far(
    generator: torch.Generator, norm: float, n: int = 6
) -> tuple[torch.Tensor, torch.Tensor, ExponentialFeatures]:
    """Queries and keys of one norm, and features, in float64."""
    queries, keys = norm * normalize(normal(generator, 2, n, D), "unit")
    return queries, keys, features_of(generator, 50)


def log_products(
    queries: torch.Tensor, keys: torch.Tensor, features: ExponentialFeatures
) -> torch.Tensor:
    """log φ(k)ᵀφ(q) for every pair, in plain loops and with a shift of its own."""
    d_r = len(features.omega)
    table = torch.empty(len(keys), len(queries), dtype=torch.float64)
    for i, k in enumerate(keys.double()):
        for j, q in enumerate(queries.double()):
            exponents = (features.omega.double() @ (k + q) - (k @ k + q @ q) / 2).tolist()
            most = max(exponents)
            table[i, j] = most + math.log(sum(math.exp(e - most) for e in exponents) / d_r)
    return table


@pytest.mark.parametrize(
    ("dtype", "norm"), [(torch.float32, 14.0), (torch.float32, 60.0), (torch.float64, 200.0)]
)
def test_attention_of_all_queries_is_there_at_any_norm(
    generator: torch.Generator, dtype: torch.dtype, norm: float
) -> None:
    """All columns as one at a time, where the products of plain features are 0 or infinite."""
    queries, keys, features = far(generator, norm)
    expected = log_products(queries, keys, features).softmax(-2)
    cast = ExponentialFeatures(features.omega.to(dtype), features.log_weight.to(dtype))
    queries, keys = queries.to(dtype), keys.to(dtype)
    attention = kernel_attention(queries, keys, cast)
    tolerance = norm**2 * 1e2 * torch.finfo(dtype).eps
    torch.testing.assert_close(attention.double(), expected, rtol=tolerance, atol=tolerance)
    for j in range(len(queries)):
        one = cast.attention(keys, queries[j : j + 1])[..., 0]
        torch.testing.assert_close(attention[:, j], one, rtol=tolerance, atol=tolerance)
    exact = Projections(queries, keys, keys)
    assert estimated_matrices(exact, cast).output.isfinite().all()


def test_attention_where_the_products_of_features_underflow(generator: torch.Generator) -> None:
    """Keys opposite to the query: large are the features of either where the other's are 0."""
    queries, keys, features = far(generator, 40.0, 3)
    keys = torch.cat([-queries, 0.999 * -queries])
    features = ExponentialFeatures(features.omega.float(), features.log_weight.float())
    scores = features.scores(keys.float(), queries.float())
    expected = log_products(queries.float(), keys.float(), features)
    torch.testing.assert_close(scores.double(), expected, rtol=1e-4, atol=0)
    weights = kernel_attention(queries[:1].float(), keys[::3].float(), features)
    assert weights.isfinite().all()
    torch.testing.assert_close(weights.sum(), torch.tensor(1.0))


def test_trigonometric_attention_is_there_at_any_norm(generator: torch.Generator) -> None:
    omega = normal(generator, 500, D)
    features = TrigonometricFeatures(omega)
    queries = 60 * normalize(normal(generator, 4, D), "unit")
    keys = queries + 0.1 * normal(generator, 4, D)
    waves = torch.cos((keys[:, None] - queries[None]) @ omega.mT).mean(-1)
    scores = (((keys * keys).sum(-1) - (keys * keys).sum(-1).max()) / 2).exp()[:, None] * waves
    assert not features(keys).isfinite().all()
    torch.testing.assert_close(kernel_attention(queries, keys, features), scores / scores.sum(0))


@pytest.mark.parametrize("distance", [0.5, 1.0, 1.5])
def test_features_are_unbiased(generator: torch.Generator, distance: float) -> None:
    """Mean of 200,000 one-feature estimates of exp(xᵀy) within 4 standard errors.

    The standard error is the closed form: variance e^{2xᵀy} (e^{‖x + y‖²} − 1).
    """
    x, y = distance * torch.nn.functional.normalize(normal(generator, 2, 1, 4), dim=-1)
    m = 200_000
    exact = math.exp(float((x * y).sum()))
    estimate = float(features_of(generator, m, 4).kernel(x, y))
    error = exact * math.sqrt(math.expm1(float(((x + y) ** 2).sum())) / m)
    assert abs(estimate - exact) < 4 * error


def test_kernel_attention_converges_to_the_exact_one(generator: torch.Generator) -> None:
    """Mean over 40 draws: MSE falls as 1/m and MAE as 1/√m, slopes within 4 standard errors."""
    projections = project(weights_of(generator, 0.1), normal(generator, 16, D))
    exact = exact_matrices(projections)
    counts = [100, 400, 1600, 6400]
    slopes: dict[str, list[float]] = {"mse": [], "mae": []}
    for _ in range(40):
        errors = [
            approximation_errors(
                estimated_matrices(projections, features_of(generator, m)).attention,
                exact.attention,
            )
            for m in counts
        ]
        for name, values in slopes.items():
            y = np.log([getattr(error, name) for error in errors])
            values.append(float(np.polyfit(np.log(counts), y, 1)[0]))
    for name, expected in (("mse", -1.0), ("mae", -0.5)):
        mean, error = np.mean(slopes[name]), np.std(slopes[name], ddof=1) / math.sqrt(40)
        assert error < 0.03
        assert abs(mean - expected) < 4 * error


def test_kernel_attention_with_very_many_features(generator: torch.Generator) -> None:
    """With 400,000 features, each weight is within 5 standard errors of the exact one.

    To first order, the relative variance of a weight is at most that of two kernel entries.
    """
    projections = project(weights_of(generator, 0.2), normal(generator, 8, D))
    m = 400_000
    estimate = kernel_attention(projections.queries, projections.keys, features_of(generator, m))
    exact = exact_attention(projections.queries, projections.keys)
    torch.testing.assert_close(estimate.sum(-2), torch.ones(8, dtype=torch.float64))
    sums = projections.keys[:, None] + projections.queries[None, :]
    worst = torch.expm1((sums**2).sum(-1)).max()
    assert ((estimate / exact - 1).abs().max()) < 5 * math.sqrt(2 * float(worst) / m)


def test_matrices_and_errors_by_hand(generator: torch.Generator) -> None:
    """Output has tokens as columns, Ĥ = V A, and the errors are means over all entries."""
    projections = project(weights_of(generator), normal(generator, 6, D))
    exact = exact_matrices(projections)
    torch.testing.assert_close(exact.output, projections.values.mT @ exact.attention)
    a = torch.tensor([[1.0, 2.0], [3.0, 5.0]])
    assert approximation_errors(a, torch.zeros(2, 2)) == (39 / 4, 11 / 4)


# Ranks


@given(st.lists(st.integers(0, 5), min_size=1, max_size=9))
def test_ranks_count_from_the_lowest_and_break_ties_by_position(scores: list[int]) -> None:
    order = sorted(range(len(scores)), key=lambda i: (scores[i], i))
    expected = [order.index(i) for i in range(len(scores))]
    assert score_ranks(torch.tensor(scores)).tolist() == expected


@pytest.mark.parametrize("attention", ["kernel", "exact"])
def test_neighbors_are_ranked_by_their_scores_for_each_query(attention: str) -> None:
    case = make_case({"model": "softmax", "attention": attention}, 5, demonstrations=9)
    ranks = neighbor_ranks(project(case.weights, case.h), case.features)
    k, q = naive.keys(case.layer, case.tokens), naive.queries(case.layer, case.tokens)
    for i in range(9):
        others = [j for j in range(9) if j != i]
        others.sort(key=lambda j: naive.kernel(case.layer, k[j], q[i]))
        assert [int(ranks[i, j]) for j in others] == list(range(8))
        assert ranks[i, i] == 8


@pytest.mark.parametrize("exact", [False, True])
def test_ranks_are_those_of_the_scores_where_the_weights_underflow(
    generator: torch.Generator, exact: bool
) -> None:
    """In float32, most weights at the query are 0, and so is the whole plain kernel."""
    queries, keys, features = far(generator, 30.0 if exact else 150.0, 9)
    queries[-1] = keys[4]  # one token gets all the weight
    layer = Projections(queries.float(), keys.float(), keys.float())
    single = ExponentialFeatures(features.omega.float(), features.log_weight.float())
    expected = keys @ queries.mT if exact else log_products(queries, keys, features)
    phi = None if exact else single
    assert (query_attention(layer, phi) == 0).sum() > 5
    assert query_ranks(layer, phi).tolist() == score_ranks(expected[:, -1]).tolist()
    ranks = neighbor_ranks(layer, phi)
    for i in range(8):
        others = [j for j in range(8) if j != i]
        others.sort(key=lambda j: float(expected[j, i]))
        assert [int(ranks[i, j]) for j in others] == list(range(7))
    variant = build_variant({"model": "negative", "form": "section_5.5", "k": 3, "beta": 0.3})
    weights = Weights(torch.eye(D), torch.eye(D), torch.eye(D))
    tokens = D**0.25 * keys.float()
    lowest = query_ranks(project(weights, tokens), phi)
    chosen = (lowest < 3).float()
    plain = predict(weights, tokens, build_variant({"model": "softmax"}), phi)
    shift = (1 - chosen) @ tokens / 6 - chosen @ tokens / 3
    torch.testing.assert_close(predict(weights, tokens, variant, phi), plain + 0.3 * shift)


# Shapes


def test_heads_and_prompts_are_not_paired_by_chance(generator: torch.Generator) -> None:
    W_Q, W_K, W_V = normal(generator, 3, 2, 4, D)
    heads = Weights(W_Q, W_K, W_V)
    tokens, variant = normal(generator, 2, 16, D), build_variant({"model": "softmax"})
    features = features_of(generator, 20, 4)
    for count in (2, 3):  # as many prompts as heads, or not
        prompts = tokens.repeat(2, 1, 1)[:count]
        with pytest.raises(ValueError, match=r"W_Q of shape \(2, 4, 12\).* tokens\[\.\.\., None"):
            predict(heads, prompts, variant, features)
        with pytest.raises(ValueError, match=r"W_Q of shape \(2, 4, 12\)"):
            dual_problem(heads, prompts, features)
    every_head = predict(heads, tokens[:, None], variant, features)
    assert every_head.shape == (2, 2, 4)
    for h in range(2):
        head = Weights(heads.W_Q[h], heads.W_K[h], heads.W_V[h])
        alone = predict(head, tokens, variant, features)
        torch.testing.assert_close(every_head[:, h], alone, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((D,), r"tokens of shape \(12,\): must be \(..., N \+ 1, d\)"),
        ((1, D), "with a demonstration at least and the query token"),
        ((3, 16, D + 1), r"W_Q of shape \(12, 12\): must be \(..., d_out, 13\) for tokens"),
    ],
)
def test_prompts_that_are_none_are_refused(
    generator: torch.Generator, shape: tuple[int, ...], message: str
) -> None:
    weights, tokens = weights_of(generator), normal(generator, *shape)
    features = features_of(generator, 20)
    for call in (
        lambda: predict(weights, tokens, build_variant({"model": "softmax"}), features),
        lambda: dual_problem(weights, tokens, features),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_errors_are_of_matrices_of_one_shape() -> None:
    """Else the smaller one would be repeated."""
    one, other = torch.ones(3, 5), torch.ones(3, 1)
    for errors, matrices in (
        (approximation_errors, (one, other)),
        (entry_errors, (one, other, other)),
        (entry_errors, (other, other, one)),
    ):
        with pytest.raises(
            ValueError, match=r"shapes \(3, 5\) and \(3, 1\): they must be the same"
        ):
            errors(*matrices)


def test_mild_pairs_are_of_one_prompt(generator: torch.Generator) -> None:
    keys = normal(generator, 2, 5, D)
    with pytest.raises(ValueError, match=r"keys of shape \(2, 5, 12\): must be \(n, d\)"):
        mild_pairs(Projections(keys, keys, keys))
    with pytest.raises(ValueError, match=r"share = 2: must be above 0 and at most 1"):
        mild_pairs(Projections(keys[0], keys[0], keys[0]), 2)


def test_weights_by_name_leave_other_tensors_alone(generator: torch.Generator) -> None:
    tensors = {name: normal(generator, 2, 2) for name in ("W_Q", "W_K", "W_V", "g2", "omega")}
    weights = Weights.from_tensors(tensors)
    assert weights.W_K is tensors["W_K"]
    assert weights.g2 is tensors["g2"]
    assert weights.g1 is None


def test_identity_mixing_reads_out_the_layer(generator: torch.Generator) -> None:
    mixing = Mixing.identity(7)
    np.testing.assert_array_equal(mixing.gain, np.ones(8))
    np.testing.assert_array_equal(mixing.offset, np.zeros(8))
    weights, tokens = weights_of(generator), normal(generator, 8, D)
    features = features_of(generator, 30)
    projections = project(weights, tokens)
    assert isinstance(projections, Projections)
    attention = kernel_attention(projections.queries, projections.keys, features)
    expected = layer_output(attention, projections.values)[-1]
    prediction = predict(weights, tokens, build_variant({"model": "softmax"}), features)
    torch.testing.assert_close(prediction, expected, rtol=1e-12, atol=1e-14)


def test_entry_errors_of_a_known_matrix() -> None:
    """A batch of one matrix whose columns have a largest entry that is off by half."""
    exact = torch.tensor(
        [[8.0, 1.0, 2.0], [2.0, -10.0, 4.0], [4.0, 2.0, 16.0]], dtype=torch.float64
    )
    factor = torch.tensor([[1.5, 1.1, 1.2], [1.1, 1.5, 0.9], [1.2, 0.9, 0.5]], dtype=torch.float64)
    uniform = torch.full_like(exact, 6.0)
    errors = entry_errors((exact * factor)[None], exact[None], uniform[None])
    difference = (exact * factor - exact).abs()
    found = [error.tolist() for error in errors]
    means = [float((difference**2).mean()), float(difference.mean())]
    of_uniform = [49, 8 / 9]  # the first entry is off by 4, and by 2 from the uniform one
    expected = [*means, 49 / 9, *of_uniform, 5, 0.3, 0.2, 0.5, 0.1]
    assert found == [[pytest.approx(value)] for value in expected]


def test_entry_errors_of_a_batch_are_those_of_each(generator: torch.Generator) -> None:
    matrices = normal(generator, 3, 3, 16, 5)
    batch = entry_errors(*matrices)
    for i in range(3):
        for one, all_of_them in zip(entry_errors(*matrices[:, i]), batch, strict=True):
            torch.testing.assert_close(one, all_of_them[i])


def test_uniform_matrices_are_those_of_equal_keys(generator: torch.Generator) -> None:
    """Then the softmax has the same weight for every token."""
    queries, keys, values = normal(generator, 3, 2, 7, D)
    equal = exact_matrices(Projections(queries, torch.zeros_like(keys), values))
    uniform = uniform_matrices(Projections(queries, keys, values))
    assert (uniform.attention == 1 / 7).all()
    for one, other in zip(uniform, equal, strict=True):
        torch.testing.assert_close(one, other)


def test_bias_and_variance_against_numpy(generator: torch.Generator) -> None:
    estimates, exact = normal(generator, 4, 3, 6, 5), normal(generator, 3, 6, 5)
    found = bias_and_variance(estimates, exact)
    for prompt in range(3):
        bias2, variance = [], []
        for row, column in np.ndindex(6, 5):
            values = estimates[:, prompt, row, column].numpy()
            variance.append(np.var(values, ddof=1))
            off = values.mean() - exact[prompt, row, column].item()
            bias2.append(off**2 - variance[-1] / 4)
        assert found.bias2[prompt].item() == pytest.approx(np.mean(bias2))
        assert found.variance[prompt].item() == pytest.approx(np.mean(variance))


def test_bias_and_variance_of_a_ratio_whose_own_are_known() -> None:
    """1 over the mean of k exponentials: biased by 1/(k − 1), as any normalized estimate is."""
    k, draws, rows = 10, 3, 500
    denominator = np.random.default_rng(0).gamma(k, 1 / k, (draws, rows, rows))
    estimates = torch.from_numpy(1 / denominator)
    found = bias_and_variance(estimates, torch.ones(rows, rows, dtype=torch.float64))
    assert found.bias2.item() == pytest.approx(1 / (k - 1) ** 2, rel=0.1)
    variance = k**2 / ((k - 1) ** 2 * (k - 2))
    assert found.variance.item() == pytest.approx(variance, rel=0.02)
    assert variance / draws > 3 / (k - 1) ** 2  # which the mean's squared error has on top
