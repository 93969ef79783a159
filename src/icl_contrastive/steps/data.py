"""Tasks and prompts of one setting, all runs (section 5.1, A.3)."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from icl_contrastive.artifacts import save_tensors
from icl_contrastive.steps.common import run_step
from icl_contrastive.streams import stream
from icl_contrastive.tasks import sample_prompts, sample_task


def main(arguments: argparse.Namespace, config: dict[str, Any]) -> None:
    """Write ``task``, ``train_tokens``, ``train_targets``, ``test_tokens``, ``test_targets``.

    First axis of all: run. The test prompts are of the same task, or, with a task for each
    prompt, of tasks of their own; ``task`` holds the training prompts' tasks.
    """
    setting = config["setting"]
    sizes = {"train": config["prompts"], "test": config["test_prompts"]}
    runs: list[dict[str, np.ndarray]] = []
    for run in range(config["runs"]):
        tensors = {}
        for part, count in sizes.items():
            shared = config["tasks"] == "shared"
            names = ("task", setting, run) if shared else ("task", setting, run, part)
            tasks = sample_task(
                stream(config["seed"], *names), config["d_y"], config["d_x"], 1 if shared else count
            )
            rng = stream(config["seed"], "prompts", setting, run, part)
            prompts = sample_prompts(rng, tasks, count, config["demonstrations"])
            tensors[f"{part}_tokens"] = prompts.tokens
            tensors[f"{part}_targets"] = prompts.targets
            tensors.setdefault("task", tasks)
        runs.append(tensors)
    stacked = {name: np.stack([one[name] for one in runs]) for name in runs[0]}
    save_tensors(arguments.output, stacked, config)


if __name__ == "__main__":
    run_step(main, "output")
