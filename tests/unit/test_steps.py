"""The steps, through their command lines, on an experiment that takes seconds."""

from __future__ import annotations

import json
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from icl_contrastive.artifacts.files import load_tensors, save_tensors
from icl_contrastive.artifacts.tables import columns_of, read_table
from icl_contrastive.command import StepError, check_origin, run_step
from icl_contrastive.dual import DualProblem
from icl_contrastive.steps.equivalence import check_descents
from icl_contrastive.streams import stream
from icl_contrastive.variants import build_variant

from . import naive
from .processes import python

RUNS, N, PROMPTS, TEST_PROMPTS, D_X, D_R = 2, 5, 40, 6, 11, 24
D = D_X + 1
DATA = {
    "seed": 7,
    "runs": RUNS,
    "setting": "n5",
    "demonstrations": N,
    "prompts": PROMPTS,
    "tasks": "shared",
    "test_prompts": TEST_PROMPTS,
    "d_x": D_X,
    "d_y": 1,
}
MODELS: dict[str, dict[str, Any]] = {
    "softmax": {"model": "softmax"},
    "regularized": {"model": "regularized", "form": "eq15", "alpha": 0.2},
    "negative": {"model": "negative", "form": "eq18", "k": 2, "beta": 0.5},
    "augmented": {"model": "augmented", "g1": 1, "g2": 2},
    "exact": {"model": "softmax", "attention": "exact"},
}
DUAL = [name for name, model in MODELS.items() if model.get("attention") != "exact"]
FEATURES = {"family": "positive", "d_r": D_R}


def command(step: str, config: dict[str, Any] | None, paths: dict[str, Any]) -> list[str]:
    arguments = [] if config is None else ["--config", json.dumps(config)]
    for name, value in paths.items():
        values = value if isinstance(value, list) else [value]
        arguments += [f"--{name.replace('_', '-')}", *map(str, values)]
    return [f"icl_contrastive.steps.{step}", *arguments]


def run_here(step: str, config: dict[str, Any] | None = None, **paths: Any) -> None:
    """Run a step as ``python -m`` does, in this process."""
    module, *arguments = command(step, config, paths)
    sys.modules.pop(module, None)  # runpy warns of a module that is imported already
    before = sys.argv
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__")
    finally:
        sys.argv = before


def run_apart(
    step: str, config: dict[str, Any] | None = None, **paths: Any
) -> subprocess.CompletedProcess[str]:
    return python("-m", *command(step, config, paths), check=False)


def layer_config(variant: str, **more: Any) -> dict[str, Any]:
    names = {"setting": "n5", "variant": variant, "model": MODELS[variant], "features": FEATURES}
    return {"seed": 7, "runs": RUNS, **names, **more}


def pretrain_config(variant: str, **more: Any) -> dict[str, Any]:
    return layer_config(
        variant, **{"learning_rate": 0.01, "epochs": 3, "normalization": "unit"} | more
    )


def equivalence_config(variant: str, **more: Any) -> dict[str, Any]:
    return layer_config(variant, **{"prompts": 4, "epochs": 3, "tolerance": 1e-10} | more)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data and every variant's pretrained layer."""
    folder = tmp_path_factory.mktemp("steps")
    run_here("data", DATA, output=folder / "data.safetensors")
    for name in MODELS:
        run_here(
            "pretrain",
            pretrain_config(name),
            inputs=folder / "data.safetensors",
            output=folder / f"{name}.safetensors",
            device="cpu",
        )
    return folder


@pytest.fixture(scope="module")
def equivalence(folder: Path) -> Path:
    """Every variant's comparison with its reference model, beside its pretrained layer."""
    for name in DUAL:
        run_here(
            "equivalence",
            equivalence_config(name),
            data=folder / "data.safetensors",
            pretrained=folder / f"{name}.safetensors",
            table=folder / f"{name}.csv",
            trajectory=folder / f"{name}_trajectory.safetensors",
        )
    return folder


def assert_ordered(table: pd.DataFrame, *keys: str) -> None:
    """Rows are unique by their keys, and ordered by them, each in the order of its appearance."""
    ranks = [pd.Series(pd.factorize(table[key])[0]) for key in keys]
    rows = list(zip(*ranks, strict=True))
    assert rows == sorted(set(rows))


# data


def test_data(folder: Path) -> None:
    tensors, config = load_tensors(folder / "data.safetensors")
    assert config == DATA
    shapes = {name: array.shape for name, array in tensors.items()}
    assert shapes == {
        "task": (RUNS, 1, 1, D_X),
        "train_tokens": (RUNS, PROMPTS, N + 1, D),
        "train_targets": (RUNS, PROMPTS, 1),
        "test_tokens": (RUNS, TEST_PROMPTS, N + 1, D),
        "test_targets": (RUNS, TEST_PROMPTS, 1),
    }
    for run in range(RUNS):
        for part in ("train", "test"):  # held-out prompts are of the same task
            tokens = tensors[f"{part}_tokens"][run]
            labels = tokens[:, :-1, :D_X] @ tensors["task"][run, 0, 0]
            np.testing.assert_allclose(tokens[:, :-1, D_X], labels, atol=1e-5)
    x = [tensors[f"{part}_tokens"][..., :D_X].reshape(-1, D_X) for part in ("train", "test")]
    everything = np.concatenate(x)
    assert len(np.unique(everything, axis=0)) == len(everything)


def test_data_of_a_task_for_each_prompt(folder: Path, tmp_path: Path) -> None:
    run_here("data", DATA | {"tasks": "per_prompt"}, output=tmp_path / "data.safetensors")
    tensors, _ = load_tensors(tmp_path / "data.safetensors")
    assert tensors["task"].shape == (RUNS, PROMPTS, 1, D_X)
    tokens = tensors["train_tokens"]
    labels = np.einsum("rpix,rpx->rpi", tokens[:, :, :-1, :D_X], tensors["task"][:, :, 0])
    np.testing.assert_allclose(tokens[:, :, :-1, D_X], labels, atol=1e-5)
    assert len(np.unique(tensors["task"].reshape(-1, D_X), axis=0)) == RUNS * PROMPTS


def test_another_run_or_setting_changes_no_other_data(folder: Path, tmp_path: Path) -> None:
    base, _ = load_tensors(folder / "data.safetensors")
    run_here("data", DATA | {"runs": RUNS + 1}, output=tmp_path / "more.safetensors")
    more, _ = load_tensors(tmp_path / "more.safetensors")
    run_here("data", DATA | {"setting": "other"}, output=tmp_path / "other.safetensors")
    other, _ = load_tensors(tmp_path / "other.safetensors")
    for name, array in base.items():
        np.testing.assert_array_equal(more[name][:RUNS], array)
        assert np.array_equal(other[name], array) == (name == "task")  # which settings share


# pretrain


@pytest.mark.parametrize("name", MODELS)
def test_pretrain(folder: Path, name: str) -> None:
    tensors, config = load_tensors(folder / f"{name}.safetensors")
    assert config == pretrain_config(name) | {"device": "cpu"}
    shapes = dict.fromkeys(("W_Q", "W_K", "W_V"), (RUNS, D, D))
    expected: dict[str, tuple[int, ...]] = {**shapes, "train_mse": (RUNS, 3), "test_mse": (RUNS, 3)}
    expected |= {g: (RUNS, MODELS[name][g], D, D) for g in ("g1", "g2") if g in MODELS[name]}
    if name != "exact":
        expected |= {"omega": (RUNS, D_R, D), "log_weight": (RUNS, D_R)}
    assert {tensor: array.shape for tensor, array in tensors.items()} == expected
    assert all(np.isfinite(array).all() for array in tensors.values())


def test_pretraining_again_elsewhere_gives_the_same_tensors(folder: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.safetensors"
    done = run_apart(
        "pretrain",
        pretrain_config("negative"),
        inputs=folder / "data.safetensors",
        output=again,
        device="cpu",
    )
    assert done.returncode == 0, done.stderr
    first, second = (load_tensors(path)[0] for path in (folder / "negative.safetensors", again))
    assert {name: a.tobytes() for name, a in first.items()} == {
        name: a.tobytes() for name, a in second.items()
    }
    assert "epoch 3 of 3" in done.stderr  # its progress
    assert done.stdout == ""


@pytest.mark.slow
def test_divergence_is_one_clear_line(folder: Path, tmp_path: Path) -> None:
    done = run_apart(
        "pretrain",
        pretrain_config("softmax", learning_rate=50.0, epochs=20),
        inputs=folder / "data.safetensors",
        output=tmp_path / "x.safetensors",
        device="cpu",
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    for part in ("variant softmax", "setting n5", "run ", "epoch ", "learning rate (now 50)"):
        assert part in last
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="there may be a GPU")
@pytest.mark.slow
def test_a_missing_gpu_is_one_clear_line(folder: Path, tmp_path: Path) -> None:
    done = run_apart(
        "pretrain",
        pretrain_config("softmax"),
        inputs=folder / "data.safetensors",
        output=tmp_path / "x.safetensors",
        device="cuda",
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "error: execution.device: 'cuda' needs a GPU" in done.stderr
    assert list(tmp_path.iterdir()) == []


# equivalence

COLUMNS = [
    "setting",
    "variant",
    "run",
    "prompt",
    "scheme",
    "exact",
    "y_true",
    "y_layer",
    "y_reference",
    "lowest_weight",
    "relative_error",
    "relative_error_float32",
    "full_width_deviation",
]


@pytest.mark.parametrize("name", DUAL)
def test_equivalence_table(equivalence: Path, name: str) -> None:
    table = pd.read_csv(equivalence / f"{name}.csv")
    assert list(table) == COLUMNS
    assert_ordered(table, "setting", "variant", "run", "prompt", "scheme")
    more = {
        "regularized": ["single_sample_shared_decay", "full_batch_from_eq12"],
        "negative": ["restated"],
    }
    schemes = ["full_batch", "single_sample", *more.get(name, [])]
    assert table["scheme"].unique().tolist() == schemes
    assert len(table) == RUNS * 4 * len(schemes)
    exact = table["scheme"] == "full_batch"
    if name != "regularized":
        exact |= table["scheme"] == "single_sample"
    assert (table["exact"] == exact).all()
    assert (table.loc[exact, "relative_error"] < 1e-12).all()
    assert (table.loc[~exact, "relative_error"] > 1e-4).all()
    assert table.loc[exact, "relative_error_float32"].between(1e-10, 1e-3).all()
    controlled = (table["run"] == 0) & (table["scheme"] != "restated")
    assert (table["full_width_deviation"].notna() == controlled).all()
    assert table["full_width_deviation"].max() < 1e-12


@pytest.mark.parametrize("name", DUAL)
def test_equivalence_is_of_the_trained_layer(equivalence: Path, name: str) -> None:
    """Both predictions against the formulas, on the held-out prompts, in float64."""
    table = pd.read_csv(equivalence / f"{name}.csv")
    data, _ = load_tensors(equivalence / "data.safetensors")
    tensors, _ = load_tensors(equivalence / f"{name}.safetensors")
    for run, prompt in ((0, 0), (1, 3)):
        one = {tensor: array[run].astype(np.float64) for tensor, array in tensors.items()}
        layer = naive.Layer(
            one["W_Q"],
            one["W_K"],
            one["W_V"],
            list(one.get("g1", [])),
            list(one.get("g2", [])),
            one["omega"],
            one["log_weight"],
        )
        tokens = data["test_tokens"][run, prompt].astype(np.float64)
        model = {"form": "", **MODELS[name]}
        rows = table[(table["run"] == run) & (table["prompt"] == prompt)].set_index("scheme")
        y = naive.output(model, layer, tokens)[-1]
        assert rows["y_layer"].to_list() == pytest.approx([y] * len(rows), rel=1e-10)
        assert rows["y_true"].to_list() == [data["test_targets"][run, prompt, 0]] * len(rows)
        dual = naive.reference(model, layer, tokens)
        assert rows["y_reference"]["full_batch"] == pytest.approx(
            (dual.one_step() @ dual.test_input)[-1], rel=1e-10
        )
        end = dual.path(3, shared_decay=False)[-1] @ dual.test_input
        assert rows["y_reference"]["single_sample"] == pytest.approx(end[-1], rel=1e-10)


@pytest.mark.parametrize(
    ("name", "scheme", "form"),
    [
        # On the loss of Eq. 13, one step from the W_0 of Eq. 12 ends at the layer of Eq. 14.
        ("regularized", "full_batch_from_eq12", "eq14"),
        ("negative", "restated", "section_5.5"),
    ],
)
def test_the_forms_of_a_layer_are_compared(
    equivalence: Path, name: str, scheme: str, form: str
) -> None:
    table = pd.read_csv(equivalence / f"{name}.csv")
    data, _ = load_tensors(equivalence / "data.safetensors")
    tensors, _ = load_tensors(equivalence / f"{name}.safetensors")
    for row in table[table["scheme"] == scheme].to_dict("records"):
        one = {n: a[row["run"]].astype(np.float64) for n, a in tensors.items()}
        features = one["omega"], one["log_weight"]
        layer = naive.Layer(one["W_Q"], one["W_K"], one["W_V"], [], [], *features)
        tokens = data["test_tokens"][row["run"], row["prompt"]].astype(np.float64)
        own = naive.output(MODELS[name], layer, tokens)
        other = naive.output(MODELS[name] | {"form": form}, layer, tokens)
        distance = np.linalg.norm(other - own) / np.linalg.norm(own)
        assert row["relative_error"] == pytest.approx(distance, rel=1e-9)
        assert row["y_reference"] == pytest.approx(other[-1], rel=1e-9)


@pytest.mark.parametrize("name", DUAL)
def test_the_lowest_weight_is_the_least_that_a_value_is_multiplied_by(
    equivalence: Path, name: str
) -> None:
    """Read off the layer's output for values that are unit vectors, one for each token."""
    table = pd.read_csv(equivalence / f"{name}.csv")
    data, _ = load_tensors(equivalence / "data.safetensors")
    tensors, _ = load_tensors(equivalence / f"{name}.safetensors")
    assert (table.groupby(["run", "prompt"])["lowest_weight"].nunique() == 1).all()
    model = {key: value for key, value in MODELS[name].items() if key != "g1"}
    for row in table[table["scheme"] == "full_batch"].to_dict("records"):
        one = {n: a[row["run"]].astype(np.float64) for n, a in tensors.items()}
        tokens = data["test_tokens"][row["run"], row["prompt"]].astype(np.float64)
        # W_V h_i is the i-th unit vector: tokens are linearly independent, N + 1 in 12 dimensions.
        W_V = np.vstack([np.linalg.pinv(tokens).T, np.zeros((D - N - 1, D))])
        g2 = list(one.get("g2", []))
        features = one["omega"], one["log_weight"]
        layer = naive.Layer(one["W_Q"], one["W_K"], W_V, [], g2, *features)
        weights = naive.output(model, layer, tokens)[: N + 1]
        assert row["lowest_weight"] == pytest.approx(weights.min(), rel=1e-8, abs=1e-12)


@pytest.mark.parametrize("name", DUAL)
def test_equivalence_trajectory(equivalence: Path, name: str) -> None:
    tensors, config = load_tensors(equivalence / f"{name}_trajectory.safetensors")
    table = pd.read_csv(equivalence / f"{name}.csv")
    assert config == equivalence_config(name)
    steps = {"full_batch": 1, "single_sample": 3 * N, "single_sample_shared_decay": 3 * N}
    steps["full_batch_from_eq12"] = 1
    assert {key.partition("/")[0] for key in tensors} <= {*steps, "y_true", "y_layer"}
    for scheme, rows in table[table["scheme"] != "restated"].groupby("scheme"):
        path, cosine = tensors[f"{scheme}/path"], tensors[f"{scheme}/cosine"]
        assert path.shape == cosine.shape == (RUNS, 4, steps[str(scheme)] + 1)
        assert path[..., -1].ravel().tolist() == rows["y_reference"].tolist()
        assert (np.abs(cosine) <= 1 + 1e-12).all()
        assert tensors[f"{scheme}/cosine_others"].shape == cosine.shape
    start = {key: array[..., 0] for key, array in tensors.items() if key.endswith("/path")}
    elsewhere = start.pop("full_batch_from_eq12/path", None)
    assert elsewhere is None or not np.isclose(elsewhere, start["full_batch/path"]).any()
    assert all(np.array_equal(array, start["full_batch/path"]) for array in start.values())


@pytest.mark.slow
def test_too_small_a_tolerance_fails_and_names_the_rows(folder: Path, tmp_path: Path) -> None:
    done = run_apart(
        "equivalence",
        equivalence_config("softmax", tolerance=1e-18),
        data=folder / "data.safetensors",
        pretrained=folder / "softmax.safetensors",
        table=tmp_path / "x.csv",
        trajectory=tmp_path / "x.safetensors",
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "of 16 exact identities are off by more than 1e-18" in done.stderr
    assert all(name in done.stderr for name in ("n5", "softmax", "full_batch", "relative_error"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("at_once", [1, TEST_PROMPTS, RUNS * TEST_PROMPTS])
def test_more_prompts_are_compared_than_followed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """Those that are not followed are compared in float64, at the end of their descent."""
    monkeypatch.setattr("icl_contrastive.limits.DESCENDING_PROMPTS", at_once)
    monkeypatch.setattr("icl_contrastive.limits.FOLLOWED_PROMPTS", 3)
    monkeypatch.setattr("icl_contrastive.analysis.reading.FULL_WIDTH_PROMPTS", 2)
    monkeypatch.setattr("icl_contrastive.analysis.equivalence.FULL_WIDTH_PROMPTS", 2)
    monkeypatch.setattr("icl_contrastive.limits.FULL_WIDTH_PROMPTS", 2)
    run_here(
        "equivalence",
        equivalence_config("regularized", prompts=TEST_PROMPTS),
        data=folder / "data.safetensors",
        pretrained=folder / "regularized.safetensors",
        table=tmp_path / "x.csv",
        trajectory=tmp_path / "x.safetensors",
    )
    table = pd.read_csv(tmp_path / "x.csv")
    assert table.groupby(["run", "scheme"])["prompt"].nunique().unique() == [TEST_PROMPTS]
    assert table["relative_error"].notna().all()
    followed, controlled = table["prompt"] < 3, (table["prompt"] < 2) & (table["run"] == 0)
    assert (table["relative_error_float32"].notna() == followed).all()
    assert (table["full_width_deviation"].notna() == controlled).all()
    tensors, _ = load_tensors(tmp_path / "x.safetensors")
    assert {array.shape[:2] for array in tensors.values()} == {(RUNS, 3)}
    for scheme, rows in table[followed].groupby("scheme"):
        paths = tensors[f"{scheme}/path"].reshape(len(rows), -1)
        assert paths[:, -1].tolist() == rows["y_reference"].tolist()


@pytest.mark.parametrize("variant", DUAL)
def test_a_run_is_compared_alike_whatever_others_there_are(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variant: str
) -> None:
    """Three runs, of which two descend at once: to the bit what each of them gives alone."""
    monkeypatch.setattr("icl_contrastive.limits.DESCENDING_PROMPTS", 2 * TEST_PROMPTS)
    monkeypatch.setattr("icl_contrastive.limits.FOLLOWED_PROMPTS", 4)
    monkeypatch.setattr("icl_contrastive.analysis.equivalence.FULL_WIDTH_PROMPTS", 2)
    monkeypatch.setattr("icl_contrastive.limits.FULL_WIDTH_PROMPTS", 2)

    def compared(*runs: tuple[int, int]) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
        """The table and the trajectories of pairs of a run's prompts and a run's layer."""
        at = tmp_path / str(runs)
        at.mkdir()
        for name, which in zip(("data", variant), zip(*runs, strict=True), strict=True):
            tensors, made_by = load_tensors(folder / f"{name}.safetensors")
            of_runs = {key: array[list(which)] for key, array in tensors.items()}
            save_tensors(at / name, of_runs, made_by | {"runs": len(runs)}, {})
        run_here(
            "equivalence",
            equivalence_config(variant, prompts=TEST_PROMPTS, runs=len(runs)),
            data=at / "data",
            pretrained=at / variant,
            table=at / "x.csv",
            trajectory=at / "x.safetensors",
        )
        return pd.read_csv(at / "x.csv"), load_tensors(at / "x.safetensors")[0]

    runs = ((0, 0), (1, 1), (0, 1))
    table, tensors = compared(*runs)
    for number, run in enumerate(runs):
        alone, of_run = compared(run)
        rows = table[table["run"] == number].assign(run=0).reset_index(drop=True)
        left = ["full_width_deviation"] if number else []  # of the first run alone
        pd.testing.assert_frame_equal(rows.drop(columns=left), alone.drop(columns=left))
        for name, array in of_run.items():
            assert array.tobytes() == tensors[name][number].tobytes(), name


def test_a_descent_that_diverges_is_told_with_its_run_and_epoch() -> None:
    config = {"variant": "mine", "setting": "n5", "epochs": 3, "model": {"alpha": 7}}
    path, prediction = np.ones((3, 4, 3 * N + 1)), np.ones((3, 6, D))
    check_descents(config, {"single_sample": {"path": path, "prediction": prediction}})
    path[1, 2, N + 1 :] = np.inf
    with pytest.raises(StepError, match=r"single_sample of run 1 is not finite in epoch 2 of"):
        check_descents(config, {"single_sample": {"path": path, "prediction": prediction}})
    prediction[2, 5, 0] = np.nan
    of_float32 = {"restated": {}, "single_sample": {"path": path[:, :0], "prediction": prediction}}
    with pytest.raises(StepError, match=r"single_sample of run 2 is not finite in float32; "):
        check_descents(config, of_float32)


def test_a_descent_that_is_not_that_at_full_width_fails(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Coordinates that keep φ(k)ᵀφ(q), so what is predicted at the query, but not φ(k)ᵀφ(k')."""
    compressed = DualProblem.compressed

    def wrong(problem: DualProblem) -> DualProblem:
        right, stretch = compressed(problem), torch.linspace(1, 2, N + 2).double()
        return replace(
            right,
            key_features=(right.key_features.double() * stretch).to(right.values.dtype),
            query_key_features=(right.query_key_features * stretch).to(right.values.dtype),
            query_features=(right.query_features / stretch).to(right.values.dtype),
        )

    monkeypatch.setattr(DualProblem, "compressed", wrong)
    with pytest.raises(SystemExit) as raised:
        run_here(
            "equivalence",
            equivalence_config("regularized"),
            data=folder / "data.safetensors",
            pretrained=folder / "regularized.safetensors",
            table=tmp_path / "x.csv",
            trajectory=tmp_path / "x.safetensors",
        )
    assert "descents at full width are off by more than 1e-10" in str(raised.value.code)
    assert list(tmp_path.iterdir()) == []


BREAKS: dict[str, Callable[[Any], dict[str, Callable[..., Any]]]] = {
    "wrong sign of the loss": lambda kind: {"loss": lambda *args: -kind.loss(*args)},
    "no W_0": lambda kind: {"initial_weight": lambda *args: 0 * kind.initial_weight(*args)},
    "W_0 of another normalizer": lambda kind: {
        "initial_weight": lambda *args: 1.01 * kind.initial_weight(*args)
    },
}


@pytest.mark.parametrize("wrong", BREAKS)
@pytest.mark.parametrize("name", DUAL)
def test_a_dual_broken_by_hand_fails_and_names_the_rows(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, wrong: str
) -> None:
    variant = build_variant(MODELS[name])
    kind = type(variant)
    broken = type("Broken", (kind,), BREAKS[wrong](kind))(**vars(variant))
    monkeypatch.setattr("icl_contrastive.variants.build_variant", lambda model: broken)
    with pytest.raises(SystemExit) as raised:
        run_here(
            "equivalence",
            equivalence_config(name),
            data=folder / "data.safetensors",
            pretrained=folder / f"{name}.safetensors",
            table=tmp_path / "x.csv",
            trajectory=tmp_path / "x.safetensors",
        )
    message = str(raised.value.code)
    exact = 8 if name == "regularized" else 16
    assert message.startswith(f"error: {exact} of {exact} exact identities are off")
    assert "full_batch" in message
    assert name in message
    assert list(tmp_path.iterdir()) == []


# trajectory


@pytest.mark.parametrize("name", ["softmax", "regularized"])
def test_trajectory(equivalence: Path, tmp_path: Path, name: str) -> None:
    output = tmp_path / "x.csv"
    tensors, _ = load_tensors(equivalence / f"{name}_trajectory.safetensors")
    run_here(
        "trajectory",
        {"setting": "n5", "variant": name},
        trajectory=equivalence / f"{name}_trajectory.safetensors",
        table=output,
    )
    table = pd.read_csv(output)
    keys = ["setting", "variant", "run", "prompt", "scheme", "step"]
    assert list(table) == [*keys, "y_reference", "cosine", "cosine_others", "y_layer", "y_true"]
    assert_ordered(table, *keys)
    schemes = [s for s in ("single_sample", "single_sample_shared_decay") if f"{s}/path" in tensors]
    assert table["scheme"].unique().tolist() == schemes
    assert len(schemes) == (2 if name == "regularized" else 1)
    assert table["step"].max() == 3 * N
    for scheme in schemes:
        rows = table[table["scheme"] == scheme]
        assert rows["y_reference"].tolist() == tensors[f"{scheme}/path"].ravel().tolist()
        for name in ("cosine", "cosine_others"):
            assert rows[name].tolist() == tensors[f"{scheme}/{name}"].ravel().tolist()
        expected = np.repeat(tensors["y_layer"].ravel(), 3 * N + 1)
        assert rows["y_layer"].tolist() == expected.tolist()


# tables of several jobs


def test_collect_pretraining(folder: Path, tmp_path: Path) -> None:
    names = ["softmax", "exact", "augmented"]
    paths = [folder / f"{name}.safetensors" for name in names]
    run_here("collect_pretraining", pretrained=paths, output=tmp_path / "x.csv")
    table = pd.read_csv(tmp_path / "x.csv")
    assert list(table) == ["setting", "variant", "run", "epoch", "train_mse", "test_mse"]
    assert table["variant"].unique().tolist() == names  # the order given
    assert_ordered(table, "variant", "run", "epoch")
    for name, path in zip(names, paths, strict=True):
        tensors, _ = load_tensors(path)
        rows = table[table["variant"] == name]
        assert rows["epoch"].tolist() == [1, 2, 3] * RUNS
        for curve in ("train_mse", "test_mse"):
            assert rows[curve].astype(np.float32).tolist() == tensors[curve].ravel().tolist()


def test_concatenate(equivalence: Path, tmp_path: Path) -> None:
    paths = [equivalence / f"{name}.csv" for name in ("negative", "softmax")]
    run_here("concatenate", tables=paths, output=tmp_path / "x.csv")
    first, second = (path.read_text() for path in paths)
    assert (tmp_path / "x.csv").read_text() == first + second.partition("\n")[2]


# approximation and diagram

SWEEP = {
    "seed": 7,
    "setting": "n5",
    "variant": "softmax",
    "model": MODELS["softmax"],
    "features": FEATURES,
    "run": 1,
    "prompt": 2,
    "repeats": 3,
    "d_r": [12, 48],
    "shown": [48],
}


def test_approximation(folder: Path, tmp_path: Path) -> None:
    inputs = {"data": folder / "data.safetensors", "pretrained": folder / "softmax.safetensors"}
    outputs = {"errors": tmp_path / "x.csv", "matrices": tmp_path / "m.csv"}
    run_here("approximation", SWEEP, **inputs, **outputs)
    errors, matrices = (pd.read_csv(path) for path in outputs.values())

    assert list(errors) == ["setting", "d_r", "repeat", "matrix", "mse", "mae"]
    assert_ordered(errors, "d_r", "repeat", "matrix")
    assert len(errors) == 2 * 3 * 2
    assert errors["matrix"].unique().tolist() == ["attention", "output"]
    assert errors["mse"].nunique() == len(errors)  # a fresh draw each repeat
    assert (errors["mse"] >= errors["mae"] ** 2).all()

    assert list(matrices) == ["setting", "d_r", "matrix", "row", "column", "value"]
    assert_ordered(matrices.fillna({"d_r": 0}), "d_r", "matrix", "row", "column")
    assert matrices["d_r"].isna().sum() == len(matrices) / 2 == (N + 1) ** 2 + D * (N + 1)
    attention, output = (
        {d_r: rows.pivot(index="row", columns="column", values="value").to_numpy()}
        for name in ("attention", "output")
        for d_r, rows in [(0, matrices[matrices["d_r"].isna() & (matrices["matrix"] == name)])]
    )
    np.testing.assert_allclose(attention[0].sum(0), 1, rtol=1e-12)
    tensors, _ = load_tensors(folder / "softmax.safetensors")
    data, _ = load_tensors(folder / "data.safetensors")
    h = data["test_tokens"][1, 2].astype(np.float64)
    q, k, v = (h @ tensors[f"W_{x}"][1].astype(np.float64).T for x in "QKV")
    norms = np.outer(np.linalg.norm(k, axis=1), np.linalg.norm(q, axis=1))
    scores = np.exp(k @ q.T / norms)
    expected = scores / scores.sum(0)
    np.testing.assert_allclose(attention[0], expected, rtol=1e-12)
    np.testing.assert_allclose(output[0], v.T @ expected, rtol=1e-10, atol=1e-14)
    shown = matrices[matrices["d_r"] == 48]
    for name, exact in (("attention", attention[0]), ("output", output[0])):
        rows = shown[shown["matrix"] == name]
        estimate = rows.pivot(index="row", columns="column", values="value").to_numpy()
        row = errors[(errors["d_r"] == 48) & (errors["repeat"] == 0) & (errors["matrix"] == name)]
        assert row["mse"].item() == pytest.approx(((estimate - exact) ** 2).mean(), rel=1e-10)
        assert row["mae"].item() == pytest.approx(np.abs(estimate - exact).mean(), rel=1e-10)


def test_one_repeat_or_d_r_more_changes_no_other(folder: Path, tmp_path: Path) -> None:
    tables = []
    for name, change in (("a", {}), ("b", {"repeats": 4, "d_r": [24, 12, 48]})):
        run_here(
            "approximation",
            SWEEP | change,
            data=folder / "data.safetensors",
            pretrained=folder / "softmax.safetensors",
            errors=tmp_path / f"{name}.csv",
            matrices=tmp_path / f"{name}_matrices.csv",
        )
        tables.append(pd.read_csv(tmp_path / f"{name}.csv"))
    both = tables[1].merge(tables[0])
    pd.testing.assert_frame_equal(both, tables[0])


ATTENTION_ERRORS = {key: SWEEP[key] for key in ("seed", "setting", "variant", "model", "features")}
ATTENTION_ERRORS |= {"runs": RUNS, "prompts": 4, "draws": 3, "d_r": [12, 48]}
KEYS_OF_ERRORS = ["setting", "run", "projection", "trained", "d_r", "draw", "matrix", "prompt"]


def attention_errors(folder: Path, output: Path, **change: Any) -> pd.DataFrame:
    """The errors; their bias and variance lie beside them, under ``_bias``."""
    run_here(
        "attention_errors",
        ATTENTION_ERRORS | change,
        data=folder / "data.safetensors",
        pretrained=folder / "softmax.safetensors",
        errors=output,
        bias=bias_beside(output),
    )
    return pd.read_csv(output)


def bias_beside(errors: Path) -> Path:
    return errors.with_stem(f"{errors.stem}_bias")


def test_attention_errors(folder: Path, tmp_path: Path) -> None:
    table = attention_errors(folder, tmp_path / "x.csv")
    assert list(table) == list(columns_of("attention_errors"))
    # The layers' own law of omega with every d_r and their own, the other laws with their own.
    swept = {(row.projection, row.trained, row.d_r) for row in table.itertuples()}
    own = {("independent", True, d_r) for d_r in (12, D_R, 48)}
    assert swept == own | {("orthogonal", False, D_R), ("simplex", False, D_R)}
    assert_ordered(table, *KEYS_OF_ERRORS)
    assert len(table) == RUNS * 5 * 3 * 2 * 4
    assert table["mse"].nunique() == len(table)
    assert (table["mse"] >= table["mae"] ** 2).all()
    attention = table[table["matrix"] == "attention"]
    np.testing.assert_allclose(attention["size"], 1 / (N + 1), rtol=1e-12)
    # What uniform weights give is the same for every estimate of a prompt's matrix.
    assert (table.groupby(["run", "matrix", "prompt"])["mse_uniform"].nunique() == 1).all()


def test_attention_errors_are_of_the_runs_own_layers_and_draws(
    folder: Path, tmp_path: Path
) -> None:
    table = attention_errors(folder, tmp_path / "x.csv")
    tensors, _ = load_tensors(folder / "softmax.safetensors")
    data, _ = load_tensors(folder / "data.safetensors")
    for run, draw in ((0, 2), (1, 0)):
        rng = stream(7, "estimates", "n5", run, "independent", 48, draw)
        omega = rng.standard_normal((48, D)).astype(np.float32).astype(np.float64)
        for prompt in (0, 3):  # with one draw for both
            h = data["test_tokens"][run, prompt].astype(np.float64)
            q, k, v = (h @ tensors[f"W_{x}"][run].astype(np.float64).T for x in "QKV")
            q, k = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (q, k))
            pairs = k[:, None] + q[None, :]  # the kernel of the pair is a mean of exp(w (k + q))
            norms = ((k**2).sum(1)[:, None] + (q**2).sum(1)) / 2
            scores = np.exp(pairs @ omega.T - norms[..., None]).mean(-1)
            exact = np.exp(k @ q.T)
            one, other = scores / scores.sum(0), exact / exact.sum(0)
            where = (table["run"] == run) & (table["draw"] == draw) & (table["prompt"] == prompt)
            rows = table[where & table["trained"] & (table["d_r"] == 48)].set_index("matrix")
            uniform = 1 / (N + 1) - other
            for matrix, error, null in (
                ("attention", one - other, uniform),
                ("output", v.T @ (one - other), v.T @ uniform),
            ):
                assert rows["mse"][matrix] == pytest.approx((error**2).mean(), rel=1e-9)
                assert rows["mse_uniform"][matrix] == pytest.approx((null**2).mean(), rel=1e-9)
                nearer = (np.abs(error) < np.abs(null)).mean()
                assert rows["nearer_than_uniform"][matrix] == pytest.approx(nearer)
            relative = np.abs(one / other - 1)
            assert rows["relative"]["attention"] == pytest.approx(np.median(relative), rel=1e-9)
            top = relative[other == other.max(0)]
            assert rows["relative_largest"]["attention"] == pytest.approx(np.median(top), rel=1e-9)
            absolute = np.abs(one - other)
            for name, among in (("largest", other == other.max(0)), ("rest", other < other.max(0))):
                expected = np.median(absolute[among])
                assert rows[f"absolute_{name}"]["attention"] == pytest.approx(expected, rel=1e-9)


def test_more_to_estimate_changes_nothing_else(folder: Path, tmp_path: Path) -> None:
    fewer = attention_errors(folder, tmp_path / "a.csv", draws=1, d_r=[12])
    more = attention_errors(folder, tmp_path / "b.csv")
    pd.testing.assert_frame_equal(more.merge(fewer[KEYS_OF_ERRORS]), fewer)


def test_bias_and_variance_make_up_the_squared_error(folder: Path, tmp_path: Path) -> None:
    errors = attention_errors(folder, tmp_path / "x.csv")
    table = pd.read_csv(bias_beside(tmp_path / "x.csv"))
    assert list(table) == list(columns_of("attention_bias"))
    keys = [key for key in KEYS_OF_ERRORS if key != "draw"]
    assert_ordered(table, *keys)
    means = errors.groupby(keys, as_index=False, sort=False)["mse"].mean()
    both = table.merge(means, on=keys, validate="one_to_one")
    assert len(both) == len(table) == len(means)
    np.testing.assert_allclose(both["bias2"] + both["variance"], both["mse"], rtol=1e-9)
    assert (table["variance"] > 0).all()


def test_a_single_draw_has_no_variance(folder: Path, tmp_path: Path) -> None:
    attention_errors(folder, tmp_path / "x.csv", draws=1)
    path = bias_beside(tmp_path / "x.csv")
    table = read_table("attention_bias", path).rows
    assert table[["bias2", "variance"]].isna().all(axis=None)


def test_diagram(folder: Path, tmp_path: Path) -> None:
    name = "negative"
    config = layer_config(name, run=1, prompt=2)
    run_here(
        "diagram",
        config,
        data=folder / "data.safetensors",
        pretrained=folder / f"{name}.safetensors",
        output=tmp_path / "x.csv",
    )
    table = pd.read_csv(tmp_path / "x.csv")
    assert list(table) == ["matrix", "row", "column", "value"]
    assert_ordered(table, "matrix", "row", "column")
    matrices = {
        str(matrix): rows.pivot(index="row", columns="column", values="value").to_numpy()
        for matrix, rows in table.groupby("matrix", sort=False)
    }
    n, shown = N + 1, min(48, D_R)
    shapes = dict.fromkeys(["H", "Q", "K", "V"], (D, n)) | {
        "attention": (n, 1),
        "h_hat": (D, 1),
        "phi_K": (shown, N),
        "phi_q": (shown, 1),
        "W_0": (D, shown),
        "W_hat": (D, shown),
        "y_hat_before": (D, N),
        "y_hat_after": (D, N),
        "y_test": (D, 1),
    }
    assert {matrix: array.shape for matrix, array in matrices.items()} == shapes
    np.testing.assert_allclose(matrices["y_test"], matrices["h_hat"], rtol=1e-10)
    np.testing.assert_allclose(matrices["attention"].sum(), 1)
    data, _ = load_tensors(folder / "data.safetensors")
    np.testing.assert_array_equal(matrices["H"].T, data["test_tokens"][1, 2])
    # all features are shown here: the whole of both weights
    for weight, predictions in (("W_0", "y_hat_before"), ("W_hat", "y_hat_after")):
        product = matrices[weight] @ matrices["phi_K"]
        np.testing.assert_allclose(product, matrices[predictions], rtol=1e-9, atol=1e-12)
    test = matrices["W_hat"] @ matrices["phi_q"]
    np.testing.assert_allclose(test, matrices["y_test"], rtol=1e-9, atol=1e-12)


# Broken input

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda whole: whole[:-7],
    "empty": lambda whole: b"",
    "text": lambda whole: b"x\n",
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(
    ("step", "which"),
    [
        ("pretrain", "inputs"),
        *product(["equivalence", "approximation", "diagram"], ["data", "pretrained"]),
    ],
)
def test_damaged_tensors_are_named(
    folder: Path, tmp_path: Path, step: str, which: str, damage: str
) -> None:
    inputs = {"data": folder / "data.safetensors", "pretrained": folder / "softmax.safetensors"}
    if step == "pretrain":
        inputs = {"inputs": inputs["data"]}
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(DAMAGES[damage](inputs[which].read_bytes()))
    inputs[which] = damaged
    config = SWEEP | {"epochs": 1, "learning_rate": 0.1, "runs": RUNS, "prompts": 1, "tolerance": 1}
    others: dict[str, Any] = {
        "pretrain": {"output": tmp_path / "x", "device": "cpu"},
        "equivalence": {"table": tmp_path / "x", "trajectory": tmp_path / "y"},
        "approximation": {"errors": tmp_path / "x", "matrices": tmp_path / "y"},
        "diagram": {"output": tmp_path / "x"},
    }
    with pytest.raises(SystemExit) as raised:
        run_here(step, config, **inputs, **others[step])
    assert str(raised.value.code).startswith(f"error: {damaged} is damaged")
    assert list(tmp_path.iterdir()) == [damaged]


def test_all_that_a_step_shares_with_its_input_is_compared(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_tensors(path, {"x": np.zeros(1)}, {"seed": 7, "tasks": "shared", "prompts": 4, "a": 1})
    check_origin({"seed": 7, "tasks": "shared", "prompts": 32, "epochs": 2, "b": 1}, path)
    with pytest.raises(StepError, match="made with tasks = 'shared', and the config now says 'x'"):
        check_origin({"seed": 7, "tasks": "x"}, path)


@pytest.mark.parametrize(
    "message",
    [
        "[enforce fail at alloc_cpu.cpp:126] DefaultCPUAllocator: can't allocate memory: you tried",
        "[enforce fail at alloc_cpu.cpp:113] DefaultCPUAllocator: not enough memory: you tried",
        "CUDA out of memory. Tried to allocate 2.00 GiB.",
        "CUDA error: out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "std::bad_alloc",
    ],
)
def test_memory_that_runs_out_is_told(message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def main(*_: object) -> None:
        raise RuntimeError(message)

    monkeypatch.setattr(sys, "argv", ["step"])
    with pytest.raises(SystemExit, match=r"out of memory .* run fewer jobs at once"):
        run_step(main)


def test_other_errors_that_speak_of_memory_are_what_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def main(*_: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(sys, "argv", ["step"])
    with pytest.raises(RuntimeError, match="illegal memory access"):
        run_step(main)


def test_damaged_tables_are_named(equivalence: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.csv"
    damaged.write_bytes((equivalence / "softmax.csv").read_bytes()[:-4])
    with pytest.raises(SystemExit) as raised:
        run_here("concatenate", tables=[damaged], output=tmp_path / "x.csv")
    assert str(raised.value.code).startswith(f"error: {damaged} is damaged")


def test_damage_shows_no_traceback(folder: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes((folder / "softmax.safetensors").read_bytes()[:1000])
    done = run_apart("collect_pretraining", pretrained=[damaged], output=tmp_path / "x.csv")
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {damaged} is damaged")
    assert len(done.stderr.splitlines()) == 1


def test_missing_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"absent\.safetensors does not exist"):
        run_here(
            "pretrain",
            pretrain_config("softmax"),
            inputs=tmp_path / "absent.safetensors",
            output=tmp_path / "x.safetensors",
            device="cpu",
        )


@pytest.mark.parametrize("step", ["data", "concatenate"])
def test_wrong_options_are_told(step: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        run_here(step, unknown="x")
    assert raised.value.code == 2
    assert "required" in capsys.readouterr().err
