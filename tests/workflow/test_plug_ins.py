"""The worked example of a family of the user's own, in the pipeline."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from ..project import ROOT, SMOKE, Project, block

PAGE = "workflow/docs/features.md"
CONFIG = (*SMOKE, "own.yaml")
TARGETS = ("results/pretrained/n15/softmax_wide.safetensors", "results/families/n15.csv")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with the family, trained and compared on the smoke configuration."""
    project = Project.copy(tmp_path_factory.mktemp("plug_ins") / "project")
    (project.root / "my_features.py").write_text(block("family", PAGE), encoding="utf-8")
    (project.root / "own.yaml").write_text(block("family-config", PAGE), encoding="utf-8")
    project.make(*TARGETS, *CONFIG)
    return project


def test_the_family_is_compared(project: Project) -> None:
    table = pd.read_csv(project.root / "results/families/n15.csv")
    own = table[table["family"] == "my_features:Wide"]
    assert set(own["projection"]) == {"independent", "orthogonal"}
    assert (own["mse"] > 0).all()


def test_an_edit_of_the_family_reruns_what_uses_it(project: Project) -> None:
    assert project.outdated(*TARGETS, *CONFIG) == {}
    with project.appended("my_features.py", "# an edit"):
        assert set(project.outdated(*TARGETS, *CONFIG)) == {
            "pretrained/n15/softmax_wide",
            "families/n15",
        }


def test_a_family_that_is_not_there_is_told(project: Project) -> None:
    (project.root / "wrong.yaml").write_text(
        "variants: {softmax_wide: {features: {family: 'my_features:Wider'}}}", encoding="utf-8"
    )
    done = project.snakemake(TARGETS[0], *CONFIG, "wrong.yaml")
    assert done.returncode != 0
    log = project.root / "results/logs/pretrained/n15/softmax_wide.log"
    told = log.read_text(encoding="utf-8")
    assert "error: 'my_features:Wider' is not a class derived from" in told
    assert "Traceback" not in told


def test_a_module_that_is_not_there_ends_the_run_before_any_job(project: Project) -> None:
    (project.root / "wrong.yaml").write_text(
        "variants: {softmax_wide: {features: {family: 'their_features:Wide'}}}", encoding="utf-8"
    )
    done = project.snakemake(TARGETS[0], *CONFIG, "wrong.yaml", "--dry-run")
    assert done.returncode != 0
    assert "error: there is no module 'their_features', which the config names" in done.stdout
    assert f"in the working directory, {project.root}, or on PYTHONPATH" in done.stdout
    assert "Traceback" not in done.stdout


def test_the_family_passes_the_tests_of_all(tmp_path: Path) -> None:
    (tmp_path / "my_features.py").write_text(block("family", PAGE), encoding="utf-8")
    (tmp_path / "test_wide.py").write_text(block("family-test", PAGE), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "test_wide.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"(\d\d) passed", done.stdout)
