"""What all tests share."""

from __future__ import annotations

import gc
import os
import shutil
import signal

import pytest
from hypothesis import settings

from .project import ROOT, SMALL_MULTIVERSE, SMOKE, Project, made_once

# A shell may have started the tests in the background, where Ctrl-C is ignored, also by what they
# start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# All copies of the project that tests make are compiled once, and so is each copy's Python.
os.environ.setdefault("NUMBA_CACHE_DIR", str(ROOT / "src/icl_contrastive/training/__pycache__"))
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# The second is for `make check`.
settings.register_profile("full", deadline=None, derandomize=True, max_examples=100)
settings.register_profile("fast", settings.get_profile("full"), max_examples=10)
settings.load_profile("full")


def pytest_collection_finish() -> None:
    """Look no more for garbage among all that the tests have loaded."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project with a finished run of the smoke configuration; whoever edits it, restores it."""
    return finished(tmp_path_factory, "smoke", *SMOKE)


@pytest.fixture(scope="session")
def multiverse(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The same with a finished run of a small multiverse."""
    return finished(tmp_path_factory, "multiverse", *SMALL_MULTIVERSE, "--", "multiverse")


def finished(factory: pytest.TempPathFactory, name: str, *arguments: str) -> Project:
    """A copy of a finished run."""
    made = made_once(factory, name, lambda root: Project.copy(root).make(*arguments))
    mine = factory.mktemp(name) / "a project"
    shutil.copytree(made, mine)
    return Project(mine)
