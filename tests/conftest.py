"""What all tests share."""

from __future__ import annotations

import signal

import pytest

from .project import SMOKE, Project

# A shell may have started the tests in the background, where Ctrl-C is ignored, also by what they
# start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project with a finished run of the smoke configuration; whoever edits it, restores it."""
    project = Project.copy(tmp_path_factory.mktemp("smoke") / "a project")
    project.make(*SMOKE)
    return project
