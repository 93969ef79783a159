"""What all tests share."""

from __future__ import annotations

import pytest

from .project import SMOKE, Project


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project with a finished run of the smoke configuration; whoever edits it, restores it."""
    project = Project.copy(tmp_path_factory.mktemp("smoke") / "a project")
    project.make(*SMOKE)
    return project
