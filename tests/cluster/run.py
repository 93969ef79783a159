"""Snakemake in the background, with a profile and with faults."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping

from ..project import SMOKE, Project, plain

LONGEST = 1200  # seconds that anything here may take on a busy machine


class Run:
    """A run of Snakemake that goes on beside the test.

    Args:
        project: where.
        profile: name of a folder in ``workflow/profiles``.
        arguments: of Snakemake, besides.
        python: runs Snakemake and its jobs.
        environment: replaces that of this process.
        faults: source of a module that every Python of every job imports before it starts.
    """

    def __init__(
        self,
        project: Project,
        profile: str,
        *arguments: str,
        python: str = sys.executable,
        environment: Mapping[str, str] | None = None,
        faults: str | None = None,
    ) -> None:
        self.project = project
        self.log = project.root / f"{profile}.log"
        inherited = plain(os.environ if environment is None else environment)
        if faults is not None:
            folder = project.root / "faults"
            folder.mkdir(exist_ok=True)
            (folder / "sitecustomize.py").write_text(faults, encoding="utf-8")
            inherited["PYTHONPATH"] = str(folder)
        command = [python, "-m", "snakemake", *SMOKE]
        command += ["--workflow-profile", f"workflow/profiles/{profile}", *arguments]
        with self.log.open("wb") as file:
            self.process = subprocess.Popen(
                command,
                cwd=project.root,
                env=inherited,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self.log.read_text(encoding="utf-8")

    def submitted(self) -> dict[str, list[str]]:
        """The batch system's ids of each of Snakemake's jobs, one for each attempt."""
        ids: dict[str, list[str]] = {}
        pattern = (
            r"^Job (\S+) has been submitted with SLURM jobid (\d+)"
            r"|^Submitted (?:group )?job (\S+) with external jobid '(\S+)'"
        )
        for match in re.finditer(pattern, self.output, re.MULTILINE):
            job, external = match.group(1, 2) if match[1] else match.group(3, 4)
            ids.setdefault(job, []).append(external)
        return ids

    def wait(self, condition: Callable[[], bool]) -> None:
        """Poll until the condition holds, as long as Snakemake runs."""
        deadline = time.monotonic() + LONGEST
        while not condition():
            assert self.process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.2)

    def finish(self) -> int:
        """Wait for its end; the exit status."""
        try:
            return self.process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            self.stop()
            raise AssertionError(self.output) from None

    def succeed(self) -> None:
        """Wait for its end, which must be a good one."""
        assert self.finish() == 0, self.output

    def stop(self) -> None:
        """End it, and what it has started, if it still goes on."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def same_artifacts(one: Project, other: Project) -> set[str]:
    """The artifacts of one project, which must be as in the other, byte for byte."""
    mine, theirs = one.artifacts(), other.artifacts()
    assert {name for name in mine if mine[name] != theirs.get(name)} == set()
    return set(mine)
