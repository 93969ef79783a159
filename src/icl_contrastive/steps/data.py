"""Tasks and prompts of one setting, all runs (section 5.1, A.3)."""

import argparse
from typing import Any

import numpy as np

from icl_contrastive.artifacts.files import save_tensors
from icl_contrastive.artifacts.origin import origin
from icl_contrastive.command import run_step
from icl_contrastive.tasks import sample_part


def main(arguments: argparse.Namespace, config: dict[str, Any]) -> None:
    """Write ``task``, ``train_tokens``, ``train_targets``, ``test_tokens``, ``test_targets``.

    First axis of all: run. The test prompts are of the same task, or, with a task for each
    prompt, of tasks of their own; ``task`` holds the training prompts' tasks.
    """
    sizes = {"train": config["prompts"], "test": config["test_prompts"]}
    runs: list[dict[str, np.ndarray]] = []
    for run in range(config["runs"]):
        tensors = {}
        for part, count in sizes.items():
            tasks, prompts = sample_part(config, run, part, count)
            tensors[f"{part}_tokens"] = prompts.tokens
            tensors[f"{part}_targets"] = prompts.targets
            tensors.setdefault("task", tasks)
        runs.append(tensors)
    stacked = {name: np.stack([one[name] for one in runs]) for name in runs[0]}
    save_tensors(arguments.output, stacked, config, origin(arguments.code))


if __name__ == "__main__":
    run_step(main, "output")
