"""What all tests share."""

from __future__ import annotations

import os
import shutil
import signal

import pytest
from filelock import FileLock
from hypothesis import settings

from .project import ROOT, SMOKE, Project

# A shell may have started the tests in the background, where Ctrl-C is ignored, also by what they
# start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# All copies of the project that tests make are compiled once.
os.environ.setdefault("NUMBA_CACHE_DIR", str(ROOT / "src/icl_contrastive/training/__pycache__"))

# The second is for `make check`.
settings.register_profile("full", deadline=None, derandomize=True, max_examples=100)
settings.register_profile("fast", settings.get_profile("full"), max_examples=10)
settings.load_profile("full")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All but unit tests run Snakemake, and are slow."""
    for item in items:
        if ROOT / "tests/unit" not in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Project:
    """The project with a finished run of the smoke configuration; whoever edits it, restores it.

    Processes that share the tests share that run, too: each has a copy of its own.
    """
    mine = tmp_path_factory.mktemp("smoke") / "a project"
    if worker_id == "master":
        Project.copy(mine).make(*SMOKE)
        return Project(mine)
    made = tmp_path_factory.getbasetemp().parent / "smoke"
    with FileLock(made.with_suffix(".lock")):
        if not made.exists():
            unfinished = Project.copy(made.with_suffix(".unfinished"))
            unfinished.make(*SMOKE)
            unfinished.root.rename(made)
    shutil.copytree(made, mine)
    return Project(mine)
