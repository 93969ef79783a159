"""Wall time of the whole pipeline, of a run with nothing to do, and after one α was changed.

    python tests/benchmarks/pipeline_time.py [--cores 2] [--output results/benchmarks]
        [--before COMMIT [--configfile FILE]]

The runs are made in a temporary folder, from this project's config.yaml. With --before, also the
whole pipeline of that commit, and today's with a file that makes its config like that commit's.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import yaml

PROJECT = Path(__file__).resolve().parents[2]


def run_snakemake(project: Path, folder: Path, cores: int, *arguments: str) -> tuple[float, int]:
    """Seconds that a run takes, and the number of jobs that it finished."""
    command = [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(project / "Snakefile")),
        *("--cores", str(cores), "--directory", str(folder), *arguments),
    ]
    compiled = os.environ | {"NUMBA_CACHE_DIR": str(folder / "compiled")}  # by each folder's first
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=compiled)
    seconds = time.perf_counter() - began
    if done.returncode:
        sys.exit(done.stderr)
    return seconds, done.stderr.count("Finished jobid")


def changed_alpha(folder: Path) -> Path:
    """A config file that puts another α in the place of the last one of the first grid."""
    config = yaml.safe_load((PROJECT / "config.yaml").read_text(encoding="utf-8"))
    entry = next(name for name, model in config["variants"].items() if "alpha" in model)
    alphas = config["variants"][entry]["alpha"]
    change = {"variants": {entry: {"alpha": [*alphas[:-1], alphas[-1] / 2 + 0.03]}}}
    path = folder / "changed.yaml"
    path.write_text(yaml.safe_dump(change), encoding="utf-8")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--output", type=Path, default=Path("results/benchmarks"))
    parser.add_argument("--before", metavar="COMMIT")
    parser.add_argument("--configfile", type=Path, action="append", default=[])
    arguments = parser.parse_args()
    rows = []

    def measure(what: str, project: Path, folder: Path, *options: str) -> None:
        folder.mkdir(exist_ok=True)
        seconds, jobs = run_snakemake(project, folder, arguments.cores, *options)
        # the largest process so far, of any kind; KiB on Linux, bytes on macOS
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        peak_mb = peak / (2**20 if platform.system() == "Darwin" else 2**10)
        rows.append({"run": what, "seconds": seconds, "jobs": jobs, "peak_mb": peak_mb})
        print(f"{what}: {seconds:.1f} s, {jobs} jobs, largest process {peak_mb:.0f} MB", flush=True)

    with tempfile.TemporaryDirectory() as name:
        temporary = Path(name)
        if arguments.before:
            project = temporary / "project"
            subprocess.run(["git", "clone", "--quiet", PROJECT, project], check=True)
            subprocess.run(
                ["git", "checkout", "--quiet", arguments.before], cwd=project, check=True
            )
            measure(f"everything, {arguments.before}", project, temporary / "before")
            files = [str(path.resolve()) for path in arguments.configfile]
            options = ["--configfile", *files] if files else []
            measure("everything, as then", PROJECT, temporary / "after", *options)
        folder = temporary / "now"
        measure("everything", PROJECT, folder)
        measure("nothing to do", PROJECT, folder)
        changed = str(changed_alpha(temporary))
        measure("one α changed", PROJECT, folder, "--configfile", changed)
    arguments.output.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(rows).assign(cores=arguments.cores)
    table.to_csv(arguments.output / "pipeline_time.csv", index=False)


if __name__ == "__main__":
    main()
