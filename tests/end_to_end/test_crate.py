"""The smoke run as a Provenance Run Crate: valid, and enough to draw a figure again."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from rocrate_validator import services
from rocrate_validator.models import ValidationSettings
from rocrate_validator.utils.http import HttpRequester
from snakemake.utils import update_config

from ..project import ROOT, Project, preloaded_python


@pytest.fixture(scope="module")
def project(smoke: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The smoke run, with its configuration in config.yaml itself, and its crate."""
    copy = Project(tmp_path_factory.mktemp("crate") / "project")
    shutil.copytree(smoke.root, copy.root)
    shutil.copy(ROOT / "requirements.lock", copy.root)
    config = yaml.safe_load((copy.root / "config.yaml").read_text("utf-8"))
    update_config(config, yaml.safe_load((copy.root / "workflow/smoke.yaml").read_text("utf-8")))
    (copy.root / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), "utf-8")
    done = make_crate(copy.root)
    assert done.returncode == 0, done.stderr
    return copy


def make_crate(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "icl_contrastive.report.crate"],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root / "src")},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def crate(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked") / "crate"
    with zipfile.ZipFile(project.root / "results/crate.zip") as packed:
        packed.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def graph(crate: Path) -> dict[str, dict[str, Any]]:
    """The crate's entities by their names."""
    metadata = json.loads((crate / "ro-crate-metadata.json").read_text("utf-8"))
    return {entity["@id"]: entity for entity in metadata["@graph"]}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of rdflib, inside the validator
def test_the_crate_is_valid(crate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the profile, with nothing asked of the network.

    rocrate has the context of RO-Crate 1.3 with it, which names these two otherwise than that of
    1.1, on which the profile is built.
    """
    context = json.loads(files("rocrate").joinpath("data/ro-crate.jsonld").read_text("utf-8"))
    bioschemas = "https://bioschemas.org/"
    context["@context"] |= {
        name: bioschemas + name for name in ("ComputationalWorkflow", "FormalParameter")
    }

    def answer(_: HttpRequester, url: str, **options: object) -> requests.Response:
        assert url == "https://w3id.org/ro/crate/1.1/context"
        response = requests.Response()
        response.status_code = 200
        response.headers["Content-Type"] = "application/ld+json"
        response._content = json.dumps(context).encode()  # noqa: SLF001  # no public way
        return response

    monkeypatch.setattr(HttpRequester, "get", answer, raising=False)

    def problems(abort_on_first: bool) -> list[str]:
        settings = ValidationSettings(
            rocrate_uri=str(crate),
            profile_identifier="provenance-run-crate",
            abort_on_first=abort_on_first,
            offline=True,
            cache_path=tmp_path / "cache",
        )
        return [str(issue.message) for issue in services.validate(settings).get_issues()]

    assert problems(abort_on_first=False) == []
    path = crate / "ro-crate-metadata.json"
    text = path.read_text("utf-8")
    path.write_text(text.replace('"HowTo"', '"Thing"'), "utf-8")
    try:
        assert problems(abort_on_first=True)  # the validator does look
    finally:
        path.write_text(text, "utf-8")


def test_the_crate_has_every_artifact_and_what_made_it(
    project: Project, crate: Path, graph: dict[str, dict[str, Any]]
) -> None:
    manifest = json.loads((project.root / "results/manifest.json").read_text("utf-8"))
    made = {
        one["@id"]: action
        for action in graph.values()
        if action["@type"] == "CreateAction" and action["@id"] != "#run"
        for one in as_list(action["result"])
    }
    for name, entry in manifest.items():
        described = graph[f"results/{name}"]
        assert described["sha256"] == entry["sha256"] == digest(crate / "results" / name)
        assert described["contentSize"] == str(entry["bytes"])
        step = made[f"results/{name}"]
        assert step["startTime"] <= step["endTime"]
        (control,) = (one for one in graph.values() if one.get("object") == {"@id": step["@id"]})
        assert graph[control["instrument"]["@id"]]["workExample"] == step["instrument"]


def test_a_figure_is_drawn_again_by_the_command_in_the_crate(
    crate: Path, graph: dict[str, dict[str, Any]]
) -> None:
    action = graph["#job-figures/figure_8"]
    for one in as_list(action["object"]):
        assert (crate / one["@id"]).is_file()
    again(crate, ["bash", "-c", action["description"]], graph)


def test_a_figure_is_drawn_again_by_snakemake(
    crate: Path, graph: dict[str, dict[str, Any]]
) -> None:
    """As workflow/docs/provenance.md says; nothing else is made for it."""
    snakemake = [preloaded_python(), "-m", "snakemake", "--cores", "1"]
    touched = run(crate, [*snakemake, "--touch"])
    assert touched.returncode == 0, touched.stdout
    shown = again(crate, [*snakemake, "figure_8"], graph)
    assert "1 of 1 steps (100%) done" in shown


def again(crate: Path, command: list[str], graph: dict[str, dict[str, Any]]) -> str:
    """Delete figure 8, run the command in the crate, and compare; what was printed."""
    paths = [f"results/figures/figure_8.{kind}" for kind in ("pdf", "png")]
    for path in paths:
        (crate / path).unlink()
    done = run(crate, command)
    assert done.returncode == 0, done.stdout
    for path in paths:
        assert digest(crate / path) == graph[path]["sha256"]
    return done.stdout


def run(crate: Path, command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=crate,
        env=os.environ
        | {
            "PYTHONPATH": str(crate / "src"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "MPLBACKEND": "agg",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def test_without_a_run_there_is_no_crate(project: Project, tmp_path: Path) -> None:
    root = tmp_path / "project"
    shutil.copytree(project.root, root, ignore=shutil.ignore_patterns("results", ".snakemake"))
    done = make_crate(root)
    assert done.returncode != 0
    assert "`make figures` first" in done.stderr
    assert "Traceback" not in done.stderr
    shutil.copytree(project.root / "results", root / "results")
    (root / "results/crate.zip").unlink()
    done = make_crate(root)
    assert "has not been made here" in done.stderr
    assert not (root / "results/crate.zip").exists()


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
