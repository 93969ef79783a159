"""The multiverse's target: what it runs, what it runs again, and what a kill costs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ..project import SMALL_MULTIVERSE, Project

TARGET = "multiverse"


@pytest.fixture
def project(multiverse: Project) -> Project:
    """One in which the target has been made."""
    return multiverse


def with_config(*more: str) -> tuple[str, ...]:
    return (*SMALL_MULTIVERSE, *more)


def universes(project: Project) -> list[str]:
    folder = project.root / "results/multiverse"
    return sorted(path.stem for path in folder.glob("*.safetensors"))


def outdated(project: Project, name: str = "", text: str = "") -> dict[str, str]:
    """The jobs of the target after an override of the config."""
    if name:
        (project.root / name).write_text(text, encoding="utf-8")
    return project.outdated(*with_config(*filter(None, [name])), "--", TARGET)


def test_it_makes_tables_and_figures_and_is_no_part_of_the_whole(project: Project) -> None:
    made = set(project.artifacts())
    tables = (
        "universes",
        *(f"multiverse{part}" for part in ("", "_tests", "_decisions", "_flips")),
    )
    assert {f"tables/{name}.csv" for name in (*tables, "multiverse_joint")} <= made
    assert {f"figures/multiverse{part}.pdf" for part in ("", "_curves", "_decisions")} <= made
    assert len(universes(project)) == 3
    assert len([name for name in made if name.startswith("multiverse/fresh/")]) == 2
    assert "train_universe" not in project.make("--dry-run", *with_config())
    assert outdated(project) == {}


def test_an_added_value_trains_only_new_universes(project: Project) -> None:
    text = "multiverse: {decisions: {order: {added: []}, omega: {added: [per_step]}}}"
    jobs = outdated(project, "added.yaml", text)
    trained = {job for job in jobs if job.startswith("multiverse/") and "verdicts" not in job}
    assert trained
    assert not {job.removeprefix("multiverse/") for job in trained} & set(universes(project))


def test_a_larger_size_trains_only_new_universes(project: Project) -> None:
    jobs = outdated(project, "larger.yaml", "multiverse: {size: 5}")
    trained = {job for job in jobs if job.startswith("multiverse/") and "verdicts" not in job}
    assert len({job.removeprefix("multiverse/") for job in trained}) == 2
    assert not {job.removeprefix("multiverse/") for job in trained} & set(universes(project))


def test_other_claims_are_judged_without_a_training(project: Project) -> None:
    with project.appended("workflow/claims.yaml", "# an edit"):
        jobs = project.make("--dry-run", *with_config(), "--", TARGET)
    assert "rule judge_universe:" in jobs
    assert "rule train_universe:" not in jobs


def test_an_edited_figure_is_all_that_is_drawn(project: Project) -> None:
    with project.appended("src/icl_contrastive/figures/multiverse_curves.py", "# an edit"):
        assert set(outdated(project)) == {"figures/multiverse_curves"}


@pytest.mark.slow
def test_one_universe_alone_has_the_same_bytes(project: Project, tmp_path: Path) -> None:
    """By the command that the table of universes names."""
    name = universes(project)[1]
    table = (project.root / "results/tables/universes.csv").read_text(encoding="utf-8")
    command = f"snakemake --cores 2 results/multiverse/{name}.csv"
    assert command in table
    alone = Project.copy(tmp_path / "alone")
    alone.make(*with_config(), "--", *command.split()[3:])
    for suffix in ("safetensors", "csv"):
        path = f"multiverse/{name}.{suffix}"
        assert alone.artifacts()[path] == project.artifacts()[path]
    assert universes(alone) == [name]


@pytest.mark.slow
def test_after_a_kill_it_goes_on_where_it_was(project: Project, tmp_path: Path) -> None:
    again = Project.copy(tmp_path / "again")
    target = (*with_config(), "--", "results/multiverse/verdicts/all.csv")
    command = [sys.executable, "-m", "snakemake", "--cores", "1", *target]
    running = subprocess.Popen(
        command,
        cwd=again.root,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 300
    while len(universes(again)) < 2:
        assert time.monotonic() < deadline
        assert running.poll() is None
        time.sleep(0.1)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    kept = {path: path.stat().st_mtime_ns for path in first_universes(again)}
    again.make("--unlock", *target)
    again.make("--rerun-incomplete", *target)
    assert any(path.stat().st_mtime_ns == time_ for path, time_ in kept.items())
    made, whole = again.artifacts(), project.artifacts()
    assert len(made) == 7  # of three universes each a training and its verdicts, and all of these
    assert made == {name: whole[name] for name in made}


def first_universes(project: Project) -> list[Path]:
    return sorted((project.root / "results/multiverse").glob("*.safetensors"))
