"""What hardly anybody writes into a config, a file or a call, and is told what is wrong with it."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.numpy import save_file
from torch import Tensor

from icl_contrastive import (
    ExponentialFeatures,
    Statistics,
    Weights,
    check_equivalence,
    descend,
    dual_problem,
    predict,
    pretrain,
    required_features,
)
from icl_contrastive.artifacts.tables import read_table
from icl_contrastive.attention import normalize
from icl_contrastive.command import Config, StepError
from icl_contrastive.config import FIGURES, ConfigError, read_experiment
from icl_contrastive.descent import Scheme
from icl_contrastive.features import Family, build_family
from icl_contrastive.figures import multiverse, multiverse_curves, multiverse_decisions
from icl_contrastive.networks.layers import read_layers
from icl_contrastive.report.universes import read_multiverse
from icl_contrastive.tasks import Prompts
from icl_contrastive.variants import build_variant

from . import universes
from .universes import write_universes

UNTESTED = dict.fromkeys(("ours", "interval_low", "interval_high", "p_value"), np.nan) | {
    "verdict": "not tested",
    "effects": "[]",
}
ROOT = Path(__file__).parents[2]
SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text(encoding="utf-8"))
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))


def refused(text: str) -> list[str]:
    """What is said of the config with the sections of ``text`` in place of its own keys."""
    config = copy.deepcopy(CONFIG)

    def put(part: dict[str, Any], more: dict[str, Any]) -> None:
        for key, value in more.items():
            if isinstance(value, dict) and isinstance(part.get(key), dict):
                put(part[key], value)
            else:
                part[key] = value

    put(config, yaml.safe_load(text))
    with pytest.raises(ConfigError) as error:
        read_experiment(config, SCHEMA, CONFIG)
    return error.value.problems


# The multiverse's entries


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            "{n15: {negative: {k: 3, beta: 0.1}}, n31: {negative: {k: 1, beta: 0.1}}}",
            "settings.n31.negative: 'negative' is the name of another variant too, with {'k': 3};",
        ),
        (
            "{n15: {regularized_eq15: {alpha: [0.1, 0.10000001]}}}",
            "settings.n15.regularized_eq15: 'regularized_eq15_alpha0.1' is the name of another",
        ),
        ("{n15: {augmented_g1: {g1: 7}}}", "settings.n15.augmented_g1.g1 7: must be at most 2"),
        ("{n15: {negative: {beta: -1}}}", "settings.n15.negative.beta -1: must be at least 0"),
    ],
)
def test_points_of_a_universe_are_as_free_as_those_of_variants(settings: str, says: str) -> None:
    """Two models of one name would have been trained as one, the first."""
    (problem,) = refused(f"multiverse: {{settings: {settings}}}")
    assert problem.startswith(f"multiverse.{says}")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("uniform x 0", ".values: 'uniform x 0' is not allowed; must be uniform,"),
        (f"uniform x {'9' * 400}", ".values: 'uniform x 999"),
        ("uniform x ٣", ".values: 'uniform x ٣' is not allowed"),
        ("uniform x 1.0", ": 'uniform x 1.0' is the same as 'uniform'; must be once"),
    ],
)
def test_a_factor_on_initial_weights_is_a_number_above_0(value: str, says: str) -> None:
    decision = f"{{values: [uniform, {value}]}}"
    (problem,) = refused(f"multiverse: {{decisions: {{initialization: {decision}}}}}")
    assert problem.startswith(f"multiverse.decisions.initialization{says}")


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ({"model": "augmented", "g1": 3}, "g1 3: must be at most 2"),
        ({"model": "negative", "form": "eq18", "k": 3, "beta": -0.1}, r"beta -0\.1: must be at le"),
    ],
)
def test_a_variant_keeps_to_its_own_bounds(model: dict[str, Any], says: str) -> None:
    """The schema's, which a library call does not pass."""
    with pytest.raises(ValueError, match=says):
        build_variant(model)


# A multiverse with little in it


@pytest.mark.slow
@pytest.mark.parametrize("decided", [True, False], ids=["decided", "no claim"])
def test_a_multiverse_of_one_universe_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decided: bool
) -> None:
    """One value for each decision; or none of the claims' variants."""
    config = copy.deepcopy(CONFIG)
    only = {"normalization": CONFIG["multiverse"]["decisions"]["normalization"]}
    only["normalization"] = only["normalization"] | {"values": ["unit"]}
    config["multiverse"] |= {"decisions": only, "size": 1, "exclude": []}
    if not decided:
        monkeypatch.setattr(universes, "_judged", lambda *_: UNTESTED)
    write_universes(read_experiment(config, SCHEMA), tmp_path)
    for figure in (multiverse, multiverse_curves, multiverse_decisions):
        names = FIGURES[figure.__name__.rpartition(".")[2]].tables
        tables = {name: read_table(name, tmp_path / f"{name}.csv") for name in names}
        figure.draw(Config(), **tables)
        figure.caption_numbers(Config(), **tables)
    page = read_multiverse(tmp_path)
    assert page is not None
    assert (page.total, bool(page.claims)) == (1, decided)


# Heads of extreme size

Rows = list[list[Decimal]]


def product(a: list[Decimal], b: list[Decimal]) -> Decimal:
    return sum((x * y for x, y in zip(a, b, strict=True)), Decimal(0))


def squared_error_of_one_feature(query: list[Decimal], keys: Rows, values: Rows) -> Decimal:
    """E‖ô − o‖² / ‖o‖² of positive features to first order, Σ aᵢ² (e^‖q + kᵢ‖² − 1) ‖vᵢ − o‖²."""
    weights = [product(query, key).exp() for key in keys]
    a = [weight / sum(weights) for weight in weights]
    output = [product(a, list(column)) for column in zip(*values, strict=True)]
    error = Decimal(0)
    for share, key, value in zip(a, keys, values, strict=True):
        pair = [x + y for x, y in zip(query, key, strict=True)]
        distance = [x - y for x, y in zip(value, output, strict=True)]
        variance = product(pair, pair).exp() - 1
        error += share**2 * variance * product(distance, distance)
    return error / product(output, output)


@pytest.mark.parametrize("factor", [1, 5, 10])
@pytest.mark.parametrize("with_values", [True, False])
def test_predicted_features_are_right_where_one_key_has_all_the_weight(
    factor: float, with_values: bool
) -> None:
    """Of it, 1 − a is 0 in float64; it is a logarithm, by a second computation of 400 digits."""
    heads = np.random.default_rng(0).standard_normal((3, 6, 4)) * [[[factor]], [[factor]], [[1]]]
    queries, keys, values = heads
    found = required_features(
        queries,
        keys,
        values=values if with_values else None,
        scale=1,
        families=["positive"],
        projections=["independent"],
        draws=2,
        most=64,
    ).rows[0]["log10_predicted"]
    with localcontext() as context:
        context.prec = 400
        q, k, v = ([[Decimal(float(x)) for x in row] for row in one[1::2]] for one in heads)
        v = v if with_values else [[Decimal(i == j) for j in range(3)] for i in range(3)]
        errors = sorted(squared_error_of_one_feature(query, k, v) for query in q)
        expected = float(errors[1].log10()) + 2  # a tolerance of 0.1
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("size", [0, 1e-310, 1e300])
def test_an_equivalence_is_a_number_whatever_the_size_of_the_values(size: float) -> None:
    heads = torch.randn(3, 2, 5, 4, generator=torch.Generator().manual_seed(0)).double()
    found = check_equivalence(heads[0], heads[1], size * heads[2], mask="causal")
    assert found.one_step_error.max() < 1e-14
    assert found.epochs_error.max() < 1e-14


def test_what_heads_cannot_be_is_refused() -> None:
    one = np.ones((4, 2))
    for queries, says in [
        (one + 1j, "queries: torch.complex128 must be real"),
        (1e200 * one, r"queries: a norm of inf is not allowed; must be 1e\+15 at most"),
        (1e20 * one, r"queries: a norm of 1\.19e\+20 is not allowed"),
    ]:
        with pytest.raises(ValueError, match=says):
            check_equivalence(queries, one, one)
        with pytest.raises(ValueError, match=says):
            required_features(queries, one)
    with pytest.raises(ValueError, match="families, projections: must be at least one of each"):
        required_features(one, one, families=[])


def test_heads_whose_values_cancel_or_whose_masks_leave_nothing() -> None:
    """Of an output of 0 that is estimated as 0 there is no error; a mask can leave no pair."""
    queries, keys, values = torch.randn(3, 8, 4, generator=torch.Generator().manual_seed(0))
    few: dict[str, Any] = {"families": ["positive"], "draws": 2, "most": 64}
    for row in required_features(queries, keys, values=0 * values, **few).rows:
        assert (row["log10_predicted"], row["error"]) == (0, 0)
    before = torch.eye(8, dtype=torch.bool).roll(1, 0)  # every token attends to the one before it
    with pytest.raises(ValueError, match="mask: in a head, no token at an odd position attends"):
        required_features(queries, keys, mask=before, **few)
    fitted = queries, keys
    assert required_features(queries, keys, mask=before, fitted_on=fitted, **few).rows
    with pytest.raises(ValueError, match=r"head size \(3,\), must be those of the queries, \(4,\)"):
        required_features(queries, keys, fitted_on=(queries[:, :3], keys[:, :3]), **few)
    with pytest.raises(ValueError, match="most = 0: must be at least 1"):
        required_features(queries, keys, **few | {"most": 0})


def test_a_file_of_a_single_token_is_told(tmp_path: Path) -> None:
    one = np.ones((2, 1, 4))
    save_file(dict.fromkeys(("queries", "keys", "values"), one), tmp_path / "x.safetensors")
    with pytest.raises(StepError, match="a single token; must be two at least"):
        read_layers(tmp_path / "x.safetensors", causal=True, scale=None)


# Layers and descents of the user's own

SOFTMAX = build_variant({"model": "softmax"})


def layer(size: float = 1) -> tuple[Weights, Tensor]:
    """Weights without normalization, and a prompt of tokens so large."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(4, 6, 4, generator=generator, dtype=torch.float64)
    w_q, w_k, w_v = drawn[:3, :4]
    return Weights(w_q, w_k, w_v, normalization="none"), size * drawn[3]


@pytest.mark.parametrize("size", [1, 10, 1e3, 1e8])
@pytest.mark.parametrize("scheme", ["full_batch", "single_sample"])
def test_the_dual_of_the_softmax_itself_is_exact_at_large_norms(
    size: float, scheme: Scheme
) -> None:
    """κ(k, q) of a query far from all keys underflows beside κ(k, k)."""
    weights, tokens = layer(size)
    output = predict(weights, tokens, SOFTMAX, None)
    found = descend(dual_problem(weights, tokens, None), SOFTMAX, scheme, 2).prediction
    assert (found - output).norm() < 1e-12 * output.norm()


@pytest.mark.parametrize("size", [1e-5, 1, 1e4])
def test_unit_vectors_of_half_precision_have_length_1(size: float) -> None:
    x = torch.tensor([[3.0, 4.0]], dtype=torch.float64)
    found = normalize((size * x).half(), "unit")
    assert found.dtype == torch.float16
    assert torch.allclose(found.double(), x / 5, atol=0.01)


def test_no_prompts_have_no_predictions() -> None:
    weights, tokens = layer()
    features = ExponentialFeatures(torch.randn(8, 4).double(), torch.zeros(8).double())
    problem = dual_problem(weights, tokens.expand(0, 6, 4), features)
    assert descend(problem, SOFTMAX, "full_batch", 1).prediction.shape == (0, 4)


def test_what_a_layer_or_a_descent_cannot_be_is_refused() -> None:
    """Of these, keys of one coordinate and starts of one row would have been broadcast."""
    weights, tokens = layer()
    narrow = replace(weights, W_K=weights.W_K[:1])
    with pytest.raises(ValueError, match="must have as many rows"):
        predict(narrow, tokens, SOFTMAX, None)
    problem = dual_problem(weights, tokens.expand(2, 6, 4), None)
    for start in (torch.zeros(4, 7), torch.zeros(2, 1, 7)):
        with pytest.raises(ValueError, match=r"start of shape \(.*\): must be \(2, 4, 7\)"):
            descend(problem, SOFTMAX, "full_batch", 1, start=start.double())
    with torch.inference_mode(), pytest.raises(RuntimeError, match=r"use torch\.no_grad\(\)"):
        descend(problem, SOFTMAX, "full_batch", 1)


def small(runs: int = 2, count: int = 3, n: int = 4, d: int = 3) -> Prompts:
    rng = np.random.default_rng(0)
    shapes = (runs, count, n, d), (runs, count, 1)
    return Prompts(*(rng.uniform(-1, 1, shape).astype(np.float32) for shape in shapes))


def trained(prompts: Prompts, test_prompts: Prompts, **options: Any) -> dict[str, Any]:
    few: dict[str, Any] = {"seed": 0, "setting": "s", "d_r": 4, "epochs": 1, "device": "cpu"}
    return pretrain(prompts, test_prompts, SOFTMAX, **few | options).tensors


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("init", "Uniform"), ("normalization", "Unit"), ("omega", "per-step")],
        *[("order", "random"), ("device", "gpu"), ("batch", 0), ("batch", 1.5)],
        *[("epochs", -1), ("epochs", 1.5), ("learning_rate", "0.1")],
        ("learning_rate", np.array([0.1, 0.2])),
    ],
)
def test_a_misspelt_option_of_the_training_is_refused(name: str, value: object) -> None:
    """Each would have been taken for another."""
    with pytest.raises(ValueError, match=f"{name} .*: must be"):
        trained(small(), small(), **{name: value})


@pytest.mark.parametrize("other", [{"n": 6}, {"d": 4}, {"runs": 3}, {"runs": 1}, {"count": 0}])
def test_the_training_refuses_prompts_of_other_shapes(other: dict[str, int]) -> None:
    """Longer ones would have overwritten the memory of others."""
    with pytest.raises(ValueError, match="test_prompts: tokens of shape"):
        trained(small(), small(**other))
    with pytest.raises(ValueError, match="fresh_prompts: tokens of shape"):
        trained(small(), small(), epochs=2, fresh_prompts=lambda _: small(**other))
    short = replace(small(), targets=small().targets[:, :2])
    with pytest.raises(ValueError, match=r"^prompts: tokens of shape"):
        trained(short, small())


@pytest.mark.parametrize("number", [np.nan, np.inf, 1e39])
def test_the_training_refuses_prompts_that_are_not_finite(number: float) -> None:
    """They are no divergence, and no learning rate helps."""
    damaged = small()
    targets: Any = damaged.targets.astype(np.float64)
    targets[1, 2, 0] = number
    with pytest.raises(ValueError, match=r"^test_prompts: must be finite"):
        trained(small(), replace(damaged, targets=targets))


def test_prompts_of_any_numbers_are_trained_on() -> None:
    there = small()
    as_half = [a.astype(np.float16) for a in (there.tokens, there.targets)]
    same = [a.astype(np.float64) for a in as_half]
    found, expected = (trained(Prompts(*arrays), there) for arrays in (as_half, same))
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


def test_statistics_of_what_has_none_are_refused() -> None:
    one = np.ones((3, 4))
    with pytest.raises(ValueError, match="no keys or no queries"):
        Statistics.of(one[:0], one)
    with pytest.raises(ValueError, match=r"sizes differ: keys \(3, 4\), queries \(3, 1\)"):
        Statistics.of(one, one[:, :1])
    with pytest.raises(ValueError, match="statistics are of size 4: must be 3"):
        build_family({"family": "oprf"}).draw(
            np.random.default_rng(0), 3, 8, Statistics.of(one, one)
        )


# Random features of the user's own

OWN = """
import numpy as np
from icl_contrastive.features import ExponentialFamily
class Own(ExponentialFamily):
    def sample(self, rng, d, d_r, statistics):
        omega, log_weight = rng.standard_normal((d_r, d)), np.zeros(d_r)
        return RETURNED
"""


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        ("None", "Own.sample: NoneType must be a dict of arrays"),
        ("{'omega': omega}", r"Own.sample: log_weight: missing; must be of shape \(8,\)"),
        (
            "{'omega': omega.T, 'log_weight': log_weight}",
            r"Own.sample: omega: shape \(3, 8\); must be of shape \(8, 3\)",
        ),
        (
            "{'omega': omega[1:], 'log_weight': log_weight[1:]}",
            r"Own.sample: omega: shape \(7, 3\); must be of shape \(8, 3\)",
        ),
        ("{'omega': omega, 'log_weight': log_weight - np.inf}", "log_weight: not finite"),
        ("{'omega': 1e300 * omega, 'log_weight': log_weight}", "omega: not finite in float32"),
    ],
)
def test_what_a_family_draws_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, returned: str, says: str
) -> None:
    """One feature too few would have been trained with as if it were as many as the config says."""
    family = own_family(tmp_path, monkeypatch, OWN.replace("RETURNED", returned))
    with pytest.raises(ValueError, match=says):
        family().draw(np.random.default_rng(0), 3, 8)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x = (", r"the module of '.*' cannot be imported \(SyntaxError: '\(' was never closed"),
        ("1 / 0", r"the module of '.*' cannot be imported \(ZeroDivisionError: division by zero"),
        (
            "from icl_contrastive import Family\nclass Own(Family): ...",
            "lacks feature_map",
        ),
        (
            OWN + "    def __init__(self): ...",
            r"family: '.*:Own' must take a projection or None \(Own.__init__\(\) takes 1",
        ),
    ],
)
def test_a_module_of_one_s_own_that_is_no_family_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        own_family(tmp_path, monkeypatch, text)()


def own_family(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> Callable[[], Family]:
    """How to make that of a module in the folder, which no other test has imported."""
    name = f"own_{abs(hash(text))}"
    (folder / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    return lambda: build_family({"family": f"{name}:Own"})


# What newcomers see first


def test_the_readme_says_what_happens_with_the_next_python() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    newest = max(map(int, re.findall(r"Python :: 3\.(\d+)", project)))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"With Python 3.{newest + 1}, some of the locked packages" in readme


def test_make_smoke_prints_little() -> None:
    """No rules and reasons, which are hundreds of lines."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = re.search(r"^smoke:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert recipe is not None
    assert "--quiet host reason rules" in recipe[1]
