"""A copy of the project in which the workflow's tests run Snakemake, edit files and look on."""

from __future__ import annotations

import atexit
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from icl_contrastive.config import FIGURES

ROOT = Path(__file__).parents[1]
SOURCES = ("Snakefile", "config.yaml", "workflow", "src")
SMOKE = ("--configfile", "workflow/smoke.yaml")
SMALL_MULTIVERSE = (*SMOKE, str(ROOT / "tests/small_multiverse.yaml"))
NOTHING = "Nothing to be done"
FIGURE_TABLES = {name: one.tables for name, one in FIGURES.items() if one.keys is not None}
"""What each figure of the config is drawn from."""


def block(name: str, page: str) -> str:
    """A block of code of a page, between comments that name it."""
    text = (ROOT / page).read_text(encoding="utf-8")
    pattern = rf"<!-- {name}:begin -->\n( *```\w*\n.*?)```\n *<!-- {name}:end -->"
    found = re.search(pattern, text, re.DOTALL)
    assert found is not None, name
    return textwrap.dedent(found[1]).partition("\n")[2]


def free_port() -> int:
    """A port that nothing on this machine listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def plain(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """An environment without what tells Snakemake or Python more than their arguments."""
    hidden = ("SNAKEMAKE_PROFILE", "PYTHONPATH")
    return {key: value for key, value in environment.items() if key not in hidden}


@cache
def preloaded_python() -> str:
    """A Python for modules, which has loaded what they import; all that it runs has it, too."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    server, client = (Path(__file__).with_name(f"{name}.py") for name in ("preloaded", "forked"))
    python = folder / "python"
    here, there, fork = (shlex.quote(str(one)) for one in (sys.executable, python, client))
    python.write_text(
        f'#!/usr/bin/env bash\n[ "$1" != -m ] || exec {here} -IS {fork} {there} "$@"\n'
        f'exec {here} "$@"\n'
    )
    python.chmod(0o755)
    process = subprocess.Popen([sys.executable, server, python], env=plain())
    atexit.register(process.kill)
    while not python.with_suffix(".socket").exists():
        assert process.poll() is None
        time.sleep(0.02)
    return str(python)


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that all processes which share the tests make once, and that none may change."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / f"shared {name}"
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            unfinished = folder.with_suffix(".unfinished")
            make(unfinished)
            unfinished.rename(folder)
    return folder


@dataclass(frozen=True)
class Project:
    """The sources of the project in a folder of their own, with results beside them."""

    root: Path

    @classmethod
    def copy(cls, root: Path) -> Project:
        """Copy the project's sources, and nothing that they made."""
        root.mkdir(parents=True)
        for name in SOURCES:
            source = ROOT / name
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(source, root / name, ignore=ignored)
            else:
                shutil.copy2(source, root / name)
        return cls(root)

    def snakemake(
        self, *arguments: str | Path, cores: int = 2, python: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run Snakemake in the copy; its output, both streams as one, is in ``stdout``."""
        command = [python or preloaded_python(), "-m", "snakemake", "--cores", str(cores)]
        return subprocess.run(
            [*command, *map(str, arguments)],
            cwd=self.root,
            env=plain(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )

    def make(self, *arguments: str | Path, **options: Any) -> str:
        """Run Snakemake, which must succeed, and return its output."""
        done = self.snakemake(*arguments, **options)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def outdated(self, *arguments: str | Path) -> dict[str, str]:
        """Why each job would run, by its first output below results/ without the suffix."""
        output = self.make("--dry-run", *arguments)
        blocks = re.findall(
            r"^    output: results/(.+?)\.\w+(?:,.*)?\n(?:    .*\n)*?    reason: (.+)$",
            output,
            re.MULTILINE,
        )
        assert bool(blocks) != (NOTHING in output), output
        return dict(blocks)

    @contextmanager
    def edited(self, path: str, old: str, new: str) -> Iterator[None]:
        """For a while, have ``new`` in place of ``old``, which must stand in the file."""
        text = (self.root / path).read_text(encoding="utf-8")
        assert old in text, f"{old!r} is not in {path}"
        with self._rewritten(path, text.replace(old, new)):
            yield

    @contextmanager
    def appended(self, path: str, line: str) -> Iterator[None]:
        """For a while, have one more line at the end of the file."""
        text = (self.root / path).read_text(encoding="utf-8")
        with self._rewritten(path, f"{text}{line}\n"):
            yield

    @contextmanager
    def _rewritten(self, path: str, text: str) -> Iterator[None]:
        """Another text for a while; then the file is as it was, its time included."""
        file = self.root / path
        before, status = file.read_bytes(), file.stat()
        file.write_text(text, encoding="utf-8")
        try:
            yield
        finally:
            file.write_bytes(before)
            os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))

    def artifacts(self) -> dict[str, bytes]:
        """Contents of all artifacts by path; logs, timings and files not yet renamed are none."""
        results = self.root / "results"
        return {
            str(path.relative_to(results)): path.read_bytes()
            for path in sorted(results.rglob("[!.]*"))
            if path.is_file() and path.relative_to(results).parts[0] not in ("logs", "benchmarks")
        }
