"""Folders in which faults are made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ..project import Project
from .running import RUNNING, TARGETS, Folder


@pytest.fixture(autouse=True)
def no_processes_left() -> Iterator[None]:
    """End what a failed test left at work."""
    yield
    while RUNNING:
        RUNNING.pop().kill_all()


@pytest.fixture(scope="session")
def whole(smoke: Project, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """An undisturbed run of the targets, equal to that of everything; nobody changes it."""
    folder = Folder(smoke, tmp_path_factory.mktemp("whole") / "work")
    folder.make(*TARGETS)
    all_artifacts = smoke.artifacts()
    assert {k: all_artifacts[k] for k in folder.artifacts} == folder.artifacts
    return folder


@pytest.fixture
def fresh(smoke: Project, tmp_path: Path) -> Folder:
    """An empty folder to work in."""
    return Folder(smoke, tmp_path / "work")


@pytest.fixture
def finished(whole: Folder, tmp_path: Path) -> Folder:
    """A copy of the undisturbed run."""
    return whole.copy(tmp_path / "work")
