"""What the profiles say, and into how many jobs they cut the experiment."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ..project import ROOT, Project

PROFILES = sorted((ROOT / "workflow/profiles").iterdir())


def profile(name: str) -> dict[str, Any]:
    text = (ROOT / "workflow/profiles" / name / "config.yaml").read_text(encoding="utf-8")
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


@pytest.mark.parametrize("folder", PROFILES, ids=lambda folder: folder.name)
def test_each_key_is_explained_above_itself(folder: Path) -> None:
    lines = (folder / "config.yaml").read_text(encoding="utf-8").splitlines()
    keys = [i for i, line in enumerate(lines) if re.match(r"[\w-]+:", line)]
    assert keys
    for i in keys:
        assert lines[i - 1].startswith("# "), lines[i]


def test_the_clusters_get_the_same_jobs() -> None:
    slurm, generic = profile("slurm"), profile("cluster-generic")
    for key in ("cores", "groups", "group-components", "retries", "keep-going", "latency-wait"):
        assert slurm[key] == generic[key], key


def test_every_rule_is_local_or_in_a_group() -> None:
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "workflow/rules").glob("*.smk")]
    start = re.compile(r"^ *(?=rule |rule:|use rule )", re.MULTILINE)
    rules = [rule for text in texts for rule in start.split(text)[1:]]
    submitted = [rule for rule in rules if "localrule: True" not in rule]
    names = [re.match(r"(?:use rule \w+ as|rule) (\w+)", rule) for rule in submitted]
    assert {name[1] for name in names if name} == set(profile("slurm")["groups"])
    assert all(names)


def test_a_partition_of_gpus_gets_the_groups_that_train(tmp_path: Path) -> None:
    """With the keys of the Slurm profile that are commented out."""
    project = Project.copy(tmp_path / "project")
    path = project.root / "workflow/profiles/slurm/config.yaml"
    text = path.read_text(encoding="utf-8")
    start = text.index("# default-resources:")
    keys = re.sub(r"^# (?=default-|set-|  )", "", text[start:], flags=re.MULTILINE)
    path.write_text(text[:start] + keys, encoding="utf-8")
    groups = profile("slurm")["groups"]
    training = {groups[name] for name in ("pretrain", "pretrain_ablation", "pretrain_longer")}
    printed = project.make(
        *("--dry-run", "--workflow-profile", "workflow/profiles/slurm"),
        *("--config", "execution={device: cuda}", "--", "all", "ablations"),
        cores=1,
    )
    jobs = re.findall(r"^ +rule (\w+):\n(?: +.+\n)*?.+ resources: (.+)$", printed, re.MULTILINE)
    apart = {name for name, group in groups.items() if group in ("networks", "universes")}
    assert set(groups) - apart <= {name for name, _ in jobs}
    for name, resources in jobs:
        there = "gpu" if groups.get(name) in training else "cpu"
        assert f"slurm_partition={there}" in resources, name
        assert ("gpu=1" in resources) == ("pretrain" in name), name


def test_few_submissions_make_up_the_experiment(tmp_path: Path) -> None:
    printed = Project.copy(tmp_path / "project").make(
        *("--dry-run", "--workflow-profile", "workflow/profiles/cluster-generic"), cores=1
    )
    submissions = printed.count("Group job ")
    grouped = re.findall(r"^    rule (\w+):", printed, re.MULTILINE)
    assert set(grouped) <= set(profile("cluster-generic")["groups"])
    assert len(grouped) > 100
    assert submissions < len(grouped) / 12
