"""Whatever ends a run in the middle, the next one finishes it with the same bytes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from .running import TARGETS, Folder, Running

RESUME = "--rerun-incomplete"


def graph(run: Running) -> bool:
    return "Building DAG" in run.output


def step(run: Running) -> bool:
    return bool(run.steps())


def first_end(run: Running) -> bool:
    return "Finished jobid" in run.output


def step_after_an_end(run: Running) -> bool:
    return first_end(run) and step(run)


MOMENTS: list[Callable[[Running], bool]] = [graph, step, step_after_an_end, step, first_end, step]
"""What has just happened when the blow falls; after each, a random share of a second passes."""


@pytest.mark.fault("SIGKILL of Snakemake")
def test_sigkill_of_snakemake(fresh: Folder, whole: Folder) -> None:
    rng = random.Random(1)
    refusals = 0
    for number, moment in enumerate(MOMENTS):
        run = fresh.start(*TARGETS, RESUME)
        run.wait_for(partial(moment, run), moment.__name__)
        time.sleep(rng.random())
        run.process.kill()
        run.wait()
        assert run.process.returncode == -signal.SIGKILL
        if number % 3 == 0:
            run.kill_all()
        elif number % 3 == 1:
            run.wait_for_orphans()
        # and else they are still at work while the next run is
        if fresh.locks:
            refused = fresh.run(*TARGETS, RESUME)
            assert refused.returncode != 0
            assert "--unlock" in refused.stdout
            refusals += 1
            fresh.make("--unlock")
        fresh.holds_nothing_but(whole)
    assert refusals >= len(MOMENTS) / 2  # no lock while the graph is built
    fresh.make(*TARGETS, RESUME)
    fresh.equals(whole)


@pytest.mark.fault("SIGKILL of a running job")
def test_sigkill_of_a_step(fresh: Folder, whole: Folder) -> None:
    rng = random.Random(3)
    for moment in (step, step_after_an_end, step, step_after_an_end):
        run = fresh.start(*TARGETS)
        run.wait_for(partial(moment, run), moment.__name__)
        time.sleep(rng.random() / 2)
        run.wait_for(run.kill_a_step, "step")
        run.wait()
        assert run.process.returncode == 1
        assert "Error in rule" in run.output
        assert fresh.locks == []
        fresh.holds_nothing_but(whole)
    fresh.make(*TARGETS, RESUME)
    fresh.equals(whole)


@pytest.mark.fault("SIGINT (Ctrl-C)")
def test_sigint(fresh: Folder, whole: Folder) -> None:
    rng = random.Random(5)
    for number, moment in enumerate((step, first_end, step, step_after_an_end)):
        run = fresh.start(*TARGETS, RESUME)
        run.wait_for(partial(moment, run), moment.__name__)
        time.sleep(rng.random() / 2)
        if number % 2:
            run.process.send_signal(signal.SIGINT)  # to Snakemake alone: it waits for its jobs
        else:
            run.interrupt()
        run.wait()
        assert run.process.returncode == 1
        # In the middle of Snakemake's own asynchronous code, it ends in that one's traceback.
        assert "Traceback" not in run.output or run.output.endswith("CancelledError\n")
        assert run.processes() == []
        assert fresh.locks == []
        fresh.holds_nothing_but(whole)
    fresh.make(*TARGETS, RESUME)
    fresh.equals(whole)


WRITER = """
import sys, time
from pathlib import Path
from icl_contrastive.artifacts.files import write_atomically
target, content, share = Path(sys.argv[1]), b"new" * 10_000, float(sys.argv[2])
def write(path):
    with path.open("wb") as file:
        file.write(content[: round(share * len(content))])
        file.flush()
        print("struck me", flush=True)
        time.sleep(float(sys.argv[3]))
        file.write(content[round(share * len(content)) :])
write_atomically(target, write)
"""


@pytest.mark.fault("SIGKILL in the middle of a write")
def test_sigkill_in_a_write(fresh: Folder, tmp_path: Path) -> None:
    target = tmp_path / "artifact.csv"
    command = [sys.executable, "-c", WRITER, str(target)]
    environment = os.environ | {"PYTHONPATH": str(fresh.project.root / "src")}
    before = None
    for share in (0, 0.01, 0.5, 0.99, 1):
        with subprocess.Popen(
            [*command, str(share), "600"], env=environment, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"struck me\n"
            process.kill()
        assert (target.read_bytes() if target.exists() else None) == before
        subprocess.run([*command, "0", "0"], env=environment, check=True, capture_output=True)
        before = target.read_bytes()
        assert before == b"new" * 10_000
        if share < 0.5:
            target.unlink()
            before = None
    leftovers = {path.name for path in tmp_path.iterdir()} - {target.name}
    assert all(name.startswith(".artifact.") for name in leftovers)
    assert len(leftovers) == 5


@pytest.mark.fault("Two Snakemakes in one folder")
def test_two_snakemakes(fresh: Folder, whole: Folder) -> None:
    first = fresh.start(*TARGETS)
    for _ in range(2):
        first.wait_for(partial(step, first), "step")
        # Without this option it may be an unfinished artifact of the first that it refuses first.
        second = fresh.run(*TARGETS, RESUME)
        assert second.returncode != 0
        assert "LockException" in second.stdout
        assert "no other Snakemake process is trying to create" in second.stdout
    first.wait()
    assert first.process.returncode == 0, first.output
    fresh.equals(whole)


HANGING = '''
"""A family whose draw never ends."""
import time
from pathlib import Path
from icl_contrastive.features import ExponentialFamily

class Hanging(ExponentialFamily):
    def sample(self, rng, d, d_r, statistics):
        Path("hangs").touch()
        while True:
            time.sleep(1)
'''
HANGING_CONFIG = """
variants:
  hanging:
    {model: softmax, features: {family: "hanging:Hanging"}, learning_rate: 0.1, settings: [n31]}
"""


@pytest.mark.fault("A job that hangs")
def test_a_job_that_hangs(finished: Folder, whole: Folder) -> None:
    finished.path("data/n31.safetensors").touch()
    (finished.root / "hanging.py").write_text(HANGING, encoding="utf-8")
    config = finished.root / "hanging.yaml"
    config.write_text(HANGING_CONFIG, encoding="utf-8")
    target = "results/pretrained/n31/hanging.safetensors"
    run = finished.start(target, RESUME, config=(config,))
    run.wait_for((finished.root / "hangs").exists, "hanging job")
    assert "results/logs/pretrained/n31/hanging.log" in run.output  # where to look
    run.interrupt()
    run.wait()
    assert run.process.returncode == 1
    assert run.processes() == []
    assert finished.locks == []
    assert not (finished.root / target).exists()
    finished.make(*TARGETS)
    finished.equals(whole)


@pytest.mark.fault("A job over its time")
def test_a_job_over_its_time(finished: Folder, whole: Folder) -> None:
    """As batch systems end it; the profiles for them try again with more time."""
    artifact = "approximation/n31.csv"
    for sent, retries in ((signal.SIGTERM, 1), (signal.SIGXCPU, 1), (signal.SIGTERM, 0)):
        finished.path(artifact).unlink()
        run = finished.start(f"results/{artifact}", "--retries", str(retries))
        run.wait_for(partial(step, run), "step")
        run.steps()[0].send_signal(sent)
        run.wait()
        if retries:
            assert run.process.returncode == 0
            assert "Trying to restart job" in run.output
        else:
            assert run.process.returncode == 1
            assert "Error in rule approximation" in run.output
            assert finished.locks == []
            assert not finished.path(artifact).exists()
            finished.holds_nothing_but(whole)
            finished.make(f"results/{artifact}")
        finished.equals(whole)
