"""Cost of a pretraining step: every variant beside its plain loop, JAX and the measured floor.

    python tests/benchmarks/training_speed.py [--output results/benchmarks]

All figures are µs per run and step on one thread, medians over rounds in which every contestant
takes its turn, so that a drift of the machine's speed touches all alike.
"""

from __future__ import annotations

import os

# One thread for every library, as in a job of the pipeline; XLA reads it at import only.
os.environ |= {
    "OMP_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "JAX_PLATFORMS": "cpu",
}

import argparse
import importlib.util
import platform
import time
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from plain import PlainLayer, train_plain

from icl_contrastive.features.positive import Positive
from icl_contrastive.streams import stream
from icl_contrastive.tasks import Prompts, sample_prompts, sample_task
from icl_contrastive.training import initial_weights
from icl_contrastive.training.fused import FusedRuns
from icl_contrastive.variants import Variant, build_variant
from icl_contrastive.variants.softmax import Softmax

torch.set_num_threads(1)
LEARNING_RATE = 0.003
D_X, D_Y = 11, 1
VARIANTS: dict[str, dict[str, object]] = {
    "softmax": {"model": "softmax"},
    "exact softmax": {"model": "softmax", "attention": "exact"},
    "regularized, Eq. 15": {"model": "regularized", "form": "eq15", "alpha": -0.1},
    "regularized, Eq. 14": {"model": "regularized", "form": "eq14", "alpha": -0.1},
    "augmented g1": {"model": "augmented", "g1": 1},
    "augmented g2": {"model": "augmented", "g2": 1},
    "augmented g1 and g2": {"model": "augmented", "g1": 1, "g2": 1},
    "augmented g2+": {"model": "augmented", "g2": 2},
    "negative, section 5.5": {"model": "negative", "form": "section_5.5", "k": 3, "beta": 0.1},
    "negative, Eq. 18": {"model": "negative", "form": "eq18", "k": 3, "beta": 0.1},
}


class Job:
    """Prompts, features and initial weights of some runs."""

    def __init__(self, variant: Variant, n: int, d_r: int, runs: int, prompts: int) -> None:
        self.variant, self.d_r, self.runs, self.count = variant, d_r, runs, prompts
        samples: list[Prompts] = []
        for run in range(runs):
            rng = stream(0, "benchmark", run)
            samples.append(sample_prompts(rng, sample_task(rng, D_Y, D_X), prompts, n))
        self.tokens = np.stack([one.tokens for one in samples])
        self.targets = np.stack([one.targets for one in samples])
        self.d = self.tokens.shape[-1]
        start = [initial_weights(variant, self.d, 0, "benchmark", run) for run in range(runs)]
        self.weights = {name: np.stack([one[name] for one in start]) for name in start[0]}
        draws = [Positive().draw(stream(0, "omega", run), self.d, d_r) for run in range(runs)]
        self.omega = np.stack([draw["omega"] for draw in draws])
        self.log_weight = np.stack([draw["log_weight"] for draw in draws])

    def fused(self) -> Callable[[], object]:
        """The project's compiled loop."""
        kernel = self.variant.attention == "kernel"
        features = {"omega": self.omega, "log_weight": self.log_weight} if kernel else None
        mixing = self.variant.mixing(self.tokens.shape[2] - 1)
        runs = FusedRuns(self.weights, features, mixing, D_Y)
        return lambda: runs.train(self.tokens, self.targets, LEARNING_RATE)

    def plain(self) -> Callable[[], object]:
        """The plain torch loop, one run."""
        torch.manual_seed(0)
        layer = PlainLayer(self.variant, self.d, torch.from_numpy(self.omega[0]))
        tokens, targets = torch.from_numpy(self.tokens[0]), torch.from_numpy(self.targets[0])
        return lambda: train_plain(layer, tokens, targets, LEARNING_RATE)

    def floor(self) -> Callable[[], object]:
        """Product, exponential, product alone, in torch, all runs in a batch."""
        n = self.tokens.shape[2]
        sums = torch.randn(self.runs, n, self.d) / 4
        omega = torch.from_numpy(self.omega)
        omega_t = omega.mT.contiguous()
        out, tilted = torch.empty(self.runs, n, self.d_r), torch.empty(self.runs, n, self.d)

        def passes() -> None:
            for _ in range(self.count):
                torch.bmm(sums, omega_t, out=out)
                out.exp_()
                torch.bmm(out, omega, out=tilted)

        return passes

    def jax(self) -> Callable[[], object]:
        """The plain variant in JAX, all runs in a batch."""
        import jax
        from jax_form import train_jax

        weights = {name: jax.numpy.asarray(w) for name, w in self.weights.items()}
        arrays = jax.device_put((self.omega, self.tokens, self.targets))
        return lambda: jax.block_until_ready(train_jax(weights, *arrays, LEARNING_RATE))


def microseconds(
    contestants: dict[str, tuple[Callable[[], object], int]], rounds: int
) -> dict[str, float]:
    """Median µs per unit of each contestant, which is a call and the units that it does."""
    for call, _ in contestants.values():
        call()  # compiles, and warms the caches
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, (call, units) in contestants.items():
            began = time.perf_counter()
            call()
            times[name].append((time.perf_counter() - began) / units * 1e6)
    return {name: float(np.median(values)) for name, values in times.items()}


def compare_variants(runs: int, rounds: int, with_jax: bool) -> pd.DataFrame:
    """Every variant at the paper's scale, N = 15 and d_r = 1200."""
    contestants: dict[str, tuple[Callable[[], object], int]] = {}
    for name, model in VARIANTS.items():
        variant = build_variant(model)
        contestants[f"{name}|fused"] = (
            Job(variant, 15, 1200, runs, 256).fused(),
            runs * 256,
        )
        contestants[f"{name}|plain"] = (Job(variant, 15, 1200, 1, 100).plain(), 100)
    job = Job(Softmax(), 15, 1200, runs, 256)
    contestants["softmax|floor"] = (job.floor(), runs * 256)
    if with_jax:
        contestants["softmax|jax"] = (job.jax(), runs * 256)
    measured = microseconds(contestants, rounds)
    rows = []
    for name in VARIANTS:
        fused, plain = measured[f"{name}|fused"], measured[f"{name}|plain"]
        others = {key: measured.get(f"{name}|{key}", np.nan) for key in ("jax", "floor")}
        rows.append(
            {
                "variant": name,
                "this_us": fused,
                "plain_us": plain,
                "jax_us": others["jax"],
                "floor_us": others["floor"],
                "plain_ratio": plain / fused,
                "jax_ratio": others["jax"] / fused,
                "floor_ratio": fused / others["floor"],
            }
        )
    return pd.DataFrame(rows)


def measure_growth(rounds: int) -> pd.DataFrame:
    """How the plain variant's cost grows with d_r, N and the number of runs."""
    base = {"d_r": 1200, "N": 15, "runs": 10}
    grids = {
        "d_r": [300, 600, 1200, 2400, 4800],
        "N": [15, 31, 63, 127],
        "runs": [1, 2, 4, 10, 16, 32, 64],
    }
    rows = []
    for axis, values in grids.items():
        for value in values:
            size = base | {axis: value}
            prompts = max(16, 2560 // size["runs"])
            job = Job(Softmax(), size["N"], size["d_r"], size["runs"], prompts)
            units = size["runs"] * prompts
            measured = microseconds(
                {"this": (job.fused(), units), "floor": (job.floor(), units)}, rounds
            )
            for contestant, cost in measured.items():
                rows.append({"axis": axis, "value": value, "contestant": contestant, "us": cost})
    return pd.DataFrame(rows)


def plot_growth(growth: pd.DataFrame, path: Path) -> None:
    """One panel per axis, log-log, this beside the floor."""
    labels = {"d_r": "random features $d_r$", "N": "demonstrations $N$", "runs": "runs in a job"}
    looks = {
        "this": ("pretraining step", "#0072B2", "o-"),
        "floor": ("three passes", "#777777", "s--"),
    }
    figure, axes = plt.subplots(1, 3, figsize=(7, 2.3), sharey=True, layout="constrained")
    for panel, (axis, label) in zip(axes, labels.items(), strict=True):
        for contestant, (name, color, line) in looks.items():
            rows = growth[(growth["axis"] == axis) & (growth["contestant"] == contestant)]
            panel.loglog(rows["value"], rows["us"], line, color=color, ms=3, lw=1.2, label=name)
        ticks = growth.loc[growth["axis"] == axis, "value"].unique()
        panel.set_xticks(ticks, [str(tick) for tick in ticks])
        panel.minorticks_off()
        panel.set_xlabel(label)
    axes[0].set_ylabel("µs per run and step")
    axes[0].legend(frameon=False)
    figure.savefig(path, dpi=300)
    plt.close(figure)


def as_markdown(table: pd.DataFrame) -> str:
    """The table as workflow/docs/speed.md shows it."""

    def cell(value: float, unit: str = "") -> str:
        return "" if np.isnan(value) else f"{value:.3g}{unit}"

    lines = [
        "| variant | this | plain loop | JAX | floor | plain / this | JAX / this | this / floor |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in table.set_index("variant").astype(float).iterrows():
        times = [cell(row[key]) for key in ("this_us", "plain_us", "jax_us", "floor_us")]
        ratios = [cell(row[key], "×") for key in ("plain_ratio", "jax_ratio", "floor_ratio")]
        lines.append("| " + " | ".join([str(name), *times, *ratios]) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("results/benchmarks"))
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    with_jax = importlib.util.find_spec("jax") is not None
    if not with_jax:
        print("JAX is not installed: its column stays empty")
    arguments.output.mkdir(parents=True, exist_ok=True)

    table = compare_variants(arguments.runs, arguments.rounds, with_jax)
    table.to_csv(arguments.output / "training_speed.csv", index=False)
    machine = f"{platform.processor() or platform.machine()}, one thread, {arguments.runs} runs"
    text = f"µs per run and step, N = 15, d_r = 1200, float32 ({machine})\n\n{as_markdown(table)}"
    (arguments.output / "training_speed.md").write_text(text, encoding="utf-8")
    print(text)

    growth = measure_growth(arguments.rounds)
    growth.to_csv(arguments.output / "growth.csv", index=False)
    for suffix in ("pdf", "png"):
        plot_growth(growth, arguments.output / f"growth.{suffix}")
    print(growth.pivot_table(index=["axis", "value"], columns="contestant", values="us").round(1))


if __name__ == "__main__":
    main()
