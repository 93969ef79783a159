"""Wall time of the whole pipeline, of a run with nothing to do, and after one α was changed.

    python tests/benchmarks/pipeline_time.py [--cores 2] [--output results/benchmarks]

The runs are made in a temporary folder, from this project's config.yaml.
"""

from __future__ import annotations

import argparse
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


def run_snakemake(folder: Path, cores: int, *arguments: str) -> tuple[float, int]:
    """Seconds that a run takes, and the number of jobs that it finished."""
    command = [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(PROJECT / "Snakefile")),
        *("--cores", str(cores), "--directory", str(folder), *arguments),
    ]
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
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
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs = {
            "everything": [],
            "nothing to do": [],
            "one α changed": ["--configfile", str(changed_alpha(folder))],
        }
        for what, options in runs.items():
            seconds, jobs = run_snakemake(folder, arguments.cores, *options)
            # the largest process so far, of any kind; KiB on Linux, bytes on macOS
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
            peak_mb = peak / (2**20 if platform.system() == "Darwin" else 2**10)
            rows.append({"run": what, "seconds": seconds, "jobs": jobs, "peak_mb": peak_mb})
            print(f"{what}: {seconds:.1f} s, {jobs} jobs, largest process {peak_mb:.0f} MB")
    arguments.output.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(rows).assign(cores=arguments.cores)
    table.to_csv(arguments.output / "pipeline_time.csv", index=False)


if __name__ == "__main__":
    main()
