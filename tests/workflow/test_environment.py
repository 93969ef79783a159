"""The lock, and what else names versions."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ..project import ROOT, Project

HASHED, TORCH = (
    [line.split() for line in (ROOT / name).read_text("utf-8").replace("\\\n", "").splitlines()]
    for name in ("requirements.lock", "torch.lock")
)
LOCK = [
    Requirement(" ".join(word for word in words if not word.startswith("--hash=")))
    for words in (*HASHED, *TORCH)
]
PYTHON_311 = {"python_full_version": "3.11.9", "python_version": "3.11"}


def locked(name: str, environment: dict[str, str]) -> str:
    """The one version that the lock has of a package."""
    found = [
        str(line.specifier)
        for line in LOCK
        if line.name == canonicalize_name(name)
        and (line.marker is None or line.marker.evaluate(environment))
    ]
    assert len(found) == 1, (name, found)
    return found[0]


def test_the_lock_has_one_exact_version_of_each_and_no_address() -> None:
    for line in LOCK:
        assert re.fullmatch(r"==[\w.]+", str(line.specifier)), line  # no +cpu
        assert line.url is None


def test_whatever_is_the_same_on_every_machine_has_hashes() -> None:
    """All but torch, which has other builds for CPU and GPU."""
    for words in HASHED:
        hashes = [word for word in words if word.startswith("--hash=")]
        assert hashes, words[0]
        assert all(re.fullmatch("--hash=sha256:[0-9a-f]{64}", word) for word in hashes)
    assert [words[0].partition("==")[0] for words in TORCH] == ["torch"]


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_the_lock_has_whatever_the_project_asks_for(python: str) -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    environment = {"python_full_version": f"{python}.1", "python_version": python}
    for text in [*project["dependencies"], *project["optional-dependencies"]["dev"]]:
        asked = Requirement(text)
        assert asked.specifier.contains(locked(asked.name, environment).removeprefix("==")), asked


def test_the_conda_environment_is_that_of_the_lock() -> None:
    environment = yaml.safe_load((ROOT / "workflow/envs/python.yaml").read_text(encoding="utf-8"))
    packages = environment["dependencies"][-1]["pip"]
    for package in map(Requirement, packages):
        assert str(package.specifier) == locked(package.name, PYTHON_311), package


def test_snakemake_finds_nothing_to_complain_about(tmp_path: Path) -> None:
    assert "good condition" in Project.copy(tmp_path / "project").make("--lint")
