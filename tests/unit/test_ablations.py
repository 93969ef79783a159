"""The ablations: which there are, what is read off them, and how they are drawn."""

from __future__ import annotations

import argparse
import copy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from icl_contrastive.artifacts.files import load_table, load_tensors, save_table
from icl_contrastive.artifacts.tables import read_table
from icl_contrastive.command import Config
from icl_contrastive.config import ConfigError, Experiment, jobs, read_experiment
from icl_contrastive.config.ablations import DECISIONS, ablation_paths, list_ablations
from icl_contrastive.figures import ablations as figure
from icl_contrastive.figures import style
from icl_contrastive.figures.command import main
from icl_contrastive.prediction import predict
from icl_contrastive.steps import ablation as ablation_step
from icl_contrastive.steps import data as data_step
from icl_contrastive.steps import pretrain as pretrain_step
from icl_contrastive.steps.layer import load_layer, load_test_prompts
from icl_contrastive.variants import build_variant

ROOT = Path(__file__).parents[2]
SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text(encoding="utf-8"))
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))


def experiment(**changes: Any) -> Experiment:
    config = copy.deepcopy(CONFIG)
    config["ablations"] |= changes
    return read_experiment(config, SCHEMA)


def test_each_decision_has_its_other_values() -> None:
    one = experiment(init=["uniform", "normal"], batch=[1, 4], runs=[3, 10, 40], omega=[])
    trained = {name for name, ablation in list_ablations(one).items() if ablation.is_trained}
    assert trained == {
        "normalization-scaled",
        "normalization-none",
        "init-normal",
        *(f"init_scale-{factor}" for factor in (0.05, 0.2, 2)),
        "prompts-fresh",
        "batch-4",
        "runs-40",
    }
    looked_at = set(list_ablations(one)) - trained
    assert looked_at == {
        "base-softmax",
        "runs-3",
        "decay-every_step",
        "decay-shared",
        "negatives-section_5.5",
        "negatives-eq18",
    }
    defaults = {name for name, ablation in list_ablations(one).items() if ablation.default}
    assert defaults == {"base-softmax", "decay-every_step", "negatives-section_5.5"}


def test_an_ablation_changes_one_key_of_the_job() -> None:
    one = experiment()
    base = jobs.pretrain(one, "n15", "softmax")
    assert {key: base[key] for key in DECISIONS} == {
        "normalization": "unit",
        "init": "uniform",
        "init_scale": 1,
        "omega": "kept",
        "prompts": "fixed",
        "batch": 1,
    }
    job = jobs.ablation_training(one, "normalization-none")
    base["checkpoints"] = []  # nothing is kept on the way
    assert job == base | {"normalization": "none"}
    assert ablation_paths(one, "normalization-none") == (
        "results/data/n15.safetensors",
        "results/ablations/normalization-none.safetensors",
    )
    # More runs than there are need prompts of their own.
    more = jobs.ablation_training(one, "runs-30")
    assert more == base | {"runs": 30}
    assert ablation_paths(one, "runs-30")[0] == "results/ablations/data/30_runs.safetensors"
    data = jobs.ablation_data(one, "30")
    assert data == jobs.data(one, "n15") | {"runs": 30}
    # Fewer are among those that there are.
    assert ablation_paths(one, "runs-3")[1] == "results/pretrained/n15/softmax.safetensors"


def test_the_forms_of_the_negatives_are_compared_at_the_same_place() -> None:
    one = experiment()
    pair = [list_ablations(one)[f"negatives-{form}"].variant for form in ("section_5.5", "eq18")]
    models = [one.variants[name].model for name in pair]
    for key in ("k", "beta"):
        assert models[0][key] == models[1][key]
    config = copy.deepcopy(CONFIG)
    config["variants"]["negative_eq18"]["k"] = 2
    assert not any("negatives" in name for name in list_ablations(read_experiment(config, SCHEMA)))


def test_without_the_section_there_are_none() -> None:
    config = copy.deepcopy(CONFIG)
    del config["ablations"]
    assert list_ablations(read_experiment(config, SCHEMA)) == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"setting": "n63"}, "ablations.setting: 'n63' is not a setting"),
        ({"variant": "exact_softmax"}, "ablations.variant: 'exact_softmax' is not allowed"),
        ({"variant": "negative"}, "ablations.variant: 'negative' is a grid"),
        ({"init": ["xavier"]}, "must be one of uniform, normal, standard_normal"),
        ({"normalization": ["l2"]}, "must be one of unit, scaled, none"),
        ({"scaling": [False]}, "ablations.scaling: no longer a key; must be ablations.normaliz"),
        ({"batch": [0]}, "must be an integer of at least 1"),
        ({"decay": "shared"}, "ablations.decay: unknown key"),
    ],
)
def test_a_broken_section_is_told(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        experiment(**changes)


RUNS, N, D_X = 2, 5, 4
SHAPE = {"seed": 1, "runs": RUNS, "setting": "s", "demonstrations": N, "prompts": 20}
SHAPE |= {"test_prompts": 6, "tasks": "shared", "d_x": D_X, "d_y": 1}
JOB: dict[str, Any] = {
    "seed": 1,
    "runs": RUNS,
    "setting": "s",
    "variant": "v",
    "features": {"family": "positive", "d_r": 20},
    "normalization": "unit",
    "learning_rate": 0.01,
    "epochs": 2,
}


def look(folder: Path, model: dict[str, Any], **config: Any) -> list[dict[Any, Any]]:
    """The table of an ablation of a small training."""
    data, pretrained, output = (folder / name for name in ("d.safetensors", "p.safetensors", "t"))
    data_step.main(argparse.Namespace(output=data, code=[]), SHAPE)
    arguments = argparse.Namespace(inputs=[data], output=pretrained, device="cpu", code=[])
    pretrain_step.main(arguments, JOB | {"model": model})
    about = {"decision": "x", "value": "y", "default": False, "runs": RUNS, "epochs": 3}
    ablation_step.main(
        argparse.Namespace(data=data, pretrained=pretrained, output=output),
        about | {"prompts": 4, "scheme": "full_batch"} | config,
    )
    return [dict(row) for _, row in load_table(output).iterrows()]


def test_the_table(tmp_path: Path) -> None:
    model = {"model": "softmax"}
    rows = look(tmp_path, model)
    assert [row["run"] for row in rows] == ["0", "1"]
    arrays = load_tensors(tmp_path / "p.safetensors")[0]
    for run, row in enumerate(rows):
        assert (row["decision"], row["value"], row["default"]) == ("x", "y", "False")
        assert float(row["equivalence_error"]) < 1e-10
        for name in ("train_mse", "test_mse"):
            assert float(row[name]) == pytest.approx(float(arrays[name][run, -1]))
        layer = load_layer(tmp_path / "p.safetensors", run, torch.float64)
        tokens, targets = load_test_prompts(
            tmp_path / "d.safetensors", run, slice(None), torch.float64
        )
        output = predict(layer.weights, tokens, build_variant(model), layer.features)
        errors = (output[:, -1] - targets[:, 0]).abs().numpy()
        assert float(row["absolute_error"]) == pytest.approx(np.median(errors))


def test_the_ways_to_share_the_decay_differ(tmp_path: Path) -> None:
    model = {"model": "regularized", "form": "eq14", "alpha": 0.05}
    in_full, shared, full_batch = (
        float(look(tmp_path, model, scheme=scheme)[0]["equivalence_error"])
        for scheme in ("single_sample", "single_sample_shared_decay", "full_batch")
    )
    assert full_batch < 1e-10 < shared < in_full


@pytest.mark.slow
def test_the_figure(tmp_path: Path) -> None:
    tables = []
    for value, default in (("softmax", True), ("normal", False), ("every_step", True)):
        config = {"value": value, "default": default}
        config["decision"] = {"softmax": "base", "normal": "init"}.get(value, "decay")
        look(tmp_path, {"model": "softmax"}, **config)
        tables.append(load_table(tmp_path / "t"))
    path = tmp_path / "ablations.csv"
    save_table(path, pd.concat(tables))
    outputs = [tmp_path / name for name in ("a.pdf", "a.png", "b.pdf", "b.png")]
    for pair in (outputs[:2], outputs[2:]):
        arguments = ["--config", "{}", "--ablations", str(path), "--output", *map(str, pair)]
        main(figure.draw, arguments)
    for one, other in zip(outputs[:2], outputs[2:], strict=True):
        assert one.read_bytes() == other.read_bytes()
    with style.applied():
        drawn = figure.draw(Config(), read_table("ablations", path))
    labels = [text.get_text() for text in drawn.axes[0].get_yticklabels()]
    assert labels == ["as configured", "initial weights: normal", "decay in single steps: in full"]
