"""The workflow on a batch system of a submit command: processes in the background."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest

from ..project import ROOT, Project, preloaded_python
from .run import Run, same_artifacts

PROFILE = ROOT / "workflow/profiles/cluster-generic"
TARGETS = ("figure_8", "results/controls/n31.csv")


def submit(folder: Path, script: str, minutes: str = "1") -> str:
    """Submit a script; its id."""
    path = folder / f"it's script {len(list(folder.iterdir()))}.sh"
    path.write_text(script, encoding="utf-8")
    command = [str(PROFILE / "submit.sh"), "1", "500", minutes, str(path)]
    return subprocess.check_output(command, cwd=folder, text=True).strip()


def status(folder: Path, job: str) -> str:
    """What status.sh says of a job, through the link that Snakemake uses."""
    command = ".snakemake/cluster-generic/profile/status.sh"
    return subprocess.check_output([command, job], cwd=folder, text=True).strip()


def outcome(folder: Path, job: str) -> str:
    """What it says once the job has ended."""
    deadline = time.monotonic() + 60
    while (said := status(folder, job)) == "running":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return said


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "it's a folder"
    path.mkdir()
    return path


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo done", "success"),
        ("exit 3", "failed"),
        ("kill -KILL 0", "failed"),  # with its whole group, before anything is written
        ("kill -KILL $PPID; sleep 60", "failed"),
    ],
)
def test_the_end_of_a_job_is_seen(folder: Path, script: str, said: str) -> None:
    job = submit(folder, script)
    assert outcome(folder, job) == said
    if said == "success":
        log = folder / ".snakemake/cluster-generic" / job / "log"
        assert log.read_text(encoding="utf-8") == "done\n"


def test_a_job_out_of_time_has_failed(folder: Path) -> None:
    assert outcome(folder, submit(folder, "sleep 600", minutes="0.01")) == "failed"


def test_a_job_that_is_not_known_has_failed(folder: Path) -> None:
    submit(folder, "true")
    assert status(folder, "nonsense") == "failed"


@pytest.mark.parametrize(
    ("system", "command", "gone"),
    [
        ("Slurm", "squeue", "echo 12"),  # the user's other jobs
        ("PBS", "qstat", "echo 'qstat: Unknown Job Id 1.pbs' >&2; exit 153"),
        ("LSF", "bjobs", "echo 'Job <1> is not found' >&2; exit 255"),
        ("SGE", "qstat", "printf 'Following jobs do not exist: \\n1\\n' >&2; exit 1"),
    ],
)
def test_a_job_runs_on_while_its_system_does_not_answer(
    folder: Path, system: str, command: str, gone: str
) -> None:
    text = (PROFILE / "system.sh").read_text(encoding="utf-8")
    found = re.search(rf"^# {system}\n(?:#   .+\n)*?#   (alive.+)$", text, re.MULTILINE)
    assert found

    def alive(answer: str) -> bool:
        program = folder / command
        program.write_text(f"#!/bin/sh\n{answer}\n", encoding="utf-8")
        program.chmod(0o755)
        asked = ["bash", "-euo", "pipefail", "-c", f"{found[1]}\nif alive 1; then echo yes; fi"]
        path = f"{folder}{os.pathsep}{os.environ['PATH']}"
        return subprocess.check_output(asked, env={"PATH": path}, text=True) == "yes\n"

    assert not alive(gone)
    assert alive("echo 'cannot connect to the server' >&2; exit 1")
    assert alive("echo 1")


def test_cancelling_ends_all_processes_of_the_jobs(folder: Path) -> None:
    pids = [folder / f"pid{i}" for i in range(2)]
    jobs = [submit(folder, f"sleep 600 & echo $! >{shlex.quote(str(p))}; wait") for p in pids]
    deadline = time.monotonic() + 60
    while not all(path.exists() and path.read_text() for path in pids):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    command = ".snakemake/cluster-generic/profile/cancel.sh"
    subprocess.run([command, *jobs, "nonsense"], cwd=folder, check=True)
    assert [outcome(folder, job) for job in jobs] == ["failed", "failed"]
    for path in pids:
        while alive(int(path.read_text())):
            assert time.monotonic() < deadline
            time.sleep(0.1)


def alive(pid: int) -> bool:
    """Whether there is a process that does more than wait to be taken note of."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    return state.rpartition(")")[2].split()[0] != "Z"


def test_the_artifacts_are_those_of_a_local_run(
    smoke: Project, project: Project, runs: list[Run]
) -> None:
    quick = ("--seconds-between-status-checks", "1")
    python = preloaded_python()
    runs.append(Run(project, "cluster-generic", *quick, "--", *TARGETS, python=python))
    runs[0].succeed()
    assert len(runs[0].submitted()) == 2  # cells, settings
    made = same_artifacts(project, smoke)
    assert {"figures/figure_8.pdf", "controls/n31.csv"} <= made


WAIT = """
import pathlib, sys, time

if "icl_contrastive.steps.pretrain" in sys.orig_argv and not pathlib.Path("attempt").exists():
    pathlib.Path("attempt").touch()
    time.sleep(3600)
"""


def test_an_interrupt_cancels_the_jobs_and_frees_the_folder(
    smoke: Project, project: Project, runs: list[Run]
) -> None:
    target = "results/pretrained/n15/softmax.safetensors"

    def arguments(seconds: str) -> tuple[str, ...]:
        return "cluster-generic", "--seconds-between-status-checks", seconds, "--", target

    # A job that Snakemake is asking the state of just then is not cancelled: here it hardly asks.
    runs.append(Run(project, *arguments("10"), faults=WAIT))
    run = runs[0]
    run.wait((project.root / "attempt").exists)
    run.process.send_signal(signal.SIGINT)
    assert run.finish() == 1, run.output
    ((job,),) = run.submitted().values()
    assert outcome(project.root, job) == "failed"
    runs.append(Run(project, *arguments("1"), faults=WAIT))
    runs[1].succeed()
    assert target.removeprefix("results/") in same_artifacts(project, smoke)
