"""Other random-feature families in the pipeline: training with them, and comparing them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from icl_contrastive.analysis.error_curves import Curves
from icl_contrastive.analysis.estimates import mild_pairs
from icl_contrastive.artifacts.files import NotANumberError, load_tensors, save_tensors
from icl_contrastive.attention import Projections, Weights, project
from icl_contrastive.command import StepError
from icl_contrastive.features import FAMILIES, Statistics, build_family
from icl_contrastive.steps import (
    approximation,
    data,
    equivalence,
    families,
    family_requirements,
    family_training,
    pretrain,
)
from icl_contrastive.steps.layer import load_layer, load_projections
from icl_contrastive.training import initial_statistics, initial_weights
from icl_contrastive.training.batched import BatchedRuns
from icl_contrastive.training.fused import FusedRuns
from icl_contrastive.variants import build_variant

SEED, RUNS, N, D = 7, 2, 5, 12
TRAINABLE = [name for name, family in FAMILIES.items() if family.nonnegative]
SWEPT = [2, 6, 12, 48]


def paths(**named: object) -> argparse.Namespace:
    return argparse.Namespace(code=[], **named)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data, and a layer trained with each family."""
    folder = tmp_path_factory.mktemp("families")
    shape = {"demonstrations": N, "prompts": 30, "tasks": "shared", "test_prompts": 4}
    config = {"seed": SEED, "runs": RUNS, "setting": "n5", "d_x": D - 1, "d_y": 1} | shape
    data.main(paths(output=folder / "data.safetensors"), config)
    for family in TRAINABLE:
        pretrain.main(
            paths(
                inputs=[folder / "data.safetensors"],
                output=folder / f"{family}.safetensors",
                device="cpu",
            ),
            {**layer_config(family), "learning_rate": 0.01, "epochs": 2},
        )
    return folder


def layer_config(family: str, **more: Any) -> dict[str, Any]:
    names = {"seed": SEED, "runs": RUNS, "setting": "n5", "variant": family}
    features = {"family": family, "d_r": 24}
    model = {"model": {"model": "softmax"}, "features": features, "normalization": "unit"}
    return names | model | more


# Training


@pytest.mark.parametrize("family", TRAINABLE)
def test_a_layer_is_trained_with_any_family_and_keeps_its_map(folder: Path, family: str) -> None:
    tensors, made_by = load_tensors(folder / f"{family}.safetensors")
    assert made_by["features"]["family"] == family
    assert tensors["train_mse"][:, -1].mean() < tensors["train_mse"][:, 0].mean()
    layer = load_layer(folder / f"{family}.safetensors", 1, torch.float64)
    assert layer.features is not None
    x = torch.ones(1, D, dtype=torch.float64)
    assert layer.features(x).shape == (1, D if family == "elu+1" else 24)


@pytest.mark.parametrize("family", TRAINABLE)
def test_the_equivalence_holds_for_a_trained_layer(folder: Path, family: str) -> None:
    """The step itself fails if it does not."""
    table, trajectory = folder / f"{family}.csv", folder / f"{family}_trajectory.safetensors"
    equivalence.main(
        paths(
            data=folder / "data.safetensors",
            pretrained=folder / f"{family}.safetensors",
            table=table,
            trajectory=trajectory,
        ),
        layer_config(family, prompts=3, epochs=2, tolerance=1e-10),
    )
    assert pd.read_csv(table)["relative_error"].max() <= 1e-10


def test_a_family_that_can_be_negative_is_not_trained_with(folder: Path) -> None:
    inputs = paths(inputs=[folder / "data.safetensors"], output=folder / "none", device="cpu")
    config = layer_config("trigonometric", learning_rate=0.01, epochs=1)
    with pytest.raises(StepError, match="Trigonometric features can be negative"):
        pretrain.main(inputs, config)


def test_a_family_that_is_not_there_is_reported(folder: Path) -> None:
    inputs = paths(inputs=[folder / "data.safetensors"], output=folder / "none", device="cpu")
    config = layer_config("no_such_module:Family", learning_rate=0.01, epochs=1)
    with pytest.raises(StepError, match="no_such_module"):
        pretrain.main(inputs, config)


@pytest.mark.parametrize("family", ["hyperbolic", "oprf", "sderf"])
@pytest.mark.slow
def test_the_compiled_loop_and_the_torch_form_train_alike(folder: Path, family: str) -> None:
    tensors, _ = load_tensors(folder / "data.safetensors")
    tokens = tensors["train_tokens"].astype(np.float64)
    targets = tensors["train_targets"].astype(np.float64)
    variant = build_variant({"model": "softmax"})
    weights, drawn = [], []
    for run in range(RUNS):
        start = initial_weights(variant, D, SEED, "n5", run)
        statistics = initial_statistics(start, tensors["train_tokens"][run])
        weights.append({name: array.astype(np.float64) for name, array in start.items()})
        drawn.append(
            build_family({"family": family}).draw(np.random.default_rng(run), D, 40, statistics)
        )
    start = {name: np.stack([one[name] for one in weights]) for name in weights[0]}
    arrays = {name: np.stack([one[name] for one in drawn]) for name in drawn[0]}
    arrays = {name: array.astype(np.float64) for name, array in arrays.items()}
    job = (variant.mixing(N), 1)
    fused = FusedRuns(start, arrays, *job)
    torch_form = BatchedRuns(start, build_family({"family": family}), arrays, *job, "cpu")
    for trainer in (fused, torch_form):
        trainer.train(tokens, targets, 0.01)
    for name, array in fused.weights.items():
        np.testing.assert_allclose(array, torch_form.weights[name], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("g2", [0, 2])
def test_statistics_are_those_of_the_layer_at_the_start(folder: Path, g2: int) -> None:
    variant = build_variant({"model": "augmented", "g1": 1, "g2": g2})
    weights = initial_weights(variant, D, SEED, "n5", 0)
    tokens = load_tensors(folder / "data.safetensors")[0]["train_tokens"][0]
    found = initial_statistics(weights, tokens).second_moment
    tensors = {name: torch.from_numpy(array).double() for name, array in weights.items()}
    layer = project(Weights.from_tensors(tensors), torch.from_numpy(tokens).double())
    z = (layer.keys.reshape(-1, 1, D) + layer.queries[:, -1]).reshape(-1, D)
    np.testing.assert_allclose(found, (z.mT @ z / len(z)).numpy(), rtol=1e-4, atol=1e-6)


# The sweep


@pytest.fixture(scope="module")
def sweep(folder: Path) -> Path:
    """The sweep over all families on the layer trained with the paper's."""
    compared = [
        {"family": name, "projection": projection}
        for name, family in FAMILIES.items()
        for projection in family.projections or (None,)
    ]
    families.main(
        paths(
            data=folder / "data.safetensors",
            pretrained=folder / "positive.safetensors",
            errors=folder / "errors.csv",
            closed_forms=folder / "closed_forms.csv",
            times=folder / "times.csv",
        ),
        layer_config("positive", run=1, prompt=2, repeats=6, d_r=SWEPT, compared=compared),
    )
    return folder


def test_every_family_is_measured(sweep: Path) -> None:
    errors = pd.read_csv(sweep / "errors.csv")
    keys = ["setting", "family", "projection", "d_r", "repeat", "matrix"]
    assert list(errors) == [*keys, "mse", "mae"]
    assert not errors.duplicated(keys).any()
    assert (errors[["mse", "mae"]] > 0).all(axis=None)
    drawn = errors[errors["projection"] != "none"]
    assert set(errors["family"]) - set(drawn["family"]) == {"elu+1"}
    assert len(errors) - len(drawn) == 3
    counts = drawn.groupby(["family", "projection"]).size()
    kinds = sum(len(family.projections) for family in FAMILIES.values())
    assert len(counts) == kinds
    assert set(counts) == {len(SWEPT) * 6 * 3}
    timed = pd.read_csv(sweep / "times.csv")
    assert len(timed) == kinds * len(SWEPT) + 1
    assert (timed[["seconds_to_draw", "seconds_to_estimate"]] > 0).all(axis=None)


@pytest.mark.parametrize("known", [False, True])
def test_a_closed_form_is_known_or_not_and_never_lost(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    of_pairs = np.full(3, np.nan) if known else None
    monkeypatch.setattr(FAMILIES["positive"], "log_relative_mse", lambda *_: of_pairs)
    written = {name: tmp_path / f"{name}.csv" for name in ("errors", "closed_forms", "times")}
    inputs = {"data": folder / "data.safetensors", "pretrained": folder / "positive.safetensors"}
    compared = [{"family": "positive", "projection": "simplex"}]
    sizes = {"run": 1, "prompt": 2, "repeats": 1, "d_r": [24]}
    config = layer_config("positive", **sizes, compared=compared)
    if known:
        with pytest.raises(StepError, match="of positive at d_r = 24"):
            families.main(paths(**inputs, **written), config)
    else:
        families.main(paths(**inputs, **written), config)
        row = "n5,positive,simplex,24,\n"
        assert written["closed_forms"].read_text().endswith(row)


def test_constants_are_fitted_on_prompts_that_are_not_judged(folder: Path, tmp_path: Path) -> None:
    tensors, made_by = load_tensors(folder / "data.safetensors")

    def fitted(changed: int | None, judged: int | slice) -> float:
        tokens = tensors["test_tokens"].copy()
        if changed is not None:
            tokens[1, changed] += 1
        path = tmp_path / f"{changed}.safetensors"
        save_tensors(path, {**tensors, "test_tokens": tokens}, made_by)
        _, statistics = load_projections(path, folder / "positive.safetensors", 1, judged)
        return float(statistics.second_moment.sum())

    for judged, inside, outside in ((2, 2, 3), (slice(2), 1, 2)):
        assert fitted(inside, judged) == fitted(None, judged)
        assert fitted(outside, judged) != fitted(None, judged)
    whole = slice(None)
    assert fitted(2, whole) != fitted(None, whole)  # there are no others


def test_the_paper_s_family_has_the_numbers_of_the_approximation(sweep: Path) -> None:
    approximation.main(
        paths(
            data=sweep / "data.safetensors",
            pretrained=sweep / "positive.safetensors",
            errors=sweep / "approximation.csv",
            matrices=sweep / "matrices.csv",
        ),
        layer_config("positive", run=1, prompt=2, repeats=6, d_r=SWEPT, shown=[12]),
    )
    expected = pd.read_csv(sweep / "approximation.csv")
    errors = pd.read_csv(sweep / "errors.csv")
    same = (errors["family"] == "positive") & (errors["projection"] == "independent")
    found = errors[same & (errors["matrix"] != "kernel")].drop(columns=["family", "projection"])
    order = ["d_r", "repeat", "matrix"]
    pd.testing.assert_frame_equal(
        found.sort_values(order, ignore_index=True), expected.sort_values(order, ignore_index=True)
    )


def test_closed_forms_are_those_of_the_mild_pairs(sweep: Path) -> None:
    closed = pd.read_csv(sweep / "closed_forms.csv")
    assert set(closed["family"]) == set(FAMILIES)
    assert set(closed.dropna()["family"]) == set(FAMILIES) - {"elu+1"}
    tokens = load_tensors(sweep / "data.safetensors")[0]["test_tokens"][1, 2]
    layer = load_layer(sweep / "positive.safetensors", 1, torch.float64)
    layer_projections = project(layer.weights, torch.from_numpy(tokens).double())
    keys, queries = layer_projections.keys.numpy(), layer_projections.queries.numpy()
    plus = ((keys[:, None] + queries) ** 2).sum(-1)
    minus = ((keys[:, None] - queries) ** 2).sum(-1)
    largest = np.maximum(plus, minus)
    tenth = largest <= np.sort(largest, axis=None)[round(0.1 * largest.size) - 1]
    rows = closed[(closed["family"] == "positive") & (closed["projection"] == "independent")]
    expected = np.expm1(plus[tenth]).mean() / rows["d_r"]
    np.testing.assert_allclose(rows["mse"], expected, rtol=1e-10)


def test_mild_pairs_are_at_least_one() -> None:
    ones = torch.ones(2, 3, dtype=torch.float64)
    keys, queries = mild_pairs(Projections(ones, ones, ones))
    assert (keys.tolist(), queries.tolist()) == ([0], [0])


ONE_SWEEP: dict[str, Any] = {"run": 1, "prompt": 2, "repeats": 2, "d_r": [12], "shown": [12]}
ONE_SWEEP |= {"normalization": "none"}


def grown(folder: Path, name: str, factor: float) -> Path:
    """The layer trained with the paper's features, with weights that are so much larger."""
    tensors, made_by = load_tensors(folder / "positive.safetensors")
    larger = {n: factor * a if n in ("W_Q", "W_K") else a for n, a in tensors.items()}
    save_tensors(folder / name, larger, made_by | {"normalization": "none"})
    return folder / name


def test_the_sweep_has_numbers_where_features_overflow(folder: Path, tmp_path: Path) -> None:
    """Of a layer with scores of some thousands."""
    approximation.main(
        paths(
            data=folder / "data.safetensors",
            pretrained=grown(folder, "grown.safetensors", 60),
            errors=tmp_path / "errors.csv",
            matrices=tmp_path / "matrices.csv",
        ),
        layer_config("positive", **ONE_SWEEP),
    )
    errors = pd.read_csv(tmp_path / "errors.csv")
    assert len(errors) == 4
    assert np.isfinite(errors[["mse", "mae"]]).all(axis=None)
    assert (errors["mse"] > 0).all()


@pytest.mark.filterwarnings("ignore:.* encountered in:RuntimeWarning")
def test_a_sweep_without_numbers_fails_and_writes_no_table(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(NotANumberError, match=r"errors\.csv is not written: mse is no finite"):
        approximation.main(
            paths(
                data=folder / "data.safetensors",
                pretrained=grown(folder, "infinite.safetensors", np.inf),
                errors=tmp_path / "errors.csv",
                matrices=tmp_path / "matrices.csv",
            ),
            layer_config("positive", **ONE_SWEEP),
        )
    assert list(tmp_path.iterdir()) == []


# What it takes to reach an error


def power_laws(factors: dict[int, float], sizes: list[int], repeats: int = 20) -> dict[int, Any]:
    return {size: np.full(repeats, factors.get(size, 1.0) / size) for size in sizes}


def test_crossings_are_exact_for_a_power_law() -> None:
    sizes = [4, 16, 64, 256]
    samples = {size: np.arange(20)[None] for size in sizes}
    curves = Curves.of(power_laws({}, sizes), samples)
    for target, expected in ((1 / 100, 100.0), (1 / 64, 64.0), (1.0, 4.0), (1 / 300, np.inf)):
        assert curves.crossings(np.log([target]))[0] == pytest.approx(expected, rel=1e-12)


def test_a_curve_that_rises_for_a_while_is_evened_out() -> None:
    """By the mean of the logarithms, which is nearest in their squares."""
    sizes = [4, 16, 64]
    errors = {4: np.array([1.0]), 16: np.array([0.1]), 64: np.array([0.4])}
    curves = Curves.of(errors, {size: np.zeros((1, 1), int) for size in sizes})
    assert np.exp(curves.log_errors[0]) == pytest.approx([1.0, 0.2, 0.2])


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 0.0, -1.0])
def test_a_curve_of_what_is_no_error_is_refused(wrong: float) -> None:
    """A NaN would pass for an error that no number of features brings down."""
    errors = {4: np.array([1.0, 0.5]), 16: np.array([0.1, wrong])}
    with pytest.raises(ValueError, match="errors with d_r = 16: must be positive numbers"):
        Curves.of(errors, {size: np.zeros((1, 2), int) for size in errors})


def test_a_curve_is_read_at_its_own_sizes() -> None:
    sizes = [4, 16, 64]
    curves = Curves.of(power_laws({}, sizes), {size: np.arange(20)[None] for size in sizes})
    assert np.exp(curves.at(16)) == pytest.approx([1 / 16])
    for size in (5, 128):
        with pytest.raises(ValueError, match=rf"d_r = {size}: must be one of 4, 16, 64"):
            curves.at(size)
    with pytest.raises(ValueError, match="targets: must be numbers"):
        curves.crossings(np.array([np.nan]))


def test_the_reference_reaches_itself_with_its_own_size() -> None:
    rng = np.random.default_rng(0)
    sizes = [10, 100, 1000]
    errors = {size: rng.lognormal(size=30) / size for size in sizes}
    samples = {size: rng.integers(30, size=(50, 30)) for size in sizes}
    curves = Curves.of(errors, samples)
    assert curves.crossings(curves.at(100)) == pytest.approx(np.full(50, 100.0))


@pytest.fixture
def requirements(tmp_path: Path) -> pd.DataFrame:
    """From errors c/d_r with another c for each family, and 5 % of noise in each repeat."""
    rng = np.random.default_rng(1)
    constants = {
        ("positive", "independent"): 1.0,
        ("positive", "orthogonal"): 0.5,
        ("sderf", "simplex"): 0.001,
        ("hyperbolic", "independent"): 0.3,
        ("trigonometric", "independent"): 1e3,
    }
    rows = [
        ("n5", *name, d_r, repeat, matrix, *np.repeat(c / d_r * rng.normal(1, 0.05), 2))
        for name, c in constants.items()
        for d_r in (12, 120, 1200, 2400)
        for repeat in range(40)
        for matrix in ("kernel", "attention", "output")
    ]
    rows += [("n5", "elu+1", "none", 12, 0, matrix, 1.0, 1.0) for matrix in ("attention", "output")]
    columns = ["setting", "family", "projection", "d_r", "repeat", "matrix", "mse", "mae"]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "families.csv", index=False)
    family_requirements.main(
        paths(families=tmp_path / "families.csv", output=tmp_path / "requirements.csv"),
        {
            "seed": SEED,
            "d": D,
            "tokens": {"n5": 6},
            "features": {"family": "positive", "d_r": 1200},
        },
    )
    table = pd.read_csv(tmp_path / "requirements.csv")
    assert len(table) == 6 * 2 * 2
    return table[(table["matrix"] == "attention") & (table["error"] == "mse")].set_index("family")


def test_requirements_are_the_ratio_of_the_errors(requirements: pd.DataFrame) -> None:
    half = requirements[requirements["projection"] == "orthogonal"].iloc[0]
    assert half["reached"] == "yes"
    assert half["factor"] == pytest.approx(2, rel=0.05)
    assert half["d_r_low"] < 600 < half["d_r_high"]
    assert half["factor_low"] < 2 < half["factor_high"]
    own = requirements[requirements["projection"] == "independent"].loc["positive"]
    assert (own["d_r"], own["factor"], own["cost"]) == (1200, 1, 1)
    assert int(str(requirements.loc["hyperbolic", "d_r"]).removesuffix(".0")) % 2 == 0


def test_what_is_not_reached_is_said_plainly(requirements: pd.DataFrame) -> None:
    for family in ("trigonometric", "elu+1"):
        row = requirements.loc[family]
        assert row["reached"] == "no"
        assert row.drop(["setting", "matrix", "error", "projection", "reached"]).isna().all()


def test_a_bound_is_a_bound(requirements: pd.DataFrame) -> None:
    row = requirements.loc["sderf"]
    assert (row["reached"], row["d_r"], row["factor"]) == ("at once", 12, 100)
    assert np.isnan(row["d_r_low"])
    assert np.isnan(row["factor_high"])


def test_the_cost_is_that_of_products_and_constants(requirements: pd.DataFrame) -> None:
    keys_and_queries, pairs = 12, 36
    positive = requirements[requirements["projection"] == "independent"].loc["positive"]
    assert positive["multiply_adds"] == keys_and_queries * 1200 * D + pairs * 1200
    assert positive["transcendentals"] == keys_and_queries * 1200
    row = requirements.loc["sderf"]
    constants = keys_and_queries * D**2 + 9 * D**3 // 2 + 12 * D + 12 * D**2
    assert row["multiply_adds"] == keys_and_queries * 12 * D + pairs * 12 + constants
    assert row["cost"] == pytest.approx(row["multiply_adds"] / positive["multiply_adds"])


# What a layer comes to


def test_final_errors_are_compared_run_by_run(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    base = rng.lognormal(size=(6, 3)).astype(np.float32)
    for name, family, factor in (("base", "positive", 1), ("other", "elu+1", 2)):
        tensors = {
            "W_Q": np.zeros((6, D, D), np.float32),
            "train_mse": factor * base,
            "test_mse": factor * base**2,
        }
        made_by = {"setting": "n5", "variant": name, "features": {"family": family, "d_r": 24}}
        save_tensors(tmp_path / f"{name}.safetensors", tensors, made_by)
    family_training.main(
        paths(
            pretrained=[tmp_path / "base.safetensors", tmp_path / "other.safetensors"],
            output=tmp_path / "table.csv",
        ),
        {},
    )
    table = pd.read_csv(tmp_path / "table.csv")
    assert list(table["variant"]) == ["base", "other", "base", "other"]
    assert list(table["error"]) == ["train", "train", "test", "test"]
    assert list(table["d_r"]) == [24, 12, 24, 12]
    assert table.loc[0, "mean"] == pytest.approx(np.exp(np.log(base[:, -1]).mean()), rel=1e-6)
    assert (table.loc[0, "low"], table.loc[0, "high"]) != (0, 0)
    assert (table["low"] < table["mean"]).all()
    assert (table["mean"] < table["high"]).all()
    assert list(table["ratio"]) == pytest.approx([1, 2, 1, 2], rel=1e-6)


def test_statistics_are_of_all_pairs() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(2, 3, 4)), rng.normal(size=(5, 4))
    z = (x.reshape(-1, 1, 4) + y).reshape(-1, 4)
    np.testing.assert_allclose(Statistics.of(x, y).second_moment, z.T @ z / len(z))
