"""Every decision's values go through the smallest pipeline, and every two through its steps."""

from __future__ import annotations

import importlib
from argparse import Namespace
from collections.abc import Iterator
from itertools import combinations, product
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from icl_contrastive.command import read_config
from icl_contrastive.config import jobs, read_experiment
from icl_contrastive.features import FAMILIES

from ..project import ROOT, Project

Row = dict[str, Any]

SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text(encoding="utf-8"))
OPEN: dict[str, list[Any]] = {"init_scale": [1, 0.3], "batch": [1, 3]}
"""Values of the decisions that are numbers."""
DECISIONS: dict[str, list[Any]] = {
    **{
        key: part.get("enum") or OPEN[key]
        for key, part in SCHEMA["properties"]["pretraining"]["properties"].items()
    },
    "tasks": SCHEMA["properties"]["settings"]["additionalProperties"]["properties"]["tasks"][
        "enum"
    ],
}
VARIANTS: list[Row] = [
    {"model": "softmax", "attention": "exact"},
    {"model": "softmax", "features": {"family": "elu+1"}},
    {"model": "regularized", "form": "eq14", "alpha": 0.1},
    {"model": "regularized", "form": "eq15", "alpha": -0.1},
    {"model": "augmented", "g1": 1, "g2": 2},
    {"model": "negative", "form": "section_5.5", "k": 2, "beta": 0.1},
    {"model": "negative", "form": "eq18", "k": 2, "beta": 0.1},
]
TRAINABLE = [name for name, kind in FAMILIES.items() if kind.nonnegative and kind.projections]
OWN = "wide:Wide"
WIDE = """
import numpy as np
from icl_contrastive import ExponentialFeatures
from icl_contrastive.features import ExponentialFamily

class Wide(ExponentialFamily):
    def sample(self, rng, d, d_r, statistics):
        omega = self.directions(rng, d, d_r)
        return {"omega": omega, "log_weight": np.zeros(d_r), "shift": np.float64(0.5)}

    def feature_map(self, arrays):
        log_weight = arrays["log_weight"] + arrays["shift"][..., None]
        return ExponentialFeatures(arrays["omega"], log_weight)
"""
"""A family with a scalar among its parameters."""


def pairs(row: Row) -> set[tuple[tuple[str, Any], ...]]:
    return set(combinations(sorted(row.items()), 2))


def covering(decisions: dict[str, list[Any]]) -> Iterator[Row]:
    """Rows that hold every pair of values of two decisions, each the one with most new pairs."""
    rows = [dict(zip(decisions, values, strict=True)) for values in product(*decisions.values())]
    missing = set().union(*map(pairs, rows))
    while missing:
        best = max(rows, key=lambda row: len(pairs(row) & missing))
        missing -= pairs(best)
        yield best


PAIRS = list(covering(DECISIONS))
VALUES: list[Row] = [
    {name: values[number % len(values)] for name, values in DECISIONS.items()}
    for number in range(max(map(len, DECISIONS.values())))
]


def config(row: Row, family: str, variant: Row) -> Row:
    training = {"learning_rate": 0.003, "settings": ["small"]}
    pretraining = dict(row)
    shape = {"demonstrations": 4, "prompts": 6, "epochs": 2, "tasks": pretraining.pop("tasks")}
    return {
        "runs": 2,
        "task": {"d_x": 3},
        "test_prompts": 4,
        "settings": {"small": shape},
        "features": {"family": family, "d_r": 12},
        "pretraining": pretraining,
        "variants": {"plain": {"model": "softmax"} | training, "other": variant | training},
        "equivalence": {"prompts": 2, "epochs": 2},
        "approximation": {
            "variant": "plain",
            "settings": ["small"],
            "repeats": 2,
            "prompts": 2,
            "draws": 2,
            "d_r": [12, 24],
            "shown": [12],
        },
        "controls": {"variant": "plain", "settings": ["small"]},
        "training_length": {"variant": "plain", "settings": {"small": 3}, "checkpoints": [1, 3]},
        "figures": {},
    }


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Project.copy(tmp_path_factory.mktemp("decisions") / "project").root
    (folder / "wide.py").write_text(WIDE, encoding="utf-8")
    return folder


def test_every_family_and_kind_of_model_has_a_row() -> None:
    assert len(PAIRS) >= max(len(VARIANTS), len(TRAINABLE) + 1)


def chosen(number: int, row: Row) -> Row:
    """A row with the family and the kind of model whose turn it is."""
    families = [OWN, *TRAINABLE]
    return config(row, families[number % len(families)], VARIANTS[number % len(VARIANTS)])


@pytest.mark.parametrize("number", range(len(VALUES)))
def test_the_smallest_pipeline_ends(sources: Path, number: int) -> None:
    text = yaml.safe_dump(chosen(number, VALUES[number]))
    (sources / "config.yaml").write_text(text, encoding="utf-8")
    results = sources / f"of_{number}"
    (results / "wide.py").parent.mkdir()
    (results / "wide.py").write_text(WIDE, encoding="utf-8")
    Project(sources).make("--directory", results)
    equivalence = pd.read_csv(results / "results/tables/equivalence.csv")
    assert equivalence.loc[equivalence["exact"], "relative_error"].max() < 1e-10
    assert len(pd.read_csv(results / "results/tables/claims.csv")) > 30


@pytest.mark.parametrize("number", range(len(PAIRS)))
def test_every_two_decisions_go_through_the_steps(
    sources: Path, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The steps that decisions meet in, as the rules call them; the others see numbers only."""
    monkeypatch.syspath_prepend(sources)
    experiment = read_experiment(chosen(number, PAIRS[number]), SCHEMA)

    def run(step: str, job: jobs.Job, **paths: Any) -> None:
        module = importlib.import_module(f"icl_contrastive.steps.{step}")
        module.main(Namespace(code=[], **paths), read_config(jobs.as_json(job)))

    data, plain, longer, x, y = (tmp_path / f"{name}.safetensors" for name in "dplxy")
    trained = {"plain": plain, "other": tmp_path / "o.safetensors"}
    layer = {"data": data, "pretrained": plain}
    run("data", jobs.data(experiment, "small"), output=data)
    for name, path in trained.items():
        job = jobs.pretrain(experiment, "small", name)
        run("pretrain", job, inputs=[data], output=path, device="cpu")
        job = jobs.equivalence(experiment, "small", name)
        run("equivalence", job, data=data, pretrained=path, table=x, trajectory=y)
        rows = pd.read_csv(x)
        assert rows.loc[rows["exact"], "relative_error"].max() < 1e-10
    run("approximation", jobs.approximation(experiment, "small"), **layer, errors=x, matrices=y)
    run("attention_errors", jobs.attention_errors(experiment, "small"), **layer, errors=x, bias=y)
    job = jobs.controls(experiment, "small")
    run("controls", job, data=data, pretrained=[plain], controls=x, solutions=y)
    job = jobs.long_training(experiment, "small")
    run("pretrain", job, inputs=[data, plain], output=longer, device="cpu")
    job = jobs.training_length(experiment, "small")
    run("training_length", job, data=data, pretrained=longer, output=x)
    assert not pd.read_csv(x).empty
