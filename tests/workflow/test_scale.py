"""Many variants in two settings: the graph grows in proportion, and its commands run."""

from __future__ import annotations

import re
import resource
import runpy
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
import yaml

from icl_contrastive.config import jobs, read_experiment

from ..project import ROOT, Project, plain

wide_config: Callable[[int], dict[str, Any]] = runpy.run_path(
    str(ROOT / "tests/benchmarks/graph_growth.py")
)["wide_config"]


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with 1,000 variants in each of two settings."""
    project = Project.copy(tmp_path_factory.mktemp("wide") / "project")
    text = yaml.safe_dump(wide_config(1000))
    (project.root / "config.yaml").write_text(text, encoding="utf-8")
    return project


def dry_run(wide: Project, variants: int) -> tuple[dict[str, int], float]:
    """Number of jobs by rule, and processor seconds: other work on the machine does not count."""
    config = wide.root / f"{variants}.yaml"
    config.write_text(yaml.safe_dump(wide_config(variants)), encoding="utf-8")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "rules"]
    command += ["--replace-workflow-config", "--configfile", str(config)]
    plan = subprocess.check_output(
        command, cwd=wide.root, env=plain(), stderr=subprocess.STDOUT, text=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert seconds > 1
    jobs = re.findall(r"^(\w+) +(\d+)$", plan, re.MULTILINE)
    return {rule: int(count) for rule, count in jobs}, seconds


def test_the_graph_grows_in_proportion_to_the_variants(wide: Project) -> None:
    """A job of the large graph may cost half as much again; it costs less: one start."""
    few, short = dry_run(wide, 50)
    many, long = dry_run(wide, 500)
    assert few["pretrain"] == few["equivalence"] == 100
    assert many["pretrain"] == many["equivalence"] == 1000
    assert long / many["total"] < 1.5 * short / few["total"]
    assert long < 22


def test_a_command_can_take_a_config_of_any_length(wide: Project) -> None:
    """One argument may have 128 KiB, and the slice of the scorecard has more."""
    tables = wide.root / "results/tables"
    tables.mkdir(parents=True)
    cell = {"setting": ["n15"], "variant": ["decayed_alpha0.0001"], "run": [0]}
    curve = {"epoch": [1], "train_mse": [1.0], "test_mse": [1.0]}
    pd.DataFrame(cell | curve).to_csv(tables / "pretraining.csv", index=False)
    ends = {"prompt": [0], "scheme": ["full_batch"], "exact": [True]}
    values = {key: [1.0] for key in ("y_true", "y_layer", "y_reference")}
    errors = {key: [0.0] for key in ("relative_error", "relative_error_float32")}
    errors |= {"full_width_deviation": [0.0], "lowest_weight": [0.0]}
    equivalence = pd.DataFrame(cell | ends | values | errors)
    equivalence.to_csv(tables / "equivalence.csv", index=False)
    wide.make("claims", "--allowed-rules", "claims")
    verdicts = pd.read_csv(tables / "claims.csv").set_index("id")["verdict"]
    assert verdicts["one_step_regularized_eq14"] == "reproduced"


def calls_for(variants: int) -> int:
    """Calls of functions, Python's and C's, that it takes to read a config and to list its jobs."""
    schema = yaml.safe_load(
        (ROOT / "workflow/schemas/config.schema.yaml").read_text(encoding="utf-8")
    )
    config = wide_config(variants)
    count = 0

    def counted(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(counted)
    try:
        experiment = read_experiment(config, schema)
        for cell in experiment.cells:
            jobs.as_json(jobs.pretrain(experiment, cell.setting, cell.variant))
            jobs.as_json(jobs.equivalence(experiment, cell.setting, cell.variant))
        jobs.as_json(jobs.claims(experiment))
    finally:
        sys.setprofile(None)
    return count


def test_the_work_grows_in_proportion_to_the_variants() -> None:
    calls_for(1)  # imports
    small, large = calls_for(100), calls_for(400)
    assert small > 1000
    assert large < 4.2 * small
