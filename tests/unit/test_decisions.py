"""What the paper leaves open: each choice does what it says, in both trainers alike."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from icl_contrastive.artifacts.files import load_tensors
from icl_contrastive.attention import Weights
from icl_contrastive.choices import Init, Normalization
from icl_contrastive.features.base import ExponentialFeatures
from icl_contrastive.features.positive import Positive
from icl_contrastive.prediction import predict
from icl_contrastive.steps import data as data_step
from icl_contrastive.steps import pretrain as pretrain_step
from icl_contrastive.steps.layer import load_layer, load_test_prompts
from icl_contrastive.streams import stream
from icl_contrastive.tasks import Prompts, sample_part, sample_prompts, sample_task
from icl_contrastive.training import Pretrained, initial_weights, pretrain
from icl_contrastive.training.batched import BatchedRuns
from icl_contrastive.training.fused import FusedRuns
from icl_contrastive.variants import build_variant

from .cases import MODELS, NORMALIZATIONS, relative

RUNS, N, D, M, PROMPTS, RATE = 2, 5, 6, 24, 23, 0.02
CHOSEN = ("softmax", "g2", "eq15, negative alpha", "eq18")
some_models = pytest.mark.parametrize("model", [MODELS[name] for name in CHOSEN], ids=CHOSEN)


def starting_weights(model: dict[str, Any]) -> dict[str, np.ndarray]:
    variant = build_variant(model)
    starts = [initial_weights(variant, D, 0, "n", run) for run in range(RUNS)]
    return {n: np.stack([one[n] for one in starts]).astype(np.float64) for n in starts[0]}


def draw_features(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "omega": rng.standard_normal((RUNS, M, D)),
        "log_weight": 0.3 * rng.standard_normal((RUNS, M)),
    }


def prompts(count: int = PROMPTS, seed: int = 0, dtype: Any = np.float64) -> Prompts:
    rng = np.random.default_rng(seed)
    sampled = [sample_prompts(rng, sample_task(rng, 1, D - 1), count, N) for _ in range(RUNS)]
    tokens, targets = (np.stack([getattr(p, n) for p in sampled]) for n in ("tokens", "targets"))
    return Prompts(tokens.astype(dtype), targets.astype(dtype))


def training_data() -> tuple[np.ndarray, np.ndarray]:
    sampled = prompts()
    return sampled.tokens, sampled.targets


def trainers(model: dict[str, Any], **options: Any) -> tuple[FusedRuns, BatchedRuns]:
    weights, features = starting_weights(model), draw_features(1)
    mixing = build_variant(model).mixing(N)
    fused = FusedRuns(weights, features, mixing, 1, **options)
    return fused, BatchedRuns(weights, Positive(), features, mixing, 1, "cpu", **options)


def plain_descent(
    model: dict[str, Any], batch: int, normalization: Normalization = "unit"
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Weights of all runs and mean errors met, by autograd on the batch's mean squared error."""
    variant, (tokens, targets) = build_variant(model), training_data()
    ends, errors = [], []
    for run in range(RUNS):
        start = {name: torch.from_numpy(a[run]) for name, a in starting_weights(model).items()}
        draws = {name: torch.from_numpy(a[run]) for name, a in draw_features(1).items()}
        features = ExponentialFeatures(draws["omega"], draws["log_weight"])
        weights, met = start, 0.0
        for first in range(0, PROMPTS, batch):
            leaves = {name: tensor.clone().requires_grad_() for name, tensor in weights.items()}
            layer = Weights.from_tensors(leaves, normalization)
            some = slice(first, first + batch)
            output = predict(layer, torch.from_numpy(tokens[run, some]), variant, features)
            squares = (output[:, -1] - torch.from_numpy(targets[run, some, 0])) ** 2
            gradients = torch.autograd.grad(squares.mean(), list(leaves.values()))
            met += squares.sum().item()
            steps = zip(weights.items(), gradients, strict=True)
            weights = {name: tensor - RATE * gradient for (name, tensor), gradient in steps}
        ends.append(weights)
        errors.append(met / PROMPTS)
    return {name: np.stack([one[name].numpy() for one in ends]) for name in ends[0]}, np.array(
        errors
    )


@some_models
@pytest.mark.parametrize("batch", [1, 4, PROMPTS, 100])
@pytest.mark.slow
def test_a_step_takes_the_mean_gradient_of_a_batch(model: dict[str, Any], batch: int) -> None:
    """The last of 23 prompts in batches of 4 is a smaller batch."""
    data = training_data()
    expected, errors = plain_descent(model, batch)
    for trainer in trainers(model):
        np.testing.assert_allclose(trainer.train(*data, RATE, batch), errors, rtol=1e-10)
        for name, array in trainer.weights.items():
            assert relative(array, expected[name]) < 1e-10


@some_models
def test_redrawn_features_are_those_of_a_new_start(model: dict[str, Any]) -> None:
    data = training_data()
    other = draw_features(2)
    fused, batched = trainers(model)
    for trainer in (fused, batched):
        trainer.redraw(other)
    mixing = build_variant(model).mixing(N)
    weights = starting_weights(model)
    fresh = FusedRuns(weights, other, mixing, 1)
    errors = fresh.train(*data, RATE)
    np.testing.assert_array_equal(fused.train(*data, RATE), errors)
    np.testing.assert_allclose(batched.train(*data, RATE), errors, rtol=1e-10)


@pytest.mark.parametrize(
    ("init", "deviation"),
    [("uniform", 1 / np.sqrt(3 * 400)), ("normal", 1 / 20), ("standard_normal", 1.0)],
)
def test_initial_weights(init: Init, deviation: float) -> None:
    weights = initial_weights(build_variant(MODELS["g2"]), 400, 0, "n", 0, init)
    for array in weights.values():
        assert array.dtype == np.float32
        assert array.std() == pytest.approx(deviation, rel=0.02)
    bounded = max(np.abs(array).max() for array in weights.values()) <= 1 / 20
    assert bounded == (init == "uniform")
    larger = initial_weights(build_variant(MODELS["g2"]), 400, 0, "n", 0, init, 2.0)
    for name, array in weights.items():
        np.testing.assert_array_equal(larger[name], 2 * array)


def train(**options: Any) -> Pretrained:
    single = prompts(dtype=np.float32)
    arguments: dict[str, Any] = {"seed": 1, "setting": "n", "d_r": M, "epochs": 3, "device": "cpu"}
    return pretrain(single, single, build_variant(MODELS["softmax"]), **arguments | options)


def test_the_defaults_are_the_project_s_choices() -> None:
    default = train()
    spelled = train(
        init="uniform",
        init_scale=1,
        normalization="unit",
        omega="kept",
        fresh_prompts=None,
        order="fixed",
        batch=1,
        checkpoints=(),
        trained=None,
    )
    assert default.tensors.keys() == spelled.tensors.keys()
    for name, array in default.tensors.items():
        np.testing.assert_array_equal(array, spelled.tensors[name])


@pytest.mark.parametrize(
    ("omega", "epoch", "draws"), [("kept", 1, 1), ("per_epoch", 3, 1), ("per_step", 3, 12)]
)
def test_features_are_drawn_as_often_as_asked(omega: str, epoch: int, draws: int) -> None:
    """Per step, that is 12 times in an epoch with batches of 2; every epoch has its stream."""
    found = train(omega=omega, batch=2)
    names = () if epoch == 1 else ("epoch", epoch)
    for run in range(RUNS):
        rng = stream(1, "omega", "n", run, *names)
        last = [Positive().draw(rng, D, M) for _ in range(draws)][-1]
        np.testing.assert_array_equal(found.tensors["omega"][run], last["omega"])
    assert np.isfinite(found.train_mse).all()


@pytest.mark.parametrize("omega", ["kept", "per_epoch", "per_step"])
def test_training_goes_on_as_if_it_had_not_stopped(omega: str) -> None:
    def fresh(epoch: int) -> Prompts:
        return prompts(seed=epoch, dtype=np.float32)

    options: dict[str, Any] = {"omega": omega, "fresh_prompts": fresh, "batch": 5}
    options |= {"order": "shuffled"}
    whole = train(**options, checkpoints=(1, 2, 3))
    first = train(**options, epochs=1)
    rest = train(**options, checkpoints=(1, 2, 3), trained=(1, first.tensors))
    assert list(rest.checkpoints) == [2, 3]
    for curve in ("train_mse", "test_mse"):
        parts = [getattr(first, curve), getattr(rest, curve)]
        np.testing.assert_array_equal(np.concatenate(parts, 1), getattr(whole, curve))
    for name, array in whole.tensors.items():
        np.testing.assert_array_equal(rest.tensors[name], array)


def test_redrawing_changes_the_training() -> None:
    kept, per_epoch, per_step = (train(omega=o) for o in ("kept", "per_epoch", "per_step"))
    np.testing.assert_array_equal(kept.train_mse[:, 0], per_epoch.train_mse[:, 0])
    assert (kept.train_mse[:, 1] != per_epoch.train_mse[:, 1]).all()
    assert (kept.train_mse[:, 0] != per_step.train_mse[:, 0]).all()


def test_exact_softmax_has_nothing_to_redraw() -> None:
    sampled = prompts(dtype=np.float32)
    exact = build_variant({"model": "softmax", "attention": "exact"})
    found = pretrain(sampled, sampled, exact, seed=1, setting="n", epochs=2, omega="per_step")
    assert "omega" not in found.tensors


def test_fresh_prompts_come_from_the_second_epoch_on() -> None:
    asked = []

    def fresh(epoch: int) -> Prompts:
        asked.append(epoch)
        return prompts(seed=epoch, dtype=np.float32)

    found, fixed = train(fresh_prompts=fresh), train()
    assert asked == [2, 3]
    np.testing.assert_array_equal(found.train_mse[:, 0], fixed.train_mse[:, 0])
    assert (found.train_mse[:, 1] != fixed.train_mse[:, 1]).all()


def test_a_shuffled_epoch_is_the_fixed_one_on_the_prompts_in_its_order() -> None:
    """Step by step, against autograd; every run and epoch has an order of its own."""
    found, single = train(order="shuffled"), prompts(dtype=np.float32)
    start = [initial_weights(build_variant(MODELS["softmax"]), D, 1, "n", r) for r in range(RUNS)]
    weights = {name: np.stack([one[name] for one in start]) for name in start[0]}
    draws = [Positive().draw(stream(1, "omega", "n", run), D, M) for run in range(RUNS)]
    features = {name: np.stack([one[name] for one in draws]) for name in draws[0]}
    mixing = build_variant(MODELS["softmax"]).mixing(N)
    plain = BatchedRuns(weights, Positive(), features, mixing, 1, "cpu")
    orders = []
    for epoch in (1, 2, 3):
        order = [stream(1, "order", "n", r, "epoch", epoch).permutation(PROMPTS) for r in (0, 1)]
        tokens, targets = (
            np.stack([array[run, order[run]] for run in range(RUNS)])
            for array in (single.tokens, single.targets)
        )
        errors = plain.train(tokens, targets, 0.003)
        np.testing.assert_allclose(found.train_mse[:, epoch - 1], errors, rtol=1e-5)
        orders += [tuple(one) for one in order]
    assert len(set(orders)) == 6
    for name, array in plain.weights.items():
        assert relative(found.tensors[name], array) < 1e-5


@pytest.mark.parametrize("omega", ["kept", "per_epoch", "per_step"])
def test_a_checkpoint_is_the_layer_that_training_would_have_ended_with(omega: str) -> None:
    """Features included, unless they are those of the whole run."""
    kept = train(omega=omega, checkpoints=(2,)).checkpoints[2]
    ended = train(omega=omega, epochs=2).tensors
    assert ("omega" in kept) == (omega != "kept")
    for name, array in kept.items():
        np.testing.assert_array_equal(array, ended[name])


SHAPE = {"seed": 3, "runs": RUNS, "setting": "n", "demonstrations": N, "prompts": 20}
SHAPE |= {"test_prompts": 4, "tasks": "shared", "d_x": D - 1, "d_y": 1}
JOB: dict[str, Any] = {
    "seed": 3,
    "runs": RUNS,
    "setting": "n",
    "variant": "softmax",
    "model": {"model": "softmax"},
    "features": {"family": "positive", "d_r": M},
    "normalization": "unit",
    "learning_rate": 0.01,
    "epochs": 2,
}


def run_step(folder: Path, **more: Any) -> Path:
    data_step.main(argparse.Namespace(output=folder / "data.safetensors", code=[]), SHAPE)
    return train_step(folder, "pretrained", "data", **more)


def train_step(folder: Path, output: str, *inputs: str, **more: Any) -> Path:
    paths = [folder / f"{name}.safetensors" for name in (output, *inputs)]
    arguments = argparse.Namespace(inputs=paths[1:], output=paths[0], device="cpu", code=[])
    pretrain_step.main(arguments, JOB | more)
    return paths[0]


def test_a_step_takes_all_decisions(tmp_path: Path) -> None:
    decisions: dict[str, Any] = {
        "init": "normal",
        "init_scale": 0.5,
        "normalization": "none",
        "omega": "per_epoch",
        "batch": 3,
    }
    path = run_step(tmp_path, **decisions, prompts="fresh")
    arrays, made_by = load_tensors(path)
    assert made_by["normalization"] == "none"

    data = load_tensors(tmp_path / "data.safetensors")[0]
    second = [sample_part(SHAPE, run, "train", 20, "epoch", 2)[1] for run in range(RUNS)]
    assert (second[0].tokens != data["train_tokens"][0]).any()
    # The labels of fresh prompts are those of the same task.
    x, y = second[0].tokens[0, 0, :-1], second[0].tokens[0, 0, -1]
    assert float(data["task"][0, 0, 0] @ x) == pytest.approx(float(y), rel=1e-5)
    expected = pretrain(
        Prompts(data["train_tokens"], data["train_targets"]),
        Prompts(data["test_tokens"], data["test_targets"]),
        build_variant(JOB["model"]),
        seed=3,
        setting="n",
        d_r=M,
        learning_rate=0.01,
        epochs=2,
        fresh_prompts=lambda _: Prompts(
            np.stack([p.tokens for p in second]), np.stack([p.targets for p in second])
        ),
        device="cpu",
        **decisions,
    )
    for name, array in expected.tensors.items():
        np.testing.assert_array_equal(arrays[name], array)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_a_layer_is_loaded_as_it_was_trained(normalization: str, tmp_path: Path) -> None:
    path = run_step(tmp_path, normalization=normalization)
    held_out = load_tensors(path)[0]["test_mse"][:, -1]
    for run in range(RUNS):
        layer = load_layer(path, run, torch.float64)
        assert layer.weights.normalization == normalization
        tokens, targets = load_test_prompts(
            tmp_path / "data.safetensors", run, slice(None), torch.float64
        )
        output = predict(layer.weights, tokens, build_variant(JOB["model"]), layer.features)
        error = float(((output[:, -1:] - targets) ** 2).mean())
        assert error == pytest.approx(float(held_out[run]), rel=1e-4)


@pytest.mark.parametrize("omega", ["kept", "per_epoch", "per_step"])
@pytest.mark.parametrize("epochs", [2, 5])
@pytest.mark.parametrize("early", [[], [1, 2]])
def test_a_long_run_is_the_pretrained_one_and_what_follows(
    epochs: int, early: list[int], omega: str, tmp_path: Path
) -> None:
    """Also where nothing follows, and where the pretrained one kept no weights on the way."""
    run_step(tmp_path, checkpoints=early, omega=omega)
    kept = [*early, *([4, 5] if epochs > 2 else [])]
    longer: dict[str, Any] = {"epochs": epochs, "checkpoints": kept, "omega": omega}
    path = train_step(tmp_path, "longer", "data", "pretrained", **longer)
    arrays, made_by = load_tensors(path)
    expected = load_tensors(train_step(tmp_path, "whole", "data", **longer))[0]
    assert made_by["checkpoints"] == kept
    assert arrays.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(arrays[name], array)
