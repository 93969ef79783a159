"""The clusters that the tests run on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..project import Project
from .run import Run
from .slurm import Slurm, missing


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """A running Slurm; where there can be none, what to do about it is the reason to skip."""
    if reason := missing():
        pytest.skip(f"Slurm: {reason}")
    cluster = Slurm(tmp_path_factory.mktemp("slurm") / "root")
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def runs() -> Iterator[list[Run]]:
    """For runs of Snakemake in the background: those that still go on are ended after the test."""
    started: list[Run] = []
    yield started
    for run in started:
        run.stop()


@pytest.fixture
def project(smoke: Project, tmp_path: Path) -> Project:
    """The project without results, but with what numba has compiled."""
    root = tmp_path / "a project"
    shutil.copytree(smoke.root, root, ignore=shutil.ignore_patterns("results", ".snakemake"))
    return Project(root)
