"""Clocks, languages and places: what is made does not depend on them."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from icl_contrastive.artifacts.verify import verify

from .running import Folder

DECADE = 10 * 365 * 24 * 3600


@pytest.mark.fault("A figure deleted")
def test_a_deleted_figure(finished: Folder, whole: Folder) -> None:
    for name in ("figure_8.png", "figure_6.pdf"):
        finished.path(f"figures/{name}").unlink()
        output = finished.make(*whole.targets)
        assert "1 of 1 steps (100%) done" in output
        assert f"rule {Path(name).stem}:" in output
        finished.equals(whole)


@pytest.mark.fault("Times of files in the past or the future")
def test_times_of_files(finished: Folder, whole: Folder) -> None:
    rng = random.Random(7)
    for _ in range(3):
        for path in finished.path("").rglob("*"):
            then = time.time() + rng.uniform(-DECADE, DECADE)
            os.utime(path, (then, then))
        assert finished.outdated(*whole.targets) == []
    finished.path("figures/figure_8.png").unlink()
    assert "1 of 1 steps (100%) done" in finished.make(*whole.targets)
    finished.equals(whole)
    table = finished.path("tables/trajectories/n31/softmax.csv")
    before = table.stat()
    shutil.copy2(whole.project.root / "results/manifest.json", finished.path(""))
    assert verify(finished.path("")).damaged == []
    text = table.read_bytes()
    assert b"0.1" in text
    table.write_bytes(text.replace(b"0.1", b"0.2"))
    os.utime(table, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert finished.outdated(*whole.targets) == []  # an edit dated back
    assert verify(finished.path("")).damaged == ["tables/trajectories/n31/softmax.csv"]


@pytest.mark.fault("The clock put back between jobs")
def test_the_clock_put_back(finished: Folder, whole: Folder) -> None:
    """All that was there is from the future when what hangs on it is made."""
    for artifact in ("figures/figure_8.png", "tables/matrices.csv"):
        for path in finished.path("").rglob("*"):
            os.utime(path, (time.time() + DECADE,) * 2)
        finished.path(artifact).unlink()
        run = finished.run(*whole.targets)
        assert run.returncode == 1
        assert "This could indicate a clock skew problem" in run.stdout
        finished.holds_nothing_but(whole)
        for path in finished.path("").rglob("*"):
            path.touch()
        finished.make(*whole.targets)
        finished.equals(whole)
    assert finished.outdated(*whole.targets) == []


PROBE = """
import locale, sys, time
locale.setlocale(locale.LC_ALL, "")
print(locale.localeconv()["decimal_point"], sys.getfilesystemencoding(), -time.timezone / 3600)
"""


def probe(environment: dict[str, str]) -> str:
    """Decimal point, encoding and hours ahead of UTC that a Python has there."""
    command = [sys.executable, "-c", PROBE]
    inherited = os.environ | environment
    return subprocess.run(command, env=inherited, check=True, capture_output=True, text=True).stdout


@pytest.mark.fault("Another locale and time zone")
def test_locales(fresh: Folder, finished: Folder, whole: Folder) -> None:
    everywhere = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "TZ": "<-09>9"}
    assert probe(everywhere) == ". ascii -9.0\n"
    fresh.make("figure_8", environment=everywhere)
    fresh.holds_nothing_but(whole)
    the_last_steps = {"LC_ALL": "C", "TZ": "<+14>-14"}
    assert probe(the_last_steps).endswith(" 14.0\n")
    redrawn(finished, whole, the_last_steps)


@pytest.mark.fault("A Turkish or German locale")
def test_locales_with_decimal_commas(finished: Folder, whole: Folder, tmp_path: Path) -> None:
    for name in ("tr_TR", "de_DE"):
        environment = {"LC_ALL": f"{name}.UTF-8", "LOCPATH": str(tmp_path), "TZ": "<+0545>-5:45"}
        compiled = tmp_path / f"{name}.UTF-8"
        try:
            subprocess.run(
                ["localedef", "-i", name, "-f", "UTF-8", compiled], check=True, capture_output=True
            )
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"needs localedef and the sources of locales: {error}")
        assert probe(environment) == ", utf-8 5.75\n"
        redrawn(finished, whole, environment)


def redrawn(finished: Folder, whole: Folder, environment: dict[str, str]) -> None:
    """Make a table and the figures again, which must be as they were."""
    for artifact in ("tables/matrices.csv", "figures/figure_8.pdf"):
        finished.path(artifact).unlink()
    finished.make(*whole.targets, environment=environment)
    finished.equals(whole)
