"""Artifacts of another kind, config or version, and training that comes to nothing."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from safetensors.numpy import load_file, save_file
from snakemake.utils import update_config

from icl_contrastive.artifacts.files import load_tensors, save_tensors
from icl_contrastive.config import Experiment, jobs, read_experiment

from ..project import ROOT, Project
from .running import TARGETS, Folder


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    """That of the smoke configuration."""
    config, smoke, schema = (
        yaml.safe_load((ROOT / name).read_text("utf-8"))
        for name in ("config.yaml", "workflow/smoke.yaml", "workflow/schemas/config.schema.yaml")
    )
    update_config(config, smoke)
    return read_experiment(config, schema)


def error_of(module: str, config: str = "{}", **paths: Any) -> str:
    """The one message that a step or figure ends with."""
    name, *figure = f"icl_contrastive.{module}".split()
    arguments = [*figure, "--config", config]
    for option, value in paths.items():
        values = value if isinstance(value, list) else [value]
        arguments += [f"--{option.replace('_', '-')}", *map(str, values)]
    sys.modules.pop(name, None)  # runpy warns of a module that is imported already
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [name, *arguments])
        with pytest.raises(SystemExit) as raised:
            runpy.run_module(name, run_name="__main__")
    return str(raised.value.code)


@pytest.mark.fault("An artifact of another kind given to a step")
def test_another_kind(smoke: Project, experiment: Experiment, tmp_path: Path) -> None:
    results = smoke.root / "results"
    data, pretrained = (
        results / "data/n15.safetensors",
        results / "pretrained/n15/softmax.safetensors",
    )
    trajectory = results / "equivalence/n15/softmax.safetensors"
    x, y, z = tmp_path / "x", tmp_path / "y", tmp_path / "z"
    layer = {"data": data, "pretrained": pretrained}
    swapped = [layer | {"pretrained": data}, layer | {"data": pretrained}]
    swapped += [layer | {"pretrained": trajectory}]
    cases: list[tuple[str, str, dict[str, Any], Path]] = []
    for inputs in swapped:
        wrong = next(inputs[key] for key in layer if inputs[key] != layer[key])
        for step, config, outputs in (
            (
                "equivalence",
                jobs.as_json(jobs.equivalence(experiment, "n15", "softmax")),
                {"table": x, "trajectory": y},
            ),
            (
                "approximation",
                jobs.as_json(jobs.approximation(experiment, "n15")),
                {"errors": x, "matrices": y},
            ),
            (
                "families",
                jobs.as_json(jobs.families(experiment, "n15")),
                {"errors": x, "closed-forms": y, "times": z},
            ),
            ("diagram", jobs.as_json(jobs.diagram(experiment)), {"output": x}),
            (
                "controls",
                jobs.as_json(jobs.controls(experiment, "n15")),
                {"controls": x, "solutions": y},
            ),
            (
                "training_length",
                jobs.as_json(jobs.training_length(experiment, "n15")),
                {"output": x},
            ),
        ):
            cases.append((f"steps.{step}", config, inputs | outputs, wrong))
    model = jobs.as_json(jobs.pretrain(experiment, "n15", "softmax"))
    cases += [
        (
            "steps.pretrain",
            model,
            {"inputs": [pretrained], "output": x, "device": "cpu"},
            pretrained,
        ),
        ("steps.collect_pretraining", "{}", {"pretrained": [data], "output": x}, data),
        ("steps.family_training", "{}", {"pretrained": [data], "output": x}, data),
        (
            "steps.trajectory",
            jobs.as_json(jobs.trajectory(experiment, "n15", "softmax")),
            {"trajectory": pretrained, "table": x},
            pretrained,
        ),
    ]
    tables = {name: results / f"tables/{name}.csv" for name in ("pretraining", "matrices")}
    cases += [
        (
            "steps.concatenate",
            "{}",
            {"tables": list(tables.values()), "output": x},
            tables["matrices"],
        ),
        ("steps.concatenate", "{}", {"tables": [data], "output": x}, data),
        (
            "steps.family_requirements",
            jobs.as_json(jobs.family_requirements(experiment)),
            {"families": tables["matrices"], "output": x},
            tables["matrices"],
        ),
        (
            "figures figure_6",
            jobs.as_json(jobs.figure(experiment, "figure_6")),
            {"matrices": tables["pretraining"], "output": tmp_path / "x.png"},
            tables["pretraining"],
        ),
    ]
    for module, config, paths, wrong in cases:
        message = error_of(module, config, **paths)
        assert message.startswith("error: "), (module, message)
        assert str(wrong) in message
        assert re.search("of another kind or version|different columns|is damaged", message)
        assert list(tmp_path.iterdir()) == []


def remade(path: Path, **changes: Any) -> None:
    """Rewrite an artifact as another config would have made it."""
    tensors, config = load_tensors(path)
    save_tensors(path, tensors, dict(config) | changes)


def without_metadata(path: Path) -> None:
    save_file(load_file(path), path)


def renamed_tensor(path: Path) -> None:
    tensors, config = load_tensors(path)
    changed = {name.replace("train_mse", "mse"): array for name, array in tensors.items()}
    save_tensors(path, changed, config)


def without_column(path: Path) -> None:
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    table.drop(columns=table.columns[-1]).to_csv(path, index=False)


@pytest.mark.fault("Old results, of another version or config")
def test_old_results(smoke: Project, experiment: Experiment, tmp_path: Path) -> None:
    """The way of each into what hangs on it is barred."""
    results, x, y = smoke.root / "results", tmp_path / "x", tmp_path / "y"
    data = results / "data/n15.safetensors"
    pretrain = (
        *("steps.pretrain", jobs.as_json(jobs.pretrain(experiment, "n15", "softmax"))),
        *("inputs", {"output": x, "device": "cpu"}),
    )
    approximation = (
        *("steps.approximation", jobs.as_json(jobs.approximation(experiment, "n15")), "pretrained"),
        {"data": data, "errors": x, "matrices": y},
    )
    collect = ("steps.collect_pretraining", "{}", "pretrained", {"output": x})
    figure = (
        *("figures figure_6", jobs.as_json(jobs.figure(experiment, "figure_6")), "matrices"),
        {"output": tmp_path / "x.png"},
    )
    trained, matrices = "pretrained/n15/softmax.safetensors", "tables/matrices.csv"
    model = {"attention": "exact", "model": "softmax"}
    cases: list[tuple[str, Callable[[Path], None], tuple[str, str, str, dict[str, Any]], str]] = [
        ("data/n15.safetensors", lambda path: remade(path, seed=1), pretrain, "seed = 1,"),
        ("data/n15.safetensors", lambda path: remade(path, runs=9), pretrain, "runs = 9,"),
        ("data/n15.safetensors", without_metadata, pretrain, "is damaged"),
        (trained, lambda path: remade(path, model=model), approximation, "model = "),
        (trained, renamed_tensor, collect, "it has no 'train_mse', but"),
        (matrices, without_column, figure, "it has no 'value', but"),
    ]
    for artifact, age, (module, config, option, others), message in cases:
        old = tmp_path / Path(artifact).name
        shutil.copy(results / artifact, old)
        age(old)
        error = error_of(module, config, **{option: old}, **others)
        assert error.startswith(f"error: {old} ")
        assert message in error
        assert "run again" in error
        assert [path.name for path in tmp_path.iterdir()] == [old.name]
        old.unlink()


@pytest.mark.fault("Results without their `.snakemake`")
def test_results_without_their_record(finished: Folder, whole: Folder) -> None:
    shutil.rmtree(finished.root / ".snakemake")
    other_seed = finished.root / "seed.yaml"
    other_seed.write_text("seed: 1\n", encoding="utf-8")
    plan = finished.make(*TARGETS, "--dry-run", config=(other_seed,))
    assert "jobs have missing provenance/metadata" in plan
    trained = "pretrained/n31/softmax.safetensors"
    finished.path(trained).unlink()
    run = finished.run(f"results/{trained}", config=(other_seed,))
    assert run.returncode == 1
    assert "was made with seed = 2023, and the config now says 1; delete it and" in run.stdout
    finished.make(f"results/{trained}")
    finished.holds_nothing_but(whole)


@pytest.mark.fault("Divergence in training")
def test_divergence_in_training(finished: Folder, whole: Folder) -> None:
    """With --keep-going the others go on: nothing that does not need it is lost."""
    config = finished.root / "wild.yaml"
    wild = {"model": "softmax", "learning_rate": 1e6, "settings": ["n31"]}
    config.write_text(json.dumps({"variants": {"wild": wild}}), encoding="utf-8")
    for path in finished.path("figures").iterdir():
        path.unlink()
    run = finished.run(
        "results/equivalence/n31/wild.csv", *TARGETS, "--keep-going", config=(config,)
    )
    assert run.returncode == 1
    assert re.search(
        r"error: variant wild in setting n31: the training error of run \d is not finite after "
        r"epoch \d; lower the learning rate \(now 1e\+06\)",
        run.stdout,
    )
    finished.equals(whole)


@pytest.mark.fault("Divergence in the descent of a regularized variant")
def test_divergence_in_a_descent(smoke: Project, experiment: Experiment, tmp_path: Path) -> None:
    results = smoke.root / "results"
    variant = "regularized_eq14_alpha0.01"
    trained = tmp_path / "trained.safetensors"
    for alpha, epoch in ((-1e30, 1), (-1e200, 1)):
        trained.write_bytes((results / f"pretrained/n15/{variant}.safetensors").read_bytes())
        config = jobs.equivalence(experiment, "n15", variant)
        config["model"]["alpha"] = alpha
        remade(trained, model=config["model"])
        message = error_of(
            "steps.equivalence",
            json.dumps(config),
            data=results / "data/n15.safetensors",
            pretrained=trained,
            table=tmp_path / "x.csv",
            trajectory=tmp_path / "x.safetensors",
        )
        for part in (variant, "setting n15", "run 0", f"epoch {epoch} ", f"alpha (now {alpha})"):
            assert part in message, message
        assert [path.name for path in tmp_path.iterdir()] == ["trained.safetensors"]
