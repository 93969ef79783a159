"""Cost of a pretraining step on a GPU, for 1 to 1000 runs at once, beside the compiled loop.

    PYTHONPATH=src python tests/benchmarks/gpu_speed.py [--output FILE]

The sizes are those of the default config: N = 15, 1024 prompts an epoch, d_r = 1200, float32. An
epoch is timed after another that captures the graph, and again for as long as a variant may take;
the median counts. The compiled loop has one thread, ten runs and fewer prompts. How far the GPU's
weights are from the compiled loop's after an epoch is measured in float64, on three runs.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # as in a job of the pipeline

import argparse
import csv
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from icl_contrastive.features.positive import Positive
from icl_contrastive.streams import stream
from icl_contrastive.tasks import sample_prompts, sample_task
from icl_contrastive.training import initial_weights
from icl_contrastive.training.batched import BatchedRuns
from icl_contrastive.variants import build_variant

VARIANTS: dict[str, dict[str, Any]] = {
    "softmax": {"model": "softmax"},
    "exact softmax": {"model": "softmax", "attention": "exact"},
    "negative, Eq. 18": {"model": "negative", "form": "eq18", "k": 3, "beta": 0.1},
    "augmented g2": {"model": "augmented", "g2": 1},
}
RUNS = (1, 10, 100, 300, 1000)
D_X, D_Y, N, D_R, PROMPTS, RATE = 11, 1, 15, 1200, 1024, 0.003
CPU_RUNS, CPU_PROMPTS = 10, 128
CHECKED_RUNS = 3
SAMPLED = 10  # runs that have tasks, weights and features of their own; more repeat them
SECONDS = 4.0  # of timed epochs, for each variant and number of runs

Arrays = dict[str, np.ndarray]


class Job(NamedTuple):
    """What several runs of one variant train on; first axis of every array: run."""

    model: dict[str, Any]
    weights: Arrays
    features: Arrays | None
    tokens: np.ndarray
    targets: np.ndarray

    def batched(self, device: str) -> BatchedRuns:
        """On a GPU."""
        mixing = build_variant(self.model).mixing(N)
        return BatchedRuns(self.weights, Positive(), self.features, mixing, D_Y, device)

    def fused(self) -> Any:
        """The compiled loop; raises what is raised where numba is not there."""
        from icl_contrastive.training.fused import FusedRuns

        mixing = build_variant(self.model).mixing(N)
        return FusedRuns(self.weights, self.features, mixing, D_Y)


def make_job(model: dict[str, Any], runs: int, prompts: int, dtype: Any = np.float32) -> Job:
    variant = build_variant(model)
    own = range(min(runs, SAMPLED))
    sampled = []
    for run in own:
        rng = stream(0, "benchmark", run)
        sampled.append(sample_prompts(rng, sample_task(rng, D_Y, D_X), prompts, N))
    d = D_X + D_Y
    starts = [initial_weights(variant, d, 0, "benchmark", run) for run in own]
    draws = [Positive().draw(stream(0, "omega", run), d, D_R) for run in own]

    def stack(arrays: list[np.ndarray]) -> np.ndarray:
        return np.stack([arrays[run % len(arrays)] for run in range(runs)]).astype(dtype)

    def named(dictionaries: list[Arrays]) -> Arrays:
        return {name: stack([one[name] for one in dictionaries]) for name in dictionaries[0]}

    return Job(
        model,
        named(starts),
        None if variant.attention == "exact" else named(draws),
        stack([one.tokens for one in sampled]),
        stack([one.targets for one in sampled]),
    )


def median_seconds(call: Callable[[], object], budget: float, at_most: int = 7) -> float:
    """Median time of a call that ends with its results on the host; it must be warm."""
    times: list[float] = []
    while len(times) < at_most and sum(times) < budget:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return float(np.median(times))


def time_gpu(job: Job, device: str) -> dict[str, float]:
    """Of the first epoch, of a later one, of its evaluation on 256 prompts, and the memory."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    trainer = job.batched(device)

    def epoch() -> object:
        return trainer.train(job.tokens, job.targets, RATE)

    def evaluation() -> object:
        return trainer.evaluate(job.tokens[:, :256], job.targets[:, :256])

    runs, prompts = job.tokens.shape[:2]
    began = time.perf_counter()
    epoch()
    first = time.perf_counter() - began
    step = median_seconds(epoch, SECONDS) / prompts * 1e6
    evaluation()
    peak = torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else float("nan")
    return {
        "step_us": step,
        "step_and_run_us": step / runs,
        "first_epoch_s": first,
        "evaluation_ms": median_seconds(evaluation, 1.0, 3) * 1e3,
        "gpu_memory_gb": peak,
    }


def time_cpu(model: dict[str, Any]) -> float:
    """µs per step and run of the compiled loop; NaN, and why, where it does not run."""
    try:
        job = make_job(model, CPU_RUNS, CPU_PROMPTS)
        trainer = job.fused()
        trainer.train(job.tokens, job.targets, RATE)  # compiles
    except Exception as error:
        print(f"no compiled loop to compare with: {error!r}")
        return float("nan")
    seconds = median_seconds(lambda: trainer.train(job.tokens, job.targets, RATE), 2.0)
    return seconds / (CPU_RUNS * CPU_PROMPTS) * 1e6


def distance(model: dict[str, Any], device: str, dtype: Any = np.float64) -> float:
    """Largest ‖W − W'‖ / ‖W − W_0‖ after an epoch of 128 prompts, W that of float64 on a CPU.

    By the compiled loop, or by the same program on the CPU where there is none.
    """
    job = make_job(model, CHECKED_RUNS, 128, np.float64)
    try:
        expected = job.fused()
    except ImportError:
        expected = job.batched("cpu")
    found = make_job(model, CHECKED_RUNS, 128, dtype).batched(device)
    for trainer in (expected, found):
        trainer.train(job.tokens, job.targets, RATE)
    return max(
        float(np.linalg.norm(found.weights[name] - w) / np.linalg.norm(w - job.weights[name]))
        for name, w in expected.weights.items()
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("results/benchmarks/gpu_speed.csv"))
    parser.add_argument("--runs", type=int, nargs="+", default=RUNS)
    parser.add_argument("--prompts", type=int, default=PROMPTS)
    parser.add_argument("--device", default="cuda", help="cpu tries the script without a GPU")
    arguments = parser.parse_args()
    device = arguments.device
    if device == "cuda" and not torch.cuda.is_available():
        parser.error("torch finds no GPU here")
    if torch.get_float32_matmul_precision() != "highest":
        parser.error("float32 products are not to be rounded to TF32")
    gpu = torch.cuda.get_device_name() if device == "cuda" else "none"
    print(f"{gpu}, torch {torch.__version__}, N = {N}, d_r = {D_R}, float32, µs", flush=True)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    with arguments.output.open("w", newline="", encoding="utf-8") as file:
        table: csv.DictWriter[str] | None = None
        for name, model in VARIANTS.items():
            compiled = time_cpu(model)
            double, single = distance(model, device), distance(model, device, np.float32)
            print(f"{name}: distance {double:.1e}, in float32 {single:.1e}; CPU {compiled:.1f}")
            for runs in arguments.runs:
                measured = time_gpu(make_job(model, runs, arguments.prompts), device)
                row: dict[str, Any] = {
                    "gpu": gpu,
                    "variant": name,
                    "runs": runs,
                    **measured,
                    "compiled_step_and_run_us": compiled,
                    "compiled_over_gpu": compiled / measured["step_and_run_us"],
                    "distance_float64": double,
                    "distance_float32": single,
                }
                if table is None:
                    table = csv.DictWriter(file, row)
                    table.writeheader()
                table.writerow(row)
                file.flush()
                print(
                    f"  {runs:5d} runs: {row['step_us']:9.1f} a step, "
                    f"{row['step_and_run_us']:8.3f} per run, {row['compiled_over_gpu']:7.1f}x; "
                    f"first epoch {row['first_epoch_s']:.2f} s, evaluation "
                    f"{row['evaluation_ms']:.1f} ms, {row['gpu_memory_gb']:.2f} GB",
                    flush=True,
                )


if __name__ == "__main__":
    main()
