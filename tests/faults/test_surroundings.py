"""Clocks, languages and places: what is made does not depend on them."""

from __future__ import annotations

import os
import random
import subprocess
import time
from pathlib import Path

import pytest

from .conftest import Strike
from .running import Folder

DECADE = 10 * 365 * 24 * 3600


@pytest.mark.fault("A figure deleted")
def test_a_deleted_figure(finished: Folder, whole: Folder, strike: Strike) -> None:
    for name in ("figure_8.png", "figure_6.pdf"):
        finished.path(f"figures/{name}").unlink()
        strike()
        output = finished.make(*whole.targets)
        assert "1 of 1 steps (100%) done" in output
        assert f"rule {Path(name).stem}:" in output
        finished.equals(whole)


@pytest.mark.fault("An artifact edited by hand")
def test_an_edited_artifact(finished: Folder, whole: Folder, strike: Strike) -> None:
    """What hangs on it is made again, it itself is not; the file of another figure stays."""
    table = finished.path("tables/trajectories/n31/softmax.csv")
    text = table.read_text("utf-8")
    table.write_text(text.replace("0.", "1.", 1), encoding="utf-8")
    strike()
    assert finished.outdated(*whole.targets) == ["figure_8"]
    table.unlink()
    finished.make(*whole.targets)
    finished.equals(whole)


@pytest.mark.fault("Times of files in the past or the future")
def test_times_of_files(finished: Folder, whole: Folder, strike: Strike) -> None:
    rng = random.Random(7)
    for _ in range(3):
        for path in finished.path("").rglob("*"):
            then = time.time() + rng.uniform(-DECADE, DECADE)
            os.utime(path, (then, then))
        strike()
        assert finished.outdated(*whole.targets) == []
    finished.path("figures/figure_8.png").unlink()
    assert "1 of 1 steps (100%) done" in finished.make(*whole.targets)
    finished.equals(whole)
    table = finished.path("tables/trajectories/n31/softmax.csv")
    before = table.stat()
    table.write_bytes(table.read_bytes().replace(b"0.1", b"0.2"))
    os.utime(table, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert finished.outdated(*whole.targets) == []  # an edit dated back


@pytest.mark.fault("The clock put back between jobs")
def test_the_clock_put_back(finished: Folder, whole: Folder, strike: Strike) -> None:
    """All that was there is from the future when what hangs on it is made."""
    for artifact in ("figures/figure_8.png", "tables/matrices.csv"):
        for path in finished.path("").rglob("*"):
            os.utime(path, (time.time() + DECADE,) * 2)
        finished.path(artifact).unlink()
        run = finished.run(*whole.targets)
        strike()
        assert run.process.returncode == 1
        assert "This could indicate a clock skew problem" in run.output
        finished.holds_nothing_but(whole)
        for path in finished.path("").rglob("*"):
            path.touch()
        finished.make(*whole.targets)
        finished.equals(whole)
    assert finished.outdated(*whole.targets) == []


def environments(folder: Path) -> list[dict[str, str]]:
    """Locales with other alphabets, decimal commas or none, and time zones half a day off."""
    found = [
        {"LC_ALL": "C", "TZ": "Pacific/Kiritimati"},
        {"LC_ALL": "POSIX", "TZ": "America/Anchorage", "PYTHONUTF8": "0"},
    ]
    for name in ("tr_TR", "de_DE"):
        subprocess.run(  # where the sources of locales are missing, the C library falls back to C
            ["localedef", "-i", name, "-f", "UTF-8", folder / f"{name}.UTF-8"],
            check=False,
            capture_output=True,
        )
        found.append({"LC_ALL": f"{name}.UTF-8", "LOCPATH": str(folder), "TZ": "Asia/Kathmandu"})
    return found


@pytest.mark.fault("Another locale and time zone")
def test_locales(
    fresh: Folder, finished: Folder, whole: Folder, tmp_path: Path, strike: Strike
) -> None:
    folder = tmp_path / "locales"
    folder.mkdir()
    first, *others = environments(folder)
    scratch = Folder(fresh.project, tmp_path / "scratch")
    scratch.make("figure_8", environment=others[1])
    scratch.holds_nothing_but(whole)
    strike()
    for environment in (first, *others):
        if environment is others[1]:
            continue
        finished.path("tables/matrices.csv").unlink()
        finished.path("figures/figure_8.pdf").unlink()
        strike()
        finished.make(*whole.targets, environment=environment)
        finished.equals(whole)
