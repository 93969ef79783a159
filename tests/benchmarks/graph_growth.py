"""How the time of a dry run, and of a run with nothing to do, grows with the number of variants.

    python tests/benchmarks/graph_growth.py [--variants 10 30 100] [--output results/benchmarks]

Each variant is trained in two settings. The graphs are built in temporary folders, and no job runs:
for the run with nothing to do, empty files stand for the results.
"""

from __future__ import annotations

import argparse
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

PROJECT = Path(__file__).resolve().parents[2]

TOUCH = """\
import snakemake.executors.touch
from snakemake.cli import main
snakemake.executors.touch.Executor.SLEEPING_TIME = 0  # it waits after each job
main()
"""


def wide_config(variants: int) -> dict[str, Any]:
    """A grid of ``variants`` values of alpha over two settings, with one figure."""
    cell = {"learning_rate": 0.003, "settings": ["n15", "n31"]}
    alpha = [round(1e-4 * (i + 1), 4) for i in range(variants)]
    return {
        "settings": {
            "n15": {"demonstrations": 15, "prompts": 1024, "epochs": 150},
            "n31": {"demonstrations": 31, "prompts": 512, "epochs": 1400},
        },
        "variants": {"decayed": {"model": "regularized", "form": "eq14", "alpha": alpha, **cell}},
        "figures": {"figure_10": {"setting": "n31", "variant": "decayed_alpha0.0001", "run": 0}},
    }


def snakemake(folder: Path, *arguments: str, start: str = "") -> tuple[str, float, float]:
    """Output, wall seconds and processor seconds of Snakemake in a folder."""
    python = ["-c", start] if start else ["-m", "snakemake"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    done = subprocess.run(
        [
            *(sys.executable, *python, "--snakefile", str(PROJECT / "Snakefile")),
            *("--directory", str(folder), "--configfile", str(folder / "config.yaml")),
            *("--replace-workflow-config", "--cores", "1", *arguments),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(done.stdout)
    return done.stdout, wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def make_outputs(folder: Path, plan: str) -> None:
    """Empty files for all outputs of a dry run."""
    for line in re.findall(r"^    output: (.+)$", plan, re.MULTILINE):
        for name in line.split(", "):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()


def measure(variants: int) -> dict[str, float]:
    """A row of the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text = yaml.safe_dump(wide_config(variants))
        (folder / "config.yaml").write_text(text, encoding="utf-8")
        _, wall, processor = snakemake(folder, "--dry-run", "--quiet", "all")
        plan, _, _ = snakemake(folder, "--dry-run")
        make_outputs(folder, plan)
        snakemake(folder, "--touch", "--forceall", "--quiet", "all", start=TOUCH)
        idle, idle_wall, idle_processor = snakemake(folder)
        if "Nothing to be done" not in idle or "missing provenance" in idle:
            sys.exit(idle)
    return {
        "variants": variants,
        "jobs": len(re.findall(r"^    output: ", plan, re.MULTILINE)),
        "dry_run_s": wall,
        "dry_run_processor_s": processor,
        "nothing_to_do_s": idle_wall,
        "nothing_to_do_processor_s": idle_processor,
        "peak_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**10,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--variants", type=int, nargs="+", default=[10, 30, 100, 300, 1000])
    parser.add_argument("--output", type=Path, default=Path("results/benchmarks"))
    arguments = parser.parse_args()
    rows = []
    for variants in sorted(arguments.variants):
        rows.append(measure(variants))
        print(", ".join(f"{key}: {value:.4g}" for key, value in rows[-1].items()), flush=True)
    arguments.output.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(arguments.output / "graph_growth.csv", index=False)


if __name__ == "__main__":
    main()
