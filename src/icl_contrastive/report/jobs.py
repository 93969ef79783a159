"""The jobs of a finished run, as Snakemake has recorded them."""

import csv
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from icl_contrastive.report.provenance import job_seconds


@dataclass
class Job:
    """One of them; all paths are relative to the working directory.

    Attributes:
        rule: its name.
        command: the shell command; empty for a rule that is Python.
        inputs: artifacts and source files that it read.
        outputs: what it wrote.
        log: what it said.
    """

    rule: str
    command: str
    inputs: list[str]
    outputs: list[str]
    log: Path

    @property
    def benchmark(self) -> Path:
        """The table of its time, which lies where the log does, below ``benchmarks``."""
        parts = ["benchmarks" if part == "logs" else part for part in self.log.parts]
        return Path(*parts).with_suffix(".tsv")

    @property
    def seconds(self) -> float:
        """Wall-clock time."""
        return job_seconds(self.benchmark)


def recorded_jobs(*targets: str) -> list[Job]:
    """The jobs whose outputs the targets need, with all that these need in turn.

    Raises:
        ValueError: there is no record of a job, so it has not run here; or Snakemake refuses.
    """
    done = subprocess.run(  # noqa: S603  # fixed arguments
        [sys.executable, "-m", "snakemake", "--detailed-summary", *targets],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ValueError(done.stderr)
    jobs: dict[str, Job] = {}
    for row in csv.DictReader(done.stdout.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE):
        log, inputs, command = (
            "" if row[column] == "-" else row[column]
            for column in ("log-file(s)", "input-file(s)", "shellcmd")
        )
        if not log or row["status"] == "missing":
            raise ValueError(f"{row['output_file']} has not been made here: run it first")
        job = jobs.setdefault(log, Job(row["rule"], command, inputs.split(","), [], Path(log)))
        job.outputs.append(row["output_file"])
    return list(jobs.values())


def needed(target: str, jobs: Iterable[Job]) -> list[Job]:
    """The jobs that a target needs if there is nothing yet, its own first."""
    makers: Mapping[str, Job] = {output: job for job in jobs for output in job.outputs}
    found: dict[Path, Job] = {}
    waiting = [target]
    while waiting:
        job = makers.get(waiting.pop())
        if job is not None and job.log not in found:
            found[job.log] = job
            waiting.extend(job.inputs)
    return list(found.values())
