"""What the Snakemake workflow catalog and a release ask of the project's files."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from ..project import ROOT, SMOKE, Project


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_catalog_finds_the_workflow_and_its_instructions() -> None:
    """The catalog searches READMEs for both words, and looks for these files."""
    readme = text("README.md").lower()
    assert "snakemake" in readme
    assert "workflow" in readme
    assert (ROOT / "workflow/Snakefile").is_file()
    rules = [path.name for path in (ROOT / "workflow/rules").iterdir()]
    assert rules
    assert all(name.endswith(".smk") for name in rules)
    assert text("config/README.md").startswith("# ")


def test_the_catalog_reads_the_usage() -> None:
    (usage,) = yaml.safe_load(text(".snakemake-workflow-catalog.yml")).values()
    assert usage.keys() == {"mandatory-flags", "software-stack-deployment", "report"}
    flags = usage["mandatory-flags"]
    assert flags.keys() == {"desc", "flags"}
    assert isinstance(flags["flags"], str | list)
    stacks = usage["software-stack-deployment"]
    assert stacks.keys() == {"conda", "apptainer", "apptainer+conda"}
    assert {type(value) for value in (usage["report"], *stacks.values())} == {bool}


def test_the_catalog_promises_what_the_rules_have() -> None:
    """Conda where every shell command has an environment; the report where there are captions."""
    (usage,) = yaml.safe_load(text(".snakemake-workflow-catalog.yml")).values()
    rules = "\n".join(path.read_text("utf-8") for path in ROOT.glob("workflow/rules/*.smk"))
    with_conda = rules.count("    conda:\n") == rules.count("    shell:\n")
    assert usage["software-stack-deployment"]["conda"] == with_conda
    assert usage["software-stack-deployment"]["apptainer"] == ("    container:" in rules)
    assert usage["report"] == ("report(" in rules)


def test_the_door_leads_to_the_same_workflow(tmp_path: Path) -> None:
    project = Project.copy(tmp_path / "project")
    plans = []
    for door in ([], ["--snakefile", "workflow/Snakefile"]):
        printed = project.make("--dry-run", "--quiet", "rules", *door, *SMOKE)
        jobs = dict(re.findall(r"^(\w+) +(\d+)$", printed, re.MULTILINE))
        plans.append({name: count for name, count in jobs.items() if name != "total"})
    at_root, at_door = plans
    assert at_root.pop("all") == at_door.pop("default") == "1"
    assert at_root == at_door
    assert len(at_root) > 20


def test_a_release_is_named_the_same_everywhere() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        version = tomllib.load(file)["project"]["version"]
    citation = yaml.safe_load(text("CITATION.cff"))
    assert citation["version"] == version
    latest = re.search(r"^## (\S+) \((\S+)\)$", text("CHANGELOG.md"), re.MULTILINE)
    assert latest is not None
    assert latest.groups() == (version, str(citation["date-released"]))


def test_the_citation_is_valid() -> None:
    """By the schema of the Citation File Format, of which a copy comes with the program."""
    command = [sys.executable, "-m", "check_jsonschema", "--no-cache", "--builtin-schema"]
    done = subprocess.run(
        [*command, "vendor.citation-file-format", ROOT / "CITATION.cff"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="hadolint is not installed")
def test_the_image_s_recipe_is_linted() -> None:
    recipe = ROOT / "workflow/envs/Dockerfile"
    done = subprocess.run(["hadolint", recipe], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_image_is_pinned_and_has_what_the_locks_say() -> None:
    recipe = text("workflow/envs/Dockerfile")
    (base,) = re.findall(r"^FROM (\S+)$", recipe, re.MULTILINE)
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+|\S+@sha256:[0-9a-f]{64}", base)
    conda = yaml.safe_load(text("workflow/envs/python.yaml"))["dependencies"]
    assert base.startswith(conda[0].replace("python=", "python:"))
    (copied,) = re.findall(r"^COPY (.+) /tmp/$", recipe, re.MULTILINE)
    assert copied.split() == ["requirements.lock", "torch.lock"]
    assert "--require-hashes --requirement /tmp/requirements.lock" in recipe
