"""Theorem 1 and its counterparts: the layer's output is the reference model's after descent.

The exact duals, with their losses and starting weights, are written out in ``naive.reference``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from icl_contrastive.attention import Weights, project
from icl_contrastive.choices import Normalization
from icl_contrastive.descent import SCHEMES, Descent, Scheme, descend, pair_cosines
from icl_contrastive.dual import DualProblem, dual_problem, join, softmax_coordinates
from icl_contrastive.features.base import ExponentialFeatures, FeatureMap
from icl_contrastive.kernel_dual import descend_softmax, softmax_problem
from icl_contrastive.mixing import Mixing
from icl_contrastive.prediction import predict
from icl_contrastive.variants import Variant, build_variant

from . import naive
from .cases import EXACT_MODELS, MODELS, NORMALIZATIONS, Case, cases, make_case, relative

TOLERANCE = 1e-10
BROKEN = 1e-4  # what a wrong dual must be off by at least

every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
etas = st.sampled_from([1.0, 0.01, 0.3, 7.0])


def layer_output(case: Case) -> torch.Tensor:
    return predict(case.weights, case.h, case.variant, case.features)


def problem_of(case: Case) -> DualProblem:
    assert case.features is not None
    return dual_problem(case.weights, case.h, case.features)


def descent_of(case: Case, scheme: Scheme, epochs: int, eta: float = 1.0) -> Descent:
    return descend(problem_of(case), case.variant, scheme, epochs, eta)


# The identities


@given(cases(), etas)
def test_one_full_batch_step_gives_the_layer_output(case: Case, eta: float) -> None:
    output = layer_output(case)
    assume(output.norm() > 1e-6)
    assert relative(descent_of(case, "full_batch", 1, eta).prediction, output) < TOLERANCE


@given(cases(), st.integers(1, 12), etas)
def test_epochs_of_single_samples_end_there_too_if_the_gradient_is_constant(
    case: Case, epochs: int, eta: float
) -> None:
    assume(case.model["model"] != "regularized" or case.model["alpha"] == 0)
    assert case.variant.gradient_is_constant
    output = layer_output(case)
    assume(output.norm() > 1e-6)
    assert relative(descent_of(case, "single_sample", epochs, eta).prediction, output) < TOLERANCE


# Far from the origin, where φ leaves the range of floating point


def moved(case: Case, norm: float) -> Case:
    """The case with the largest ‖k_i + q‖ at ``norm``, up to GELU's bend where there is a g2."""
    case = case._replace(layer=replace(case.layer, normalization="scaled"))
    z = np.stack(naive.keys(case.layer, case.tokens)) + naive.queries(case.layer, case.tokens)[-1]
    factor = norm / np.linalg.norm(z, axis=-1).max()
    layer = replace(case.layer, W_Q=factor * case.layer.W_Q)
    if layer.g2:
        layer.g2 = [*layer.g2[:-1], factor * layer.g2[-1]]
    else:
        layer.W_K = factor * layer.W_K
    return case._replace(layer=layer)


@given(cases(), st.floats(1, 20))
def test_identity_up_to_norms_of_20(case: Case, norm: float) -> None:
    """In float64 and with a relative error of 1e-12; ‖k + q‖² is 400 at the most."""
    case = moved(case, norm)
    output, problem = layer_output(case), problem_of(case)
    values = torch.cat([problem.values, problem.query_value[None]])
    assume(output.norm() > 0.05 * values.norm(dim=-1).max())  # as the terms do not cancel
    assert relative(descend(problem, case.variant, "full_batch", 1).prediction, output) < 1e-12
    if case.variant.gradient_is_constant:
        descent = descend(problem, case.variant, "single_sample", 3)
        assert relative(descent.prediction, output) < 1e-12


def far_layer(
    model: dict[str, Any], dtype: torch.dtype
) -> tuple[Weights, torch.Tensor, ExponentialFeatures]:
    """Weights, tokens and features for which the D' of unscaled φ is 0 in the precision."""
    case = make_case(model, 1, normalization="scaled")
    assert case.features is not None
    for weight in (case.layer.W_Q, case.layer.W_K):
        weight *= {torch.float32: 24, torch.float64: 80}[dtype]
    names = [name for name in ("W_Q", "W_K", "W_V", "g1", "g2") if model.get(name) != 0]
    parts = {name: getattr(case.weights, name) for name in names}
    tensors = {n: w.to(dtype) for n, w in parts.items() if w is not None}
    weights = Weights.from_tensors(tensors, case.normalization)
    features = ExponentialFeatures(*(a.to(dtype) for a in vars(case.features).values()))
    tokens = case.h.to(dtype)
    queries, keys, _ = project(weights, tokens)
    assert (1 / (features(keys) @ features(queries[-1:]).mT).sum()).isinf()
    return weights, tokens, features


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", [name for name in MODELS if not name.startswith("eq15")])
def test_the_reference_model_is_there_where_the_layer_is(name: str, dtype: torch.dtype) -> None:
    weights, tokens, features = far_layer(MODELS[name], dtype)
    variant = build_variant(MODELS[name])
    output = predict(weights, tokens, variant, features)
    descent = descend(dual_problem(weights, tokens, features), variant, "full_batch", 1)
    assert relative(descent.prediction, output) < 1e4 * torch.finfo(dtype).eps
    assert descent.weight.isfinite().all()
    assert (descent.cosine.abs() <= 1 + 1e-4).all()


def test_eq15_has_no_start_where_the_query_has_no_weight_on_itself() -> None:
    model = MODELS["eq15, positive alpha"]
    problem = dual_problem(*far_layer(model, torch.float32))
    assert problem.query_attention == 0
    with pytest.raises(FloatingPointError, match=r"weight on itself, 0 at least, .* torch.float32"):
        descend(problem, build_variant(model), "full_batch", 1)


@every_model
@pytest.mark.parametrize("demonstrations", [4, 15, 31])
def test_identity_at_the_shape_of_the_paper(model: dict[str, Any], demonstrations: int) -> None:
    case = make_case(model, demonstrations, demonstrations=demonstrations, d=12, m=1200, scale=0.3)
    output = layer_output(case)
    assert relative(descent_of(case, "full_batch", 1).prediction, output) < 1e-12
    if case.variant.gradient_is_constant:
        assert relative(descent_of(case, "single_sample", 10).prediction, output) < 1e-12


@every_model
def test_every_prompt_of_a_batch_has_its_own_reference_model(model: dict[str, Any]) -> None:
    case = make_case(model, 0)
    assert case.features is not None
    tokens = torch.from_numpy(np.random.default_rng(1).uniform(-1, 1, (6, *case.tokens.shape)))
    problem = dual_problem(case.weights, tokens, case.features)
    for scheme in SCHEMES:
        batch = descend(problem, case.variant, scheme, 3)
        for i, prompt in enumerate(tokens):
            one = descend(
                dual_problem(case.weights, prompt, case.features), case.variant, scheme, 3
            )
            assert relative(batch.prediction[i], one.prediction) < 1e-12
            assert relative(batch.path[:, i], one.path) < 1e-12
            assert relative(batch.cosine[:, i], one.cosine) < 1e-12
            assert relative(batch.weight[i], one.weight) < 1e-12


@every_model
def test_tied_scores_break_alike_in_the_layer_and_in_its_dual(model: dict[str, Any]) -> None:
    """With W_K = 0 all keys and so all scores are equal, and which tokens rank lowest is open."""
    case = make_case(model, 4, demonstrations=15, d=12, m=1200)
    case.layer.W_K[:] = 0
    assert relative(descent_of(case, "full_batch", 1).prediction, layer_output(case)) < TOLERANCE


class Linear(FeatureMap):
    """φ(x) = Ax, of no fixed sign, as that of linear attention (section 2.3)."""

    def __init__(self, d: int) -> None:
        rng = np.random.default_rng(0)
        self.matrix = torch.from_numpy(rng.standard_normal((20, d)))

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.matrix.mT


@every_model
def test_identity_holds_for_any_feature_map(model: dict[str, Any]) -> None:
    """Also for one whose kernel may be negative, the normalizer D' included."""
    signs = set()
    for seed in range(12):
        case = make_case(model, seed)
        features = Linear(case.layer.d)
        problem = dual_problem(case.weights, case.h, features)
        signs.add(float(problem.normalizer.sign()))
        output = predict(case.weights, case.h, case.variant, features)
        prediction = descend(problem, case.variant, "full_batch", 1).prediction
        assert relative(prediction, output) < 1e-9
    assert signs == {-1.0, 1.0}


def test_another_scheme_is_refused() -> None:
    case = make_case({"model": "softmax"}, 0)
    with pytest.raises(ValueError, match="'fullbatch': must be one of full_batch, single_sample"):
        descend(problem_of(case), case.variant, "fullbatch", 1)  # type: ignore[arg-type]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epochs": 0}, "epochs = 0: must be an integer of at least 1"),
        ({"epochs": 2.5}, r"epochs = 2\.5: must be an integer"),
        ({"epochs": 1, "eta_loss": 0.0}, r"eta_loss = 0\.0: must be a positive number"),
        ({"epochs": 1, "eta_loss": float("nan")}, "eta_loss = nan: must be a positive number"),
    ],
)
def test_no_epochs_and_no_step_size_are_refused(
    scheme: Scheme, arguments: dict[str, Any], message: str
) -> None:
    case = make_case({"model": "softmax"}, 0)
    with pytest.raises(ValueError, match=message):
        descend(problem_of(case), case.variant, scheme, **arguments)


@pytest.mark.parametrize("form", ["eq18", "section_5.5"])
def test_more_negatives_than_tokens_are_refused(form: str) -> None:
    """As the layer does, whether the reference model starts from its W_0 or another."""
    case = make_case({"model": "negative", "form": form, "k": 50, "beta": 0.1}, 0)
    problem = problem_of(case)
    start = Variant.initial_weight(case.variant, problem)
    with pytest.raises(ValueError, match=r"k: 50 is not allowed; must be an integer from 1 to"):
        layer_output(case)
    for given_start in (None, start):
        with pytest.raises(ValueError, match=r"k: 50 is not allowed; must be an integer from 1 to"):
            descend(problem, case.variant, "full_batch", 1, start=given_start)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_descent_takes_its_gradients_where_others_are_off(scheme: Scheme) -> None:
    case = make_case({"model": "regularized", "form": "eq14", "alpha": 0.1}, 0)
    expected = descent_of(case, scheme, 2)
    with torch.no_grad():
        found = descent_of(case, scheme, 2)
    for one, other in zip(found, expected, strict=True):
        assert one.equal(other)
        assert not one.requires_grad


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", EXACT_MODELS)
def test_the_exact_softmax_has_a_reference_model(
    name: str, scheme: Scheme, normalization: Normalization
) -> None:
    """Every layer with a loss that is linear in W, and the others after one step."""
    case = make_case(EXACT_MODELS[name], 0, normalization=normalization)
    problem = dual_problem(case.weights, case.h, None)
    found = descend(problem, case.variant, scheme, 3).prediction
    output = predict(case.weights, case.h, case.variant, None)
    if case.variant.gradient_is_constant or scheme == "full_batch":
        torch.testing.assert_close(found, output, rtol=1e-12, atol=0)


@pytest.mark.parametrize("alpha", [0.0, 0.3])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_coordinates_of_the_exact_softmax_descend_as_its_kernel_does(
    scheme: Scheme, alpha: float
) -> None:
    case = make_case({"model": "regularized", "form": "eq14", "alpha": alpha}, 0)
    problem = dual_problem(case.weights, case.h, None)
    found = descend(problem, case.variant, scheme, 3)
    q, k, v = project(case.weights, case.h)
    n = k.shape[-2]
    last = torch.tensor([n - 1])
    attends = torch.ones(*k.shape[:-2], 1, n, dtype=torch.bool)
    kernel = softmax_problem(q[..., -1:, :], k, v, attends, last)
    expected = descend_softmax(kernel, scheme, 3, alpha=alpha)
    torch.testing.assert_close(found.prediction, expected.prediction[..., 0, :])
    cosine = kernel.cosine(expected.coefficients)[..., 0]
    torch.testing.assert_close(found.cosine[-1], cosine)


def test_coordinates_have_the_kernel_as_products() -> None:
    generator = torch.Generator().manual_seed(0)
    x = 2 * torch.randn(3, 6, 4, generator=generator, dtype=torch.float64)
    keys, query = x[:, :-1], x[:, -1:]
    of_keys, of_query = softmax_coordinates(keys, query)
    longest = (keys**2).sum(-1).amax(-1)[:, None, None] / 2
    products = (keys @ keys.mT - 2 * longest).exp()
    torch.testing.assert_close(of_keys @ of_keys.mT, products, rtol=0, atol=1e-14)
    scores = (keys @ query.mT - (query**2).sum(-1, keepdim=True) / 2 - longest).exp()
    torch.testing.assert_close(of_keys @ of_query.mT, scores, rtol=1e-14, atol=0)


# Each part of the dual, whose φ is scaled by s for keys and by t for the query


def factors(problem: DualProblem, expected: naive.Reference) -> tuple[float, float]:
    """s and t."""
    s = float(problem.key_features.sum()) / np.sum(expected.inputs)
    return float(s), float(problem.query_features.sum()) / expected.test_input.sum()


@given(cases())
def test_the_problem_holds_what_the_theorem_names(case: Case) -> None:
    problem, expected = problem_of(case), naive.reference(case.model, case.layer, case.tokens)
    v = naive.values(case.layer, case.tokens)
    s, t = factors(problem, expected)
    assert relative(problem.key_features, s * np.stack(expected.inputs)) < TOLERANCE
    assert relative(problem.query_features, t * expected.test_input) < TOLERANCE
    assert float(problem.normalizer) == pytest.approx(s * t * expected.D, rel=TOLERANCE)
    a = naive.attention(case.layer, case.tokens)
    assert float(problem.query_attention) == pytest.approx(a[-1], rel=TOLERANCE)
    np.testing.assert_allclose(problem.values, np.stack(v[:-1]), rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(problem.query_value, v[-1], rtol=1e-10, atol=1e-14)


def test_eq15_has_no_start_for_alpha_1() -> None:
    case = make_case({"model": "regularized", "form": "eq15", "alpha": 1.0}, 0)
    with pytest.raises(ValueError, match="alpha: 1 is not allowed"):
        case.variant.initial_weight(problem_of(case))


@given(cases())
def test_initial_weight(case: Case) -> None:
    problem, reference = problem_of(case), naive.reference(case.model, case.layer, case.tokens)
    _, t = factors(problem, reference)
    expected, W_0 = reference.W_0, case.variant.initial_weight(problem)
    np.testing.assert_allclose(t * W_0, expected, rtol=1e-8, atol=1e-11 * np.abs(expected).max())


@given(cases(), etas, st.data())
def test_loss_and_its_gradient(case: Case, eta: float, data: st.DataObject) -> None:
    """Value and autograd's gradient against Eq. 9, 13 and section 4.3, at any W and samples.

    W is 1/t of the unscaled one, its gradient too, and the loss 1/t² of it.
    """
    first = data.draw(st.integers(0, case.demonstrations - 1))
    last = data.draw(st.integers(first + 1, case.demonstrations))
    decay = data.draw(st.sampled_from([1.0, 0.25]))
    expected = naive.reference(case.model, case.layer, case.tokens)
    problem = problem_of(case)
    _, t = factors(problem, expected)
    W = np.random.default_rng(0).standard_normal(expected.W_0.shape)
    weight = torch.from_numpy(W / t).requires_grad_()
    loss = case.variant.loss(weight, problem, slice(first, last), eta, decay)
    (gradient,) = torch.autograd.grad(loss, weight)

    samples = range(first, last)
    value = expected.loss(W, samples, eta, decay)
    gradient = t * gradient
    assert t**2 * loss.item() == pytest.approx(value, rel=1e-9, abs=1e-9 * gradient.norm().item())
    shared = replace(expected, alpha=decay * expected.alpha)
    assert relative(gradient, shared.gradient(W, samples, eta)) < TOLERANCE


@every_model
def test_gradient_against_finite_differences(model: dict[str, Any]) -> None:
    case = make_case(model, 6, demonstrations=4, d=3, m=4)
    problem = problem_of(case)
    weight = torch.from_numpy(np.random.default_rng(0).standard_normal((3, 4))).requires_grad_()
    loss = lambda w: case.variant.loss(w, problem, slice(0, 4), 0.7, 1.0)  # noqa: E731
    assert torch.autograd.gradcheck(loss, weight)


@given(cases())
def test_updated_weight_in_closed_form(case: Case) -> None:
    """Eq. 10, and section 4.1's (1 − α) W_0 + Σ (1/D) v_i φ(k_i)ᵀ."""
    expected = naive.reference(case.model, case.layer, case.tokens)
    _, t = factors(problem_of(case), expected)
    descent = descent_of(case, "full_batch", 1)
    weight = t * descent.weight
    assert relative(weight, expected.one_step()) < 1e-9
    assert relative(weight @ torch.from_numpy(expected.test_input), descent.prediction) < 1e-9


@given(cases(), st.integers(1, 5), st.booleans())
def test_whole_path_in_closed_form(case: Case, epochs: int, shared: bool) -> None:
    """ŷ_test and the mean cosine of (ŷ^(i), y^(i)) before the first and after every step."""
    expected = naive.reference(case.model, case.layer, case.tokens)
    v = naive.values(case.layer, case.tokens)[:-1]
    scheme: Scheme = "single_sample_shared_decay" if shared else "single_sample"
    descent = descent_of(case, scheme, epochs)
    path = expected.path(epochs, shared)
    assert relative(descent.path, np.stack([W @ expected.test_input for W in path])) < 1e-9
    cosines, others = [], []
    for W in path:
        pairs = [(W @ x, y) for x, y in zip(expected.inputs, v, strict=True)]
        norms = [np.linalg.norm(a) * np.linalg.norm(b) for a, b in pairs]
        assume(min(norms) > 1e-6)  # the cosine of a zero vector is not defined
        cosines.append(np.mean([a @ b / n for (a, b), n in zip(pairs, norms, strict=True)]))
        of_others = [
            a @ b / (np.linalg.norm(a) * np.linalg.norm(b))
            for (i, (a, _)), (j, (_, b)) in product(enumerate(pairs), repeat=2)
            if i != j
        ]
        others.append(np.mean(of_others) if of_others else np.nan)
    np.testing.assert_allclose(descent.cosine, cosines, atol=1e-7)
    np.testing.assert_allclose(descent.cosine_others, others, atol=1e-7)


def test_cosines_do_not_depend_on_the_size_of_labels() -> None:
    predictions, labels = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 6, 4)))
    small = pair_cosines(predictions, 1e-50 * labels)
    torch.testing.assert_close(small, pair_cosines(predictions, labels))


@every_model
@pytest.mark.parametrize("epochs", [1, 10])
def test_number_of_steps(model: dict[str, Any], epochs: int) -> None:
    case = make_case(model, 0)
    assert len(descent_of(case, "full_batch", epochs).path) == 2
    descent = descent_of(case, "single_sample", epochs)
    assert len(descent.path) == len(descent.cosine) == case.demonstrations * epochs + 1
    torch.testing.assert_close(descent.path[-1], descent.prediction, rtol=0, atol=0)


def test_descent_moves_predictions_towards_the_labels() -> None:
    """Theorem 2's reading: the cosine similarity of the positive pairs grows."""
    case = make_case({"model": "softmax"}, 0, demonstrations=15, d=12, m=1200, scale=0.3)
    cosine = descent_of(case, "single_sample", 10).cosine
    assert cosine[-1] > cosine[0] + 0.1


# The same descent in N + 2 dimensions, which hold all features of a prompt


def predictions(problem: DualProblem, weight: torch.Tensor) -> torch.Tensor:
    """W φ(k_i) of all tokens and W φ(q), (N + 2, d)."""
    features = [
        problem.key_features,
        problem.query_key_features[None],
        problem.query_features[None],
    ]
    return torch.cat(features) @ weight.mT


def largest_error(case: Case, problem: DualProblem, other: DualProblem, epochs: int) -> float:
    """Of all that a descent comes to, relative, where the other problem should give the same.

    In units of the condition of φ(k)ᵀφ(q) ≥ 0: a product of nearly orthogonal features loses
    digits in any basis but their own.
    """
    norms = problem.query_features.norm() * torch.stack(
        [*problem.key_features, problem.query_key_features]
    ).norm(dim=-1)
    condition = float(norms.sum() / problem.normalizer)
    variant, errors = case.variant, []
    starts = [variant.initial_weight]
    if variant.starts_elsewhere:
        starts.append(partial(Variant.initial_weight, variant))
    for scheme, start in product(SCHEMES, starts):
        one, two = (descend(p, variant, scheme, epochs, start=start(p)) for p in (problem, other))
        sizes = predictions(problem, one.weight).norm(dim=-1)
        errors += [
            relative(predictions(other, two.weight), predictions(problem, one.weight)),
            relative(two.prediction, one.prediction),
            relative(two.path, one.path),
            relative(two.weight.square().sum(), one.weight.square().sum()),
            float((two.cosine - one.cosine).abs().max() * sizes.min() / sizes.max()),
        ]
    return max(errors) / condition


@st.composite
def repeated_tokens(draw: st.DrawFn) -> Case:
    """Cases with fewer than N + 2 directions: tokens that are the same, or zero; few features."""
    case = draw(cases())
    tokens = case.tokens.copy()
    for i in range(len(tokens)):
        source = draw(st.none() | st.integers(-1, len(tokens) - 1))
        if source is not None:
            tokens[i] = tokens[source] if source >= 0 else 0
    return case._replace(tokens=tokens)


@given(cases() | repeated_tokens(), st.integers(1, 5))
def test_the_compressed_problem_descends_alike(case: Case, epochs: int) -> None:
    problem = problem_of(case)
    assume(problem.values.norm() > 1e-6)
    assume(problem.query_value.norm() > 1e-6)
    compressed = problem.compressed()
    m = problem.query_features.shape[-1]
    assert compressed.query_features.shape == (min(m, case.demonstrations + 2),)
    assert largest_error(case, problem, compressed, epochs) < 1e-12


def without_first(problem: DualProblem) -> DualProblem:
    """The problem with one dimension less."""
    names = ("key_features", "query_key_features", "query_features")
    return replace(problem, **{name: getattr(problem, name)[..., 1:] for name in names})


@every_model
@pytest.mark.parametrize("demonstrations", [15, 31])
def test_compression_at_the_shape_of_the_paper(model: dict[str, Any], demonstrations: int) -> None:
    """It gives the same to 12 digits, and another descent with one of the dimensions left out."""
    case = make_case(model, demonstrations, demonstrations=demonstrations, d=12, m=1200, scale=0.3)
    problem = problem_of(case)
    compressed = problem.compressed()
    assert compressed.query_features.shape == (demonstrations + 2,)
    assert largest_error(case, problem, compressed, 2) < 1e-14
    assert largest_error(case, problem, without_first(compressed), 2) > 1e-6


def test_prompts_and_runs_join_and_only_some_are_followed() -> None:
    case = make_case(MODELS["eq18"], 0)
    assert case.features is not None
    tokens = torch.from_numpy(np.random.default_rng(1).uniform(-1, 1, (6, *case.tokens.shape)))

    def split(size: int) -> list[DualProblem]:
        lots = torch.split(tokens, size)
        return [dual_problem(case.weights, one, case.features).compressed() for one in lots]

    joined = descend(join(split(4)), case.variant, "single_sample", 3, followed=2)
    whole = descend(
        dual_problem(case.weights, tokens, case.features), case.variant, "single_sample", 3
    )
    assert relative(joined.prediction, whole.prediction) < 1e-12
    assert relative(joined.path, whole.path[:, :2]) < 1e-12
    assert relative(joined.cosine, whole.cosine[:, :2]) < 1e-12

    runs = descend(join(split(3), torch.stack), case.variant, "single_sample", 3, followed=2)
    assert relative(runs.prediction, whole.prediction.reshape(2, 3, -1)) < 1e-12
    for name in ("path", "cosine", "cosine_others"):
        of_all = getattr(whole, name)  # (steps + 1, prompts, ...)
        of_runs = of_all.reshape(len(of_all), 2, 3, *of_all.shape[2:])
        assert relative(getattr(runs, name), of_runs[:, :, :2]) < 1e-12, name


def test_a_problem_has_the_ranks_that_its_mixing_asks_for() -> None:
    for name, model in MODELS.items():
        case = make_case(model, 0)
        mixing = case.variant.mixing(case.demonstrations)
        problem = dual_problem(case.weights, case.h, case.features, mixing)
        assert (problem.query_ranks is None) == (mixing.offset_by_rank is None)
        assert (problem.own_ranks is None) == (mixing.repulsion_by_rank is None)
        assert error_of(case, case.variant, problem) < TOLERANCE, name
        if model["model"] == "negative":
            without = Mixing.identity(case.demonstrations)
            plain = dual_problem(case.weights, case.h, case.features, without)
            with pytest.raises(ValueError, match="negatives are asked for"):
                descend(plain, case.variant, "full_batch", 1)


# Fig. 10: where the gradient depends on W


def deviation(case: Case, scheme: Scheme, epochs: int) -> float:
    return relative(descent_of(case, scheme, epochs).prediction, layer_output(case))


def regularized(form: str, alpha: float, seed: int = 0, **shape: Any) -> Case:
    return make_case({"model": "regularized", "form": form, "alpha": alpha}, seed, **shape)


@pytest.mark.parametrize("form", ["eq14", "eq15"])
@pytest.mark.parametrize("scheme", ["single_sample", "single_sample_shared_decay"])
class TestRegularizedDeviation:
    def test_is_there_for_any_number_of_epochs(self, form: str, scheme: Scheme) -> None:
        """The steps of an epoch decay each other's updates: one epoch is not exact either."""
        for epochs in (1, 2, 10):
            assert deviation(regularized(form, 0.01), scheme, epochs) > 1e-5

    def test_is_proportional_to_a_small_alpha(self, form: str, scheme: Scheme) -> None:
        sizes = [deviation(regularized(form, alpha), scheme, 10) for alpha in (1e-3, 1e-4, 1e-5)]
        assert sizes[0] / sizes[1] == pytest.approx(10, rel=0.05)
        assert sizes[1] / sizes[2] == pytest.approx(10, rel=0.005)

    def test_is_none_without_alpha(self, form: str, scheme: Scheme) -> None:
        assert deviation(regularized(form, 0.0), scheme, 10) < 1e-12

    def test_is_none_for_one_epoch_of_one_batch(self, form: str, scheme: Scheme) -> None:
        """N_CL = 1 and all demonstrations at once: with one demonstration, any scheme is that."""
        assert deviation(regularized(form, 0.3), "full_batch", 1) < 1e-12
        assert deviation(regularized(form, 0.3, demonstrations=1), scheme, 1) < 1e-12

    def test_is_smaller_when_the_samples_share_the_decay(self, form: str, scheme: Scheme) -> None:
        case = regularized(form, 0.01, demonstrations=15, d=12, m=300, scale=0.3)
        shared = deviation(case, "single_sample_shared_decay", 10)
        assert shared < 0.2 * deviation(case, "single_sample", 10)


def test_only_a_regularizer_makes_the_gradient_depend_on_the_weight() -> None:
    constant = {name: make_case(m, 0).variant.gradient_is_constant for name, m in MODELS.items()}
    assert constant == {name: m["model"] != "regularized" for name, m in MODELS.items()}


# Wrong duals must show: each is put in by hand, for every model


def with_parts(case: Case, **methods: Callable[..., Any]) -> Variant:
    """The case's variant with some of its methods replaced."""
    variant = case.variant
    wrong: type[Variant] = type("Wrong", (type(variant),), methods)
    return wrong(**vars(variant))


def error_of(case: Case, variant: Variant, problem: DualProblem | None = None) -> float:
    descent = descend(problem or problem_of(case), variant, "full_batch", 1)
    return relative(descent.prediction, layer_output(case))


def wrong_sign(case: Case) -> float:
    loss = type(case.variant).loss
    return error_of(case, with_parts(case, loss=lambda *args: -loss(*args)))


def no_initial_weight(case: Case) -> float:
    start = type(case.variant).initial_weight
    return error_of(case, with_parts(case, initial_weight=lambda *args: 0 * start(*args)))


def normalizer_without_the_query_itself(case: Case) -> float:
    problem = problem_of(case)
    own = problem.query_key_features @ problem.query_features
    return error_of(case, case.variant, replace(problem, normalizer=problem.normalizer - own))


def initial_weight_with_another_normalizer(case: Case) -> float:
    start = type(case.variant).initial_weight

    def wrong(self: Variant, problem: DualProblem) -> torch.Tensor:
        own = problem.query_key_features @ problem.query_features
        return start(self, problem) * problem.normalizer / (problem.normalizer - own)

    return error_of(case, with_parts(case, initial_weight=wrong))


def initial_weight_of_a_demonstration(case: Case) -> float:
    def wrong(self: Variant, problem: DualProblem) -> torch.Tensor:
        return problem.outer(problem.values[0], problem.key_features[0])

    return error_of(case, with_parts(case, initial_weight=wrong))


def one_demonstration_forgotten(case: Case) -> float:
    loss = type(case.variant).loss

    def wrong(
        self: Variant, weight: Any, problem: DualProblem, samples: slice, *rest: Any
    ) -> torch.Tensor:
        return loss(self, weight, problem, slice(samples.start + 1, samples.stop), *rest)

    return error_of(case, with_parts(case, loss=wrong))


@every_model
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "mutation",
    [
        wrong_sign,
        no_initial_weight,
        normalizer_without_the_query_itself,
        initial_weight_with_another_normalizer,
        initial_weight_of_a_demonstration,
        one_demonstration_forgotten,
    ],
)
def test_a_wrong_dual_breaks_the_identity(
    model: dict[str, Any], mutation: Callable[[Case], float], seed: int
) -> None:
    case = make_case(model, seed, scale=0.3)
    assert error_of(case, case.variant) < TOLERANCE
    assert mutation(case) > BROKEN


def plain_start(case: Case) -> float:
    """W_0 of Eq. 12: unscaled for Eq. 15, unshifted for section 5.5."""
    return error_of(case, with_parts(case, initial_weight=Variant.initial_weight))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("name", "needs_its_own"),
    [(n, n.startswith(("eq15", "section 5.5"))) for n in MODELS],
    ids=MODELS,
)
def test_which_models_start_elsewhere(name: str, needs_its_own: bool, seed: int) -> None:
    case = make_case(MODELS[name], seed)
    assert case.variant.starts_elsewhere == needs_its_own
    error = plain_start(case)
    assert error > BROKEN if needs_its_own else error < TOLERANCE


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "name", [n for n, m in MODELS.items() if m["model"] in ("regularized", "negative")]
)
class TestWrongHyperparameter:
    """The dual of another hyperparameter or form is not this layer's."""

    def error(self, name: str, seed: int, **changes: Any) -> float:
        case = make_case(MODELS[name], seed)
        return error_of(case, case._replace(model=case.model | changes).variant)

    def test_another_strength(self, name: str, seed: int) -> None:
        model = MODELS[name]
        other = {"alpha": -model["alpha"]} if "alpha" in model else {"beta": 2 * model["beta"]}
        assert self.error(name, seed, **other) > BROKEN

    def test_none(self, name: str, seed: int) -> None:
        strength = "alpha" if "alpha" in MODELS[name] else "beta"
        assert self.error(name, seed, **{strength: 0.0}) > BROKEN

    def test_other_form(self, name: str, seed: int) -> None:
        other = {"eq14": "eq15", "eq15": "eq14", "eq18": "section_5.5", "section_5.5": "eq18"}
        assert self.error(name, seed, form=other[MODELS[name]["form"]]) > BROKEN

    def test_other_number_of_negatives(self, name: str, seed: int) -> None:
        if "k" in MODELS[name]:
            assert self.error(name, seed, k=MODELS[name]["k"] + 1) > BROKEN


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["eq18", "eq18, k = 1"])
def test_negatives_must_be_chosen_as_in_eq_18(name: str, seed: int) -> None:
    """The highest scores instead of the lowest, or ranks of the query instead of each token's."""
    case = make_case(MODELS[name], seed)
    problem = problem_of(case)
    n = case.demonstrations
    assert problem.own_ranks is not None
    assert problem.query_ranks is not None
    highest = replace(problem, own_ranks=(n - 1) - problem.own_ranks)
    assert error_of(case, case.variant, highest) > BROKEN
    of_query = problem.query_ranks[:-1].expand(n, n)
    assert error_of(case, case.variant, replace(problem, own_ranks=of_query)) > BROKEN
