"""The faults' rows, counted while their tests run."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from ..project import Project
from .rows import ROWS
from .running import RUNNING, TARGETS, Folder

Strike = Callable[..., None]

PASSED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.when == "call":
        item.stash[PASSED] = report.passed
    return report


@pytest.fixture
def strike(request: pytest.FixtureRequest) -> Iterator[Strike]:
    """Called once for every fault that is made; their number must be that of the row."""
    marker = request.node.get_closest_marker("fault")
    row = next(row for row in ROWS if row.fault == marker.args[0])
    count = 0

    def one() -> None:
        nonlocal count
        count += 1

    yield one
    if request.node.stash.get(PASSED, False):
        assert count == row.times, f"{row.fault}: made {count} times, {row.times} in the table"


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
