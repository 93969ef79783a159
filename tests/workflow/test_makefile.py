"""What `make` does besides calling other programs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from ..project import ROOT


def make(folder: Path, *arguments: str, answer: str = "") -> str:
    done = subprocess.run(
        ["make", *arguments], cwd=folder, input=answer, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("results/smoke", ".snakemake", ".venv", "src/__pycache__", "tests"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize("answer", ["", "n\n", "\n", "yes please\n"])
def test_clean_keeps_results_unless_told_otherwise(project: Path, answer: str) -> None:
    assert "Delete results/" in make(project, "clean", answer=answer)
    assert (project / "results/smoke").exists()
    assert (project / ".snakemake").exists()
    assert not (project / ".venv").exists()
    assert not (project / "src/__pycache__").exists()


def test_clean_deletes_results_when_told_so(project: Path) -> None:
    make(project, "clean", answer="y\n")
    assert {path.name for path in project.iterdir()} == {"Makefile", "src", "tests"}


def test_clean_asks_nothing_where_there_is_nothing_to_lose(project: Path) -> None:
    shutil.rmtree(project / "results")
    assert "?" not in make(project, "clean")
    assert not (project / ".snakemake").exists()


def test_smoke_makes_the_page_too_and_says_where_it_is(project: Path) -> None:
    programs = project / "programs"
    programs.mkdir()
    (programs / "snakemake").write_text('#!/bin/sh\necho "run: $*"\n')
    (programs / "snakemake").chmod(0o755)
    printed = make(project, "--silent", "--old-file=.venv/ready", f"BIN={programs}", "smoke")
    run, *places = printed.splitlines()
    assert run.endswith("-- all report_page")
    assert "--directory results/smoke" in run
    assert [line.split()[-1] for line in places] == [
        "results/smoke/results/figures",
        "results/smoke/results/report.html",
    ]


def test_confirm_runs_the_preset_and_keeps_its_verdicts(project: Path) -> None:
    programs = project / "programs"
    programs.mkdir()
    for name in ("snakemake", "python"):
        (programs / name).write_text(f'#!/bin/sh\necho "{name}: $*"\n')
        (programs / name).chmod(0o755)
    printed = make(project, "--silent", "--old-file=.venv/ready", f"BIN={programs}", "confirm")
    run, kept = printed.splitlines()
    preset = "--configfile workflow/presets/confirm.yaml --directory results/confirm claims"
    assert run == f"snakemake: --cores all {preset}"
    assert kept == "python: -m icl_contrastive.report.keep confirm"
    assert (project / "results/confirm").is_dir()
