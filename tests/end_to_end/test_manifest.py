"""The manifest of the smoke run: what is in it, and what becomes of artifacts edited by hand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image
from safetensors import safe_open

from icl_contrastive.artifacts.origin import code_digest
from icl_contrastive.artifacts.verify import Findings, verify

from ..project import SMOKE, Project


@pytest.fixture
def project(smoke: Project, tmp_path: Path) -> Project:
    """A copy of the smoke run, free to be changed."""
    copy = Project(tmp_path / "project")
    shutil.copytree(smoke.root, copy.root)
    return copy


def test_every_artifact_is_in_the_manifest(smoke: Project) -> None:
    names = sorted(smoke.artifacts().keys() - {"manifest.json"})
    assert verify(smoke.root / "results") == Findings(names, [], [], [])


def test_what_artifacts_say_of_their_making_is_in_the_manifest(smoke: Project) -> None:
    results = smoke.root / "results"
    manifest = json.loads((results / "manifest.json").read_text("utf-8"))
    carriers = 0
    for name, entry in manifest.items():
        made_by = entry["made_by"]
        assert made_by["versions"]["numpy"]
        assert isinstance(made_by["config"], dict)
        if name.endswith(".safetensors"):
            with safe_open(results / name, framework="numpy") as file:
                about = json.loads(file.metadata()["artifact"])
            about["config"].pop("device", None)
        elif name.endswith(".png"):
            with Image.open(results / name) as image:
                about = json.loads(image.info["Source"])
        else:
            continue
        carriers += 1
        step = {"step": made_by["step"]}
        assert made_by == about["made_with"] | step | {"config": about["config"]}, name
    assert carriers > 50
    assert "omega/n15/0" in manifest["pretrained/n15/softmax.safetensors"]["made_by"]["streams"]
    source = smoke.root / "src/icl_contrastive"
    data = manifest["data/n15.safetensors"]["made_by"]
    own = ("__init__", "tasks", "streams", "command", "steps/__init__", "steps/data")
    shared = (f"artifacts/{name}" for name in ("__init__", "checksum", "files", "origin"))
    assert data["step"] == "steps.data"
    assert data["code"] == code_digest(source / f"{name}.py" for name in (*own, *shared))


def test_the_manifest_is_made_again_with_the_same_bytes(project: Project) -> None:
    path = project.root / "results/manifest.json"
    before = path.read_bytes()
    path.unlink()
    assert set(project.outdated(*SMOKE)) == {"manifest"}
    project.make(*SMOKE)
    assert path.read_bytes() == before


def test_a_table_edited_by_hand_never_enters_the_manifest(project: Project) -> None:
    """The figure is drawn from it, since it is newer, but the run ends with an error."""
    path = project.root / "results/tables/trajectories/n31/softmax.csv"
    before = project.artifacts()
    path.write_text(path.read_text("utf-8").replace("0.1", "0.2"), encoding="utf-8")
    assert verify(project.root / "results").damaged == ["tables/trajectories/n31/softmax.csv"]
    assert "figures/figure_8" in project.outdated(*SMOKE)
    done = project.snakemake(*SMOKE)
    assert done.returncode != 0
    assert "changed since their jobs wrote them:" in done.stdout
    assert "  results/tables/trajectories/n31/softmax.csv\n" in done.stdout
    path.unlink()
    project.make(*SMOKE)
    assert project.artifacts() == before
