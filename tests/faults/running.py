"""Snakemake at work in a folder of its own, to be struck in the middle of it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from ..project import SMOKE, Project

PATIENCE = 600  # seconds after which something that is waited for will never come
TARGETS = ("figure_6", "figure_8")
"""Eleven jobs: every kind of step from the data to a figure."""


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Look again and again; time decides nothing but how long to hope."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.02)


RUNNING: list[Running] = []
"""What a failed test may have left at work."""


@dataclass(frozen=True)
class Folder:
    """A working folder for the code of a project, whose compiled training it shares."""

    project: Project
    root: Path

    def start(
        self,
        *arguments: str | Path,
        config: tuple[str | Path, ...] = (),
        environment: Mapping[str, str] | None = None,
        wrapper: tuple[str, ...] = (),
    ) -> Running:
        """Snakemake in the background, with more files of the config, in a command's care."""
        self.root.mkdir(exist_ok=True)
        command = [*wrapper, sys.executable, "-m", "snakemake", *arguments, "--cores", "2"]
        command += ["--directory", self.root, *SMOKE, *config]
        return Running(self.project.root, [str(part) for part in command], environment or {})

    def run(
        self, *arguments: str | Path, config: tuple[str | Path, ...] = (), **surroundings: Any
    ) -> subprocess.CompletedProcess[str]:
        """The same until its end; its output, both streams as one, is in ``stdout``."""
        if surroundings:
            running = self.start(*arguments, config=config, **surroundings)
            running.wait()
            return subprocess.CompletedProcess([], running.process.returncode, running.output)
        return self.project.snakemake(*arguments, "--directory", self.root, *SMOKE, *config)

    def make(self, *arguments: str | Path, **options: Any) -> str:
        """The same, which must succeed; its output."""
        done = self.run(*arguments, **options)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def outdated(self, *targets: str) -> list[str]:
        """The rules whose jobs would run, in their order."""
        plan = self.make(*targets, "--dry-run")
        return re.findall(r"^(?:local)?rule (\w+):$", plan, re.MULTILINE)

    def copy(self, root: Path) -> Folder:
        """All that is in the folder, elsewhere."""
        shutil.copytree(self.root, root)
        return Folder(self.project, root)

    def path(self, artifact: str) -> Path:
        return self.root / "results" / artifact

    @property
    def artifacts(self) -> dict[str, bytes]:
        return Project(self.root).artifacts()

    @property
    def leftovers(self) -> list[Path]:
        """Files that were not renamed, of writes that were cut off."""
        return list(self.path("").rglob(".*"))

    @property
    def targets(self) -> list[str]:
        """All artifacts as targets; without the intermediate ones, these would stay deleted."""
        return [f"results/{name}" for name in self.artifacts]

    @property
    def locks(self) -> list[Path]:
        return list((self.root / ".snakemake/locks").glob("*"))

    def holds_nothing_but(self, whole: Folder, *others: str) -> None:
        """Assert that every artifact there is, is whole, and none is a leftover."""
        mine, right = self.artifacts, whole.artifacts
        for name in others:
            mine.pop(name, None)
        assert set(mine) <= set(right)
        assert [name for name in mine if mine[name] != right[name]] == []

    def equals(self, whole: Folder) -> None:
        """Assert that all artifacts are there and byte-identical."""
        self.holds_nothing_but(whole)
        assert set(self.artifacts) == set(whole.artifacts)


class Running:
    """A run of Snakemake; it and all its jobs are one session, by which orphans are found."""

    def __init__(self, folder: Path, command: list[str], environment: Mapping[str, str]) -> None:
        self._reader, writer = os.pipe()
        self._text = b""
        os.set_blocking(self._reader, False)
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=writer,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        os.close(writer)
        RUNNING.append(self)

    @property
    def output(self) -> str:
        """What Snakemake and its jobs have said so far, both streams as one."""
        try:
            while new := os.read(self._reader, 65536):
                self._text += new
        except BlockingIOError:
            pass  # no more for now
        return self._text.decode(errors="replace")

    def processes(self) -> list[psutil.Process]:
        """Those of the session that are alive, Snakemake's own and its jobs'."""
        found = []
        for process in psutil.process_iter():
            try:
                alive = process.status() != psutil.STATUS_ZOMBIE
                if alive and os.getsid(process.pid) == self.process.pid:
                    found.append(process)
            except (psutil.NoSuchProcess, ProcessLookupError):
                pass
        return found

    def steps(self) -> list[psutil.Process]:
        """The processes that compute."""
        found = []
        for process in self.processes():
            try:
                command = process.cmdline()
            except psutil.NoSuchProcess:
                continue
            if any(part.startswith("icl_contrastive.") for part in command):
                found.append(process)
        return found

    def kill_a_step(self) -> bool:
        """Send SIGKILL to a process that computes, if there is one."""
        for process in self.steps():
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue  # it was quicker
            return True
        return False

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for something that must come before the run ends."""

        def come() -> bool:
            output = self.output  # emptied often, or Snakemake waits for a reader
            if condition():
                return True
            assert self.process.poll() is None, f"no {what} before the end:\n{output}"
            return False

        wait_until(come, what)

    def wait(self) -> None:
        """Wait for Snakemake's end, not for orphans'."""

        def ended() -> bool:
            return bool(self.output) and self.process.poll() is not None

        wait_until(ended, "the end")

    def wait_for_orphans(self) -> None:
        wait_until(lambda: bool(self.output) and not self.processes(), "the end of orphans")

    def interrupt(self) -> None:
        """Ctrl-C: the terminal sends SIGINT to all processes."""
        os.killpg(self.process.pid, signal.SIGINT)

    def kill_all(self) -> None:
        """What a crash of the machine does."""
        while processes := self.processes():
            for process in processes:
                with contextlib.suppress(psutil.NoSuchProcess):  # others end on their own
                    process.kill()
        self.process.wait()
