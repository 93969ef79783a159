"""The long run: checkpoints of the same training, and what is read off them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from icl_contrastive.analysis.diagnostics import relative_deviation
from icl_contrastive.artifacts.files import load_table, load_tensors
from icl_contrastive.attention import Projections
from icl_contrastive.features import build_family
from icl_contrastive.features.positive import Positive
from icl_contrastive.steps import data as data_step
from icl_contrastive.steps import pretrain as pretrain_step
from icl_contrastive.steps import training_length
from icl_contrastive.tasks import Prompts
from icl_contrastive.training import pretrain
from icl_contrastive.variants import build_variant

from . import naive

RUNS, N, D_X, D_R = 2, 5, 4, 20
DATA = {"seed": 1, "runs": RUNS, "setting": "s", "demonstrations": N, "prompts": 30, "d_x": D_X}
DATA |= {"test_prompts": 6, "tasks": "shared", "d_y": 1}
JOB: dict[str, Any] = {
    "seed": 1,
    "runs": RUNS,
    "setting": "s",
    "variant": "softmax",
    "model": {"model": "softmax", "attention": "kernel"},
    "features": {"family": "positive", "d_r": D_R},
    "normalization": "unit",
    "learning_rate": 0.01,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("length") / "data.safetensors"
    data_step.main(argparse.Namespace(output=path, code=[]), DATA)
    return path


def train(data: Path, output: Path, **more: Any) -> dict[str, np.ndarray]:
    arguments = argparse.Namespace(inputs=[data], output=output, device="cpu", code=[])
    pretrain_step.main(arguments, JOB | more)
    return load_tensors(output)[0]


def test_a_checkpoint_is_where_a_shorter_run_ends(data: Path, tmp_path: Path) -> None:
    short = train(data, tmp_path / "short.safetensors", epochs=3)
    long = train(data, tmp_path / "long.safetensors", epochs=5, checkpoints=[1, 3, 5])
    for name in ("W_Q", "W_K", "W_V"):
        checkpoints = long[f"checkpoints/{name}"]
        assert checkpoints.shape == (RUNS, 3, D_X + 1, D_X + 1)
        np.testing.assert_array_equal(checkpoints[:, 1], short[name])
        np.testing.assert_array_equal(checkpoints[:, 2], long[name])
        assert (checkpoints[:, 0] != checkpoints[:, 1]).any()
    for name in ("omega", "log_weight"):
        np.testing.assert_array_equal(long[name], short[name])
    for name in ("train_mse", "test_mse"):
        np.testing.assert_array_equal(long[name][:, :3], short[name])


def test_a_checkpoint_is_looked_at_with_the_features_it_had(data: Path, tmp_path: Path) -> None:
    """They are others after every epoch."""
    tables = []
    for epochs in (2, 3):
        path = tmp_path / f"{epochs}.safetensors"
        train(data, path, epochs=epochs, checkpoints=[2], omega="per_epoch")
        output = path.with_suffix(".csv")
        arguments = argparse.Namespace(data=data, pretrained=path, output=output)
        training_length.main(arguments, {"setting": "s", "runs": RUNS})
        tables.append(load_table(output))
    assert tables[0].equals(tables[1])


def test_without_checkpoints_none_are_kept(data: Path, tmp_path: Path) -> None:
    assert not any("/" in name for name in train(data, tmp_path / "a.safetensors", epochs=1))


@pytest.mark.parametrize("family", ["positive", "elu+1"])
def test_checkpoints_are_copies(data: Path, family: str) -> None:
    """Of both trainers: features that are not exponential train in torch."""
    arrays = load_tensors(data)[0]
    pretrained = pretrain(
        Prompts(arrays["train_tokens"], arrays["train_targets"]),
        Prompts(arrays["test_tokens"], arrays["test_targets"]),
        build_variant(JOB["model"]),
        seed=1,
        setting="s",
        family=build_family({"family": family}),
        d_r=D_X + 1,
        epochs=2,
        checkpoints=[1, 2],
        device="cpu",
    )
    first, last = pretrained.checkpoints[1], pretrained.checkpoints[2]
    for name, array in last.items():
        np.testing.assert_array_equal(array, pretrained.tensors[name])
        assert (first[name] != array).any()


def test_the_relative_deviation_is_that_of_the_estimate() -> None:
    rng = np.random.default_rng(0)
    keys, queries = (torch.from_numpy(0.5 * rng.standard_normal((3, N + 1, 4))) for _ in range(2))
    projections = Projections(queries, keys, keys)
    found = relative_deviation(Positive(), projections, D_R)
    norm = ((keys + queries[:, -1:]) ** 2).sum(-1).numpy()
    np.testing.assert_allclose(found, np.sqrt((np.exp(norm) - 1) / D_R))
    omega = rng.standard_normal((4000, D_R, 4))
    terms = np.exp(omega @ (keys[0, 0] + queries[0, -1]).numpy() - norm[0, 0] / 2)
    assert terms.mean(1).std() == pytest.approx(found[0, 0], rel=0.1)


def test_the_relative_deviation_is_empty_without_a_closed_form() -> None:
    keys = torch.zeros(2, 3, 4, dtype=torch.float64)
    for family in ("elu+1", "oprf"):
        found = relative_deviation(
            build_family({"family": family}), Projections(keys, keys, keys), D_R
        )
        assert np.isnan(found).all()


def test_the_table(data: Path, tmp_path: Path) -> None:
    long, output = tmp_path / "long.safetensors", tmp_path / "table.csv"
    arrays = train(data, long, epochs=4, checkpoints=[2, 4])
    prompts = load_tensors(data)[0]
    training_length.main(
        argparse.Namespace(data=data, pretrained=long, output=output),
        {"setting": "s", "runs": RUNS},
    )
    table = load_table(output)
    assert list(zip(table["run"], table["epoch"], strict=True)) == [
        ("0", "2"),
        ("0", "4"),
        ("1", "2"),
        ("1", "4"),
    ]
    row = table.iloc[-1]
    assert float(row["train_mse"]) == pytest.approx(arrays["train_mse"][1, 3])

    # The same by plain loops, with the weights that the run ended with.
    names = ("W_Q", "W_K", "W_V", "omega", "log_weight")
    w_q, w_k, w_v, omega, log_weight = (arrays[name][1].astype(np.float64) for name in names)
    kernel = naive.Layer(w_q, w_k, w_v, omega=omega, log_weight=log_weight)
    exact = naive.Layer(w_q, w_k, w_v)
    tokens = prompts["test_tokens"][1].astype(np.float64)
    targets = prompts["test_targets"][1, :, -1]
    attention = np.array([[naive.attention(layer, t) for t in tokens] for layer in (kernel, exact)])
    outputs = np.array(
        [[naive.output(JOB["model"], layer, t)[-1] for t in tokens] for layer in (kernel, exact)]
    )
    expected = {
        "absolute_error": np.median(np.abs(outputs[0] - targets)),
        "absolute_error_exact": np.median(np.abs(outputs[1] - targets)),
        "query_weight": np.median(attention[0, :, -1]),
        "weight_error": np.abs(attention[0] - attention[1]).sum(-1).mean() / 2,
    }
    for name, value in expected.items():
        assert float(row[name]) == pytest.approx(value, rel=1e-6)
