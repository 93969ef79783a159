"""The workflow on a real Slurm."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import yaml

from ..project import ROOT, SMALL_MULTIVERSE, SMOKE, Project, preloaded_python
from .run import Run, same_artifacts
from .slurm import Slurm

QUICK = ("--slurm-init-seconds-before-status-checks", "2")


def declared(project: Project, *arguments: str | Path) -> list[dict[str, str]]:
    """Rule and resources of the jobs that the profile sends to the cluster."""
    profile = yaml.safe_load((ROOT / "workflow/profiles/slurm/config.yaml").read_text())
    printed = project.make("--dry-run", *SMOKE, *arguments)
    found = []
    for job in re.split(r"\n\n|\n(?=\[)", printed):
        rule = re.search(r"^rule (\w+):", job, re.MULTILINE)
        resources = re.search(r"^    resources: (.+)$", job, re.MULTILINE)
        if rule and resources and rule[1] in profile["groups"]:
            found.append({"rule": rule[1], **dict(re.findall(r"(\w+)=([^,]+)", resources[1]))})
    return found


def minutes(limit: str) -> int:
    """Of a time limit as Slurm writes it: [days-]hours:minutes:seconds."""
    days, _, clock = limit.rpartition("-")
    hours, some, _ = map(int, clock.split(":"))
    return 60 * (24 * int(days or 0) + hours) + some


OF_EVERY_RULE = (
    *("figure_8", "results/tables/diagram.csv", "results/training_length/n31.csv"),
    *("results/approximation/n31.csv", "results/attention_errors/n31.csv"),
    *("results/families/n31.csv", "results/controls/n31.csv"),
)
"""Targets that take every rule of the whole at least once."""


def of(run: Run, slurm: Slurm) -> list[dict[str, str]]:
    """What Slurm knows of the jobs of a run, each of which has ended well on its one CPU."""
    ids = [external for attempts in run.submitted().values() for external in attempts]
    there = [job for job in slurm.jobs() if job["JobId"] in ids]
    assert len(there) == len(ids)
    for job in there:
        assert (job["JobState"], job["NumCPUs"]) == ("COMPLETED", "1")
    return there


def ask_for(there: list[dict[str, str]], jobs: list[dict[str, str]]) -> None:
    """Assert that the cluster's jobs have what the workflow's declare, one after another."""
    for job in there:
        assert job["MinMemoryNode"].removesuffix("M") in {one["mem_mb"] for one in jobs}
    limits = sum(minutes(job["TimeLimit"]) for job in there)
    assert limits == sum(int(job["runtime"]) for job in jobs)


def test_every_rule_runs_there_with_what_it_declares(
    smoke: Project, project: Project, slurm: Slurm, runs: list[Run]
) -> None:
    jobs = declared(project, "--", *OF_EVERY_RULE)
    groups = yaml.safe_load((ROOT / "workflow/profiles/slurm/config.yaml").read_text())["groups"]
    assert {job["rule"] for job in jobs} == {
        rule for rule in groups if not re.search("ablation|network|heads|universe", rule)
    }
    arguments = [*QUICK, "--set-resources", "pretrain_longer:gpu=1", "--", *OF_EVERY_RULE]
    python = preloaded_python()
    runs.append(Run(project, "slurm", *arguments, python=python, environment=slurm.environment))
    runs[0].succeed()

    there = of(runs[0], slurm)
    assert len(there) == 3  # of cells, of checkpoints, of settings
    ask_for(there, jobs)
    assert [job["TresPerJob"] for job in there if "TresPerJob" in job] == ["gres:gpu:1"]
    ended = {job["JobId"]: job for job in slurm.finished()}
    for job in there:
        log = ended[job["JobId"]]
        assert log["JobState"] == "COMPLETED"
        assert log["Tres"].startswith(f"cpu=1,mem={job['MinMemoryNode']},node=1")
    made = {name.removeprefix("results/") for name in OF_EVERY_RULE[1:]}
    assert same_artifacts(project, smoke) >= made | {"figures/figure_8.pdf"}


def test_the_multiverse_runs_there_a_universe_to_a_job(
    multiverse: Project, project: Project, slurm: Slurm, runs: list[Run]
) -> None:
    """Training and judging in one; the best universe again, which is known once all are judged."""
    made = (multiverse.root / "results/multiverse").rglob("*.csv")
    targets = [path.relative_to(multiverse.root) for path in made if path.parent.name != "verdicts"]
    jobs = declared(project, SMALL_MULTIVERSE[-1], "--", *targets)
    assert len(jobs) == 2 * len(targets) == 8
    target = (*QUICK, *SMALL_MULTIVERSE, "--", "results/multiverse/verdicts/fresh.csv")
    python = preloaded_python()
    runs.append(Run(project, "slurm", *target, python=python, environment=slurm.environment))
    runs[0].succeed()
    there = of(runs[0], slurm)
    assert len(there) == len(targets)
    ask_for(there, jobs)
    assert len(same_artifacts(project, multiverse)) == 2 * len(targets) + 3


FAULTS = """
import json, os, pathlib, sys, time

def fault(cell):
    mark = pathlib.Path(f"{cell.replace('/', ' ')}.attempt")
    if cell == "n31/softmax_lr0.005":
        sys.exit("this cell fails whenever it is tried")
    if not mark.exists():
        mark.write_text(os.environ.get("SLURM_JOB_ID", ""))
        if cell == "n15/softmax_lr0.005":
            hog = b"x" * 1_500_000_000
        time.sleep(3600)

if "icl_contrastive.steps.pretrain" in sys.orig_argv:
    config = json.loads(sys.orig_argv[sys.orig_argv.index("--config") + 1])
    fault(f"{config['setting']}/{config['variant']}")
"""
"""On the first attempt, one cell hangs, one waits to be cancelled, one takes too much memory; one
always fails."""


def test_what_is_cancelled_or_takes_too_much_is_tried_again_and_what_fails_is_shown(
    smoke: Project, project: Project, slurm: Slurm, runs: list[Run]
) -> None:
    cells = ("n15/softmax", "n15/softmax_lr0.005", "n31/softmax", "n31/softmax_lr0.005")
    targets = [f"results/pretrained/{cell}.safetensors" for cell in cells]
    options = ["--group-components", "cells=1", "--retries", "1", "--", *targets]
    runs.append(
        Run(
            project,
            *("slurm", *QUICK, *options),
            environment=slurm.environment,
            faults=FAULTS,
        )
    )
    run = runs[0]

    def started(cell: str) -> str:
        """Slurm's id of the cell's job, once its first attempt goes on."""
        mark = project.root / f"{cell}.attempt"
        run.wait(lambda: mark.exists() and mark.read_text() != "")
        return mark.read_text()

    slurm.run("scancel", started("n31 softmax"))
    # It has hung for long enough; a minute is the least that Slurm can limit.
    slurm.run("scontrol", "update", f"JobId={started('n15 softmax')}", "TimeLimit=1")
    assert run.finish() == 1, run.output

    known = {job["JobId"]: job for job in slurm.jobs()}
    courses = []
    for attempts in run.submitted().values():
        first, second = (known[external] for external in attempts)
        assert minutes(second["TimeLimit"]) == 4
        memory = [int(job["MinMemoryNode"].removesuffix("M")) for job in (first, second)]
        assert memory[1] == 2 * memory[0]
        courses.append((first["JobState"], second["JobState"]))
    # Without cgroups, too much memory is seen by a process that is killed, and the job fails.
    assert sorted(courses) == [
        ("CANCELLED", "COMPLETED"),
        ("FAILED", "COMPLETED"),
        ("FAILED", "FAILED"),
        ("TIMEOUT", "COMPLETED"),
    ]
    for message in ("Exceeded job memory limit", "CANCELLED AT", "DUE TO TIME LIMIT"):
        assert message in run.output
    assert "this cell fails whenever it is tried" in run.output
    assert "results/logs/pretrained/n31/softmax_lr0.005.log" in run.output

    made = same_artifacts(project, smoke)
    assert made >= {f"pretrained/{cell}.safetensors" for cell in cells[:3]}


def test_after_a_kill_of_snakemake_its_jobs_are_cancelled_and_it_goes_on(
    smoke: Project, project: Project, slurm: Slurm, runs: list[Run]
) -> None:
    """As workflow/docs/clusters.md says."""
    target = "results/pretrained/n15/softmax.safetensors"
    arguments = ("slurm", *QUICK, "--", target)
    runs.append(Run(project, *arguments, environment=slurm.environment, faults=FAULTS))
    run, mark = runs[0], project.root / "n15 softmax.attempt"
    run.wait(mark.exists)
    run.process.send_signal(signal.SIGKILL)
    run.process.wait()
    (run_id,) = re.findall(r"SLURM run ID: (\S+)", run.output)

    def left() -> str:
        return slurm.run("squeue", "--noheader", "--name", run_id)

    assert left()
    slurm.run("scancel", "--name", run_id)
    slurm.wait(lambda: not left(), "the job to end")
    project.make(*SMOKE, "--unlock")
    runs.append(Run(project, *arguments, environment=slurm.environment, faults=FAULTS))
    runs[1].succeed()
    assert target.removeprefix("results/") in same_artifacts(project, smoke)


def test_the_profile_of_submit_commands_takes_those_of_slurm(
    smoke: Project, project: Project, slurm: Slurm, runs: list[Run]
) -> None:
    system = project.root / "workflow/profiles/cluster-generic/system.sh"
    text = system.read_text(encoding="utf-8")
    (others,) = re.findall(r"^# Slurm\n((?:#   .+\n)+)", text, re.MULTILINE)
    system.write_text(text + re.sub(r"^#", "", others, flags=re.MULTILINE), encoding="utf-8")
    target = "results/equivalence/n15/softmax.csv"
    arguments = ("cluster-generic", "--seconds-between-status-checks", "1", "--", target)
    runs.append(Run(project, *arguments, environment=slurm.environment))
    runs[0].succeed()
    ((job,),) = runs[0].submitted().values()
    folder = project.root / ".snakemake/cluster-generic" / job
    (there,) = (
        one for one in slurm.jobs() if one["JobId"] == (folder / "system_id").read_text().strip()
    )
    assert there["JobState"] == "COMPLETED"
    assert (there["NumCPUs"], minutes(there["TimeLimit"])) == ("1", 4)
    # Both jobs of the group by one Snakemake.
    assert (folder / "log").read_text(encoding="utf-8").count("Building DAG of jobs") == 1
    assert target.removeprefix("results/") in same_artifacts(project, smoke)
