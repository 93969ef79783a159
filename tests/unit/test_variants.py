"""The layers of the paper against plain loops over their formulas (Eq. 2, 14–18, section 5.5)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from icl_contrastive.attention import coefficients, project, query_attention
from icl_contrastive.mixing import Mixing
from icl_contrastive.prediction import predict
from icl_contrastive.variants import build_variant

from . import naive
from .cases import EXACT_MODELS, MODELS, Case, cases, make_case, relative

ALL_MODELS = MODELS | EXACT_MODELS
every_model = pytest.mark.parametrize("model", ALL_MODELS.values(), ids=ALL_MODELS)


def layer_output(case: Case) -> np.ndarray:
    return predict(case.weights, case.h, case.variant, case.features).numpy()


def layer_coefficients(case: Case) -> torch.Tensor:
    projections = project(case.weights, case.h)
    attention = query_attention(projections, case.features)
    mixing = case.variant.mixing(case.demonstrations)
    return coefficients(mixing, attention, projections, case.features)


@given(cases())
def test_any_layer_is_its_formula(case: Case) -> None:
    expected = naive.output(case.model, case.layer, case.tokens)
    assert relative(layer_output(case), expected) < 1e-10


@every_model
@pytest.mark.parametrize("seed", range(3))
def test_every_layer_is_its_formula(model: dict[str, Any], seed: int) -> None:
    case = make_case(model, seed)
    expected = naive.output(case.model, case.layer, case.tokens)
    assert relative(layer_output(case), expected) < 1e-12


@every_model
def test_prompts_in_a_batch_are_treated_one_by_one(model: dict[str, Any]) -> None:
    case = make_case(model, 0)
    tokens = torch.from_numpy(np.random.default_rng(1).uniform(-1, 1, (2, 3, *case.tokens.shape)))
    batch = predict(case.weights, tokens, case.variant, case.features)
    assert batch.shape == (2, 3, case.layer.d)
    for prompt, output in zip(tokens.flatten(0, 1), batch.flatten(0, 1), strict=True):
        one = predict(case.weights, prompt, case.variant, case.features)
        torch.testing.assert_close(output, one, rtol=1e-12, atol=1e-12)


@every_model
def test_runs_in_a_batch_are_treated_one_by_one(model: dict[str, Any]) -> None:
    """The weights and features of several runs may be stacked, each with its own prompts."""
    runs = [make_case(model, seed) for seed in range(3)]
    names = [name for name, value in vars(runs[0].weights).items() if torch.is_tensor(value)]
    stacked = {name: torch.stack([getattr(c.weights, name) for c in runs]) for name in names}
    weights = type(runs[0].weights).from_tensors({n: w[:, None] for n, w in stacked.items()})
    features = None
    if runs[0].features is not None:
        fields = ("omega", "log_weight")
        parts = (torch.stack([getattr(c.features, name) for c in runs]) for name in fields)
        features = type(runs[0].features)(*(part[:, None] for part in parts))
    batch = predict(weights, torch.stack([c.h for c in runs])[:, None], runs[0].variant, features)
    for case, output in zip(runs, batch[:, 0], strict=True):
        torch.testing.assert_close(output.numpy(), layer_output(case), rtol=1e-12, atol=1e-12)


@every_model
def test_order_of_the_demonstrations_does_not_matter(model: dict[str, Any]) -> None:
    case = make_case(model, 2)
    order = [*np.random.default_rng(0).permutation(case.demonstrations), case.demonstrations]
    permuted = case._replace(tokens=case.tokens[order])
    assert relative(layer_output(permuted), layer_output(case)) < 1e-12


@given(cases())
def test_sum_of_coefficients(case: Case) -> None:
    """1 where the paper keeps or restores it; what Eq. 14, 15 and 18 take away otherwise."""
    a = np.array(naive.attention(case.layer, case.tokens))
    match case.model:
        case {"form": "eq14", "alpha": alpha}:
            removed = alpha * a[-1]
        case {"form": "eq15", "alpha": alpha}:
            removed = alpha
        case {"form": "eq18", "beta": beta}:
            removed = beta * a[:-1].sum()
        case _:
            removed = 0.0
    assert float(layer_coefficients(case).sum()) == pytest.approx(1 - removed, abs=1e-10)


@pytest.mark.parametrize(
    "model",
    [
        {"model": "regularized", "form": "eq14", "alpha": 0.0},
        {"model": "regularized", "form": "eq15", "alpha": 0.0},
        {"model": "negative", "form": "section_5.5", "k": 2, "beta": 0.0},
        {"model": "negative", "form": "eq18", "k": 2, "beta": 0.0},
    ],
    ids=str,
)
def test_without_strength_a_variant_is_the_plain_layer(model: dict[str, Any]) -> None:
    plain = make_case({"model": "softmax"}, 3)
    assert relative(layer_output(plain._replace(model=model)), layer_output(plain)) < 1e-14


def test_the_two_regularized_forms_differ_as_the_paper_contradicts_itself() -> None:
    """Eq. 14 takes away a_{N+1} times what Eq. 15 takes away."""
    eq14, eq15 = (make_case(MODELS[f"{form}, positive alpha"], 0) for form in ("eq14", "eq15"))
    plain = layer_output(eq14._replace(model={"model": "softmax"}))
    a = naive.attention(eq14.layer, eq14.tokens)[-1]
    assert a < 0.9
    assert relative(layer_output(eq14) - plain, a * (layer_output(eq15) - plain)) < 1e-12


def test_attention_can_become_negative_in_section_5_5() -> None:
    model = {"model": "negative", "form": "section_5.5", "k": 3, "beta": 0.5}
    lowest = sorted(layer_coefficients(make_case(model, 0, scale=0.2)))
    assert lowest[2] < 0 < lowest[3]


@given(st.integers(1, 12), st.data())
def test_number_of_negatives_is_checked(demonstrations: int, data: st.DataObject) -> None:
    """Section 5.5 chooses among all N + 1 tokens, Eq. 18 among the other demonstrations."""
    form = data.draw(st.sampled_from(["section_5.5", "eq18"]))
    most = demonstrations if form == "section_5.5" else demonstrations - 1
    k = data.draw(st.integers(1, 15))
    variant = build_variant({"model": "negative", "form": form, "k": k, "beta": 0.1})
    if k <= most:
        assert variant.mixing(demonstrations).gain.shape == (demonstrations + 1,)
    else:
        with pytest.raises(ValueError, match=f"k: {k} is not allowed"):
            variant.mixing(demonstrations)


def test_gradient_takes_the_choice_of_negatives_for_constant() -> None:
    """The layer with its negatives written down as fixed offsets has the same gradient."""
    case = make_case(MODELS["section 5.5"], 1)
    negatives = naive.common_negatives(case.model, case.layer, case.tokens)
    n = len(case.tokens)
    offset = np.array([-0.1 / 3 if i in negatives else 0.1 / (n - 3) for i in range(n)])

    def gradient(mixing: Mixing) -> torch.Tensor:
        case.weights.W_K.grad = None
        weights = case.weights
        weights.W_K.requires_grad_()
        projections = project(weights, case.h)
        attention = query_attention(projections, case.features)
        c = coefficients(mixing, attention, projections, case.features)
        (gradient,) = torch.autograd.grad((c @ projections.values).sum(), weights.W_K)
        return gradient

    chosen = gradient(case.variant.mixing(n - 1))
    fixed = gradient(Mixing(np.ones(n), offset))
    torch.testing.assert_close(chosen, fixed, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ({"model": "unknown"}, KeyError),
        ({"model": "softmax", "alpha": 1.0}, TypeError),
        ({"model": "augmented"}, ValueError),
        ({"model": "augmented", "g1": 1, "attention": "softmax"}, ValueError),
        ({"model": "regularized", "form": "Eq14", "alpha": 0.1}, ValueError),
        ({"model": "negative", "form": "5.5", "k": 3, "beta": 0.1}, ValueError),
    ],
)
def test_impossible_variants_are_refused(model: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        build_variant(model)


REGULARIZED = {"model": "regularized", "form": "eq14", "alpha": 0.1}
NEGATIVE = {"model": "negative", "form": "eq18", "k": 3, "beta": 0.1}


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (REGULARIZED | {"alpha": [0.1]}, r"alpha \[0\.1\]: must be a number"),
        (REGULARIZED | {"alpha": float("nan")}, "alpha nan: must be a number"),
        (REGULARIZED | {"alpha": True}, "alpha True: must be a number"),
        (REGULARIZED | {"alpha": "0.1"}, "alpha '0.1': must be a number"),
        (REGULARIZED | {"form": ["eq14"]}, r"form \['eq14'\]: must be one of eq14, eq15"),
        (NEGATIVE | {"k": 2.5}, r"k 2\.5: must be an integer"),
        (NEGATIVE | {"k": 3.0}, r"k 3\.0: must be an integer"),
        (NEGATIVE | {"beta": None}, "beta None: must be a number"),
        ({"model": "augmented", "g1": True}, "g1 True: must be an integer"),
        ({"model": "augmented", "g1": 2, "g2": -1}, "g2 -1: must be at least 0"),
    ],
)
def test_what_the_config_would_refuse_the_variant_refuses_too(
    model: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        build_variant(model)


@pytest.mark.parametrize("model", [REGULARIZED, NEGATIVE], ids=lambda model: model["model"])
def test_a_hyperparameter_that_the_config_asks_for_has_no_default(model: dict[str, Any]) -> None:
    for missing in model.keys() - {"model"}:
        with pytest.raises(TypeError, match=f"missing 1 required .*{missing}"):
            build_variant({key: value for key, value in model.items() if key != missing})


def test_numbers_of_numpy_are_numbers() -> None:
    variant = build_variant(NEGATIVE | {"k": np.int64(2), "beta": np.float64(0.5)})
    assert variant.mixing(7).repulsion_by_rank is not None


@pytest.mark.parametrize("model", [{}, {"model": None}, {"model": "unknown"}])
def test_the_models_that_there_are_are_told(model: dict[str, Any]) -> None:
    with pytest.raises(KeyError, match="there are augmented, negative, regularized, softmax"):
        build_variant(model)


@pytest.mark.parametrize("alpha", [-0.5, 0.01, 1.0])
def test_the_paper_takes_eq14_for_eq15(alpha: float) -> None:
    eq14, eq15 = (
        build_variant({"model": "regularized", "form": form, "alpha": alpha})
        for form in ("eq14", "eq15")
    )
    assert (eq14.restated(), eq15.restated()) == (eq15, None)
    assert (eq14.starts_elsewhere, eq15.starts_elsewhere) == (False, True)


def test_the_paper_takes_eq18_for_shifted_scores() -> None:
    eq18, shifted = (
        build_variant({"model": "negative", "form": form, "k": 2, "beta": 0.1})
        for form in ("eq18", "section_5.5")
    )
    assert (eq18.restated(), shifted.restated()) == (shifted, None)
    assert (eq18.starts_elsewhere, shifted.starts_elsewhere) == (False, True)


@pytest.mark.parametrize(
    ("model", "label"),
    [
        ({"model": "softmax"}, "plain"),
        ({"model": "softmax", "attention": "exact"}, "exact softmax"),
        ({"model": "regularized", "form": "eq14", "alpha": -0.2}, "Eq. 14, α = −0.2"),
        ({"model": "augmented", "g1": 1}, "g₁"),
        ({"model": "augmented", "g1": 2, "g2": 1}, "g₁⁺, g₂"),
        ({"model": "negative", "form": "section_5.5", "k": 3, "beta": 0.1}, "k = 3, β = 0.1"),
        ({"model": "negative", "form": "eq18", "k": 1, "beta": 2}, "k = 1, β = 2, Eq. 18"),
    ],
)
def test_a_variant_has_a_label_of_its_own(model: dict[str, Any], label: str) -> None:
    assert build_variant(model).label == label
