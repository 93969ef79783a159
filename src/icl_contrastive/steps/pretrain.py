"""Pretraining of one variant in one setting, all runs (A.3)."""

import argparse
from typing import Any

import numpy as np

from icl_contrastive.artifacts.files import load_tensors, save_tensors
from icl_contrastive.artifacts.origin import origin
from icl_contrastive.command import StepError, check_origin, run_step
from icl_contrastive.steps.family import load_family
from icl_contrastive.tasks import Prompts, sample_part
from icl_contrastive.training import TrainingDivergedError, pretrain
from icl_contrastive.variants import build_variant

OPTIONAL = ("init", "init_scale", "normalization", "omega", "order", "batch", "checkpoints")
"""Arguments of ``pretrain`` whose defaults are its own."""

CHECKPOINT = "checkpoints/"
"""What the names of the weights that were kept on the way begin with."""


def main(arguments: argparse.Namespace, config: dict[str, Any]) -> None:
    """Write weights, features, the curves ``train_mse``, ``test_mse`` (run, epoch), checkpoints.

    The inputs are the prompts and, to go on from, what this step wrote after fewer epochs.
    """
    check_origin(config, *arguments.inputs)
    if arguments.device == "cuda":
        import torch  # a job on the CPU does without

        if not torch.cuda.is_available():
            raise StepError(
                "execution.device: 'cuda' needs a GPU that torch can use, and this machine has "
                "none; set it to cpu, or to auto, which takes a GPU where there is one"
            )
    (data, sampled_by), *earlier = map(load_tensors, arguments.inputs)
    trained = [(made_by["epochs"], tensors) for tensors, made_by in earlier]

    def fresh_prompts(epoch: int) -> Prompts:
        """As the first epoch's, from the same tasks."""
        count = sampled_by["prompts"]
        parts = [
            sample_part(sampled_by, run, "train", count, "epoch", epoch)[1]
            for run in range(config["runs"])
        ]
        return Prompts(np.stack([p.tokens for p in parts]), np.stack([p.targets for p in parts]))

    try:
        pretrained = pretrain(
            Prompts(data["train_tokens"], data["train_targets"]),
            Prompts(data["test_tokens"], data["test_targets"]),
            build_variant(config["model"]),
            seed=config["seed"],
            setting=config["setting"],
            family=load_family(config["features"]),
            d_r=config["features"]["d_r"],
            learning_rate=config["learning_rate"],
            epochs=config["epochs"],
            fresh_prompts=fresh_prompts if config.get("prompts") == "fresh" else None,
            trained=trained[0] if trained else None,
            device=arguments.device,
            **{key: config[key] for key in OPTIONAL if key in config},
        )
    except (TrainingDivergedError, ValueError) as error:
        raise StepError(
            f"variant {config['variant']} in setting {config['setting']}: {error}"
        ) from error
    courses = [tensors for _, tensors in trained]
    courses.append({"train_mse": pretrained.train_mse, "test_mse": pretrained.test_mse})
    kept = list(pretrained.checkpoints.values())
    for name in kept[0] if kept else ():
        courses[-1][CHECKPOINT + name] = np.stack([weights[name] for weights in kept], 1)
    grown = {
        name: np.concatenate([course[name] for course in courses if name in course], 1)
        for name in courses[0] | courses[-1]
        if name in courses[-1] or name.startswith(CHECKPOINT)
    }  # run, epoch or checkpoint, ...
    save_tensors(
        arguments.output,
        pretrained.tensors | grown,
        config | {"device": arguments.device},
        origin(arguments.code),
    )


if __name__ == "__main__":
    run_step(main, "output", many=["inputs"], options=("device",))
