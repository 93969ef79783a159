"""Room, permission and memory that run out."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .running import TARGETS, Folder

RESUME = "--rerun-incomplete"


def mount(*arguments: str | Path) -> None:
    """Mount something, or skip the test where that is not allowed."""
    try:
        subprocess.run(["mount", *map(str, arguments)], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        why = getattr(error, "stderr", None) or str(error)
        pytest.skip(f"only who may mount can make this fault (root, CAP_SYS_ADMIN): {why.strip()}")


@contextmanager
def mounted(root: Path, *arguments: str | Path) -> Iterator[None]:
    """A file system at the folder, for a while."""
    root.mkdir(parents=True, exist_ok=True)
    mount(*arguments, root)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", root], check=True)


@pytest.mark.fault("Disk full")
def test_disk_full(fresh: Folder, whole: Folder) -> None:
    size = sum(map(len, whole.artifacts.values()))
    assert size > 400_000
    with mounted(fresh.path(""), "-t", "tmpfs", "-o", "size=64k", "tmpfs"):
        for kilobytes in (64, 300):
            mount("-o", f"remount,size={kilobytes}k", fresh.path(""))
            run = fresh.run(*TARGETS)
            assert run.returncode == 1
            said = run.stdout + logs(fresh)
            assert re.search(
                r"error: results/\S+ cannot be written \(.*No space left on device", said
            )
            fresh.holds_nothing_but(whole)
            assert fresh.leftovers == []
        mount("-o", "remount,size=64m", fresh.path(""))
        fresh.make(*TARGETS, RESUME)
        fresh.equals(whole)


def logs(folder: Folder) -> str:
    return "".join(path.read_text("utf-8") for path in folder.path("logs").rglob("*.log"))


@pytest.mark.fault("A file over the quota")
def test_a_file_over_the_quota(finished: Folder, whole: Folder) -> None:
    table, figure = "tables/matrices.csv", "figures/figure_6.png"
    assert len(whole.artifacts[table]) > 40 * 1024
    for name in (table, figure):
        finished.path(name).unlink()
    run = finished.run(*whole.targets, wrapper=("bash", "-c", 'ulimit -f 40; exec "$@"', "bash"))
    assert run.returncode == 1
    said = run.stdout + logs(finished)
    assert f"error: results/{table} cannot be written (File too large)" in said
    finished.holds_nothing_but(whole)
    assert finished.leftovers == []
    finished.make(*whole.targets, RESUME)
    finished.equals(whole)


@pytest.mark.fault("Results that cannot be written to")
def test_read_only_results(finished: Folder, whole: Folder) -> None:
    results = finished.path("")
    finished.path("figures/figure_8.png").unlink()
    with mounted(results, "--bind", results):
        mount("-o", "remount,ro,bind", results)
        assert "Nothing to be done" in finished.make("figure_6")
        run = finished.run(*TARGETS)
        assert run.returncode == 1
        assert "Write-protected output files" in run.stdout
        assert "results/figures/figure_8.pdf" in run.stdout
    finished.path("figures/figure_8.pdf").unlink()
    with mounted(results, "--bind", results):
        mount("-o", "remount,ro,bind", results)
        run = finished.run(*TARGETS)
        assert run.returncode == 1
        assert "Read-only file system" in run.stdout
        assert finished.locks == []
    finished.make(*TARGETS, RESUME)
    finished.equals(whole)


def python(folder: Folder, *arguments: str, **limits: int) -> subprocess.CompletedProcess[str]:
    """Python with the project's package, under limits of resources."""

    def limit() -> None:
        for name, value in limits.items():
            resource.setrlimit(getattr(resource, name), (value, value))

    return subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | {"PYTHONPATH": str(folder.project.root / "src")},
        preexec_fn=limit,
        capture_output=True,
        text=True,
        check=False,
    )


TORCH = """
import sys
from icl_contrastive.command import run_step
def main(arguments, config):
    import torch
    torch.empty(2**40)
sys.argv = ["step"]
run_step(main)
"""


@pytest.mark.fault("A job over its memory")
def test_a_job_over_its_memory(fresh: Folder, tmp_path: Path) -> None:
    shape = {"setting": "n15", "demonstrations": 15, "d_x": 11, "d_y": 1, "tasks": "shared"}
    config = shape | {"seed": 1, "runs": 1, "prompts": 10, "test_prompts": 10**9}
    output = tmp_path / "x.safetensors"
    step = ("-m", "icl_contrastive.steps.data", "--config", json.dumps(config), "--output", output)
    for command in (tuple(map(str, step)), ("-c", TORCH)):
        done = python(fresh, *command, RLIMIT_AS=8 * 2**30)
        assert done.returncode == 1
        assert done.stderr.startswith("error: out of memory (")
        assert "run fewer jobs at once or on a larger machine" in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
        assert not output.exists()
