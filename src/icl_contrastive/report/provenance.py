"""Where a run's results come from: code, config, libraries, time.

This is the one part of the project whose output differs between two equal runs; it enters the
report page and no other artifact.
"""

import json
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from icl_contrastive.artifacts.origin import LIBRARIES, versions

_OF_THE_PAGE = ("snakemake", "jinja2", "docutils")


@dataclass(frozen=True)
class Provenance:
    """What the page says of the run's origin.

    Attributes:
        commit: hash of the checked-out commit, empty outside a git repository.
        modified: whether tracked files differ from that commit.
        written: when the page was made.
        started, finished: when the first and the last artifact were written.
        job_seconds: time of all jobs together, by their benchmarks; None if there are none.
        jobs: how many jobs that is.
        versions: library and version.
        config: the config with all defaults, YAML.
    """

    commit: str
    modified: bool
    written: datetime
    started: datetime
    finished: datetime
    job_seconds: float | None
    jobs: int
    versions: dict[str, str]
    config: str


def trace(
    artifacts: Iterable[Path], benchmarks: Path, source: Path, config: Mapping[str, Any]
) -> Provenance:
    """Look at the artifacts, the folder of benchmarks, the source's repository."""
    times = [path.stat().st_mtime for path in artifacts]
    seconds = [job_seconds(path) for path in sorted(benchmarks.rglob("*.tsv"))]
    plain = json.loads(json.dumps(config))  # YAML knows no other mappings
    commit = _git(source, "rev-parse", "HEAD")
    return Provenance(
        commit=commit,
        modified=bool(commit and _git(source, "status", "--porcelain", "--untracked-files=no")),
        written=datetime.now(UTC),
        started=datetime.fromtimestamp(min(times), UTC),
        finished=datetime.fromtimestamp(max(times), UTC),
        job_seconds=sum(seconds) if seconds else None,
        jobs=len(seconds),
        versions=versions([*LIBRARIES, *_OF_THE_PAGE]),
        config=yaml.safe_dump(plain, sort_keys=False, default_flow_style=None, width=100),
    )


def job_seconds(benchmark: Path) -> float:
    """Wall-clock time of a job, from the table that Snakemake writes of it."""
    header, values = benchmark.read_text(encoding="utf-8").splitlines()[:2]
    return float(dict(zip(header.split("\t"), values.split("\t"), strict=True))["s"])


def _git(folder: Path, *arguments: str) -> str:
    """What git says, nothing where there is no git or no repository."""
    try:
        done = subprocess.run(  # noqa: S603  # fixed arguments
            ["git", "-C", str(folder), *arguments],  # noqa: S607  # the user's own git
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
