"""Pretraining of one variant in one setting, all runs (A.3)."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from icl_contrastive.artifacts import load_tensors, save_tensors
from icl_contrastive.provenance import origin
from icl_contrastive.steps.common import StepError, check_origin, run_step
from icl_contrastive.steps.family import load_family
from icl_contrastive.tasks import Prompts, sample_part
from icl_contrastive.training import TrainingDivergedError, pretrain
from icl_contrastive.variants import build_variant

OPTIONAL = ("init", "scaling", "omega", "batch", "checkpoints")
"""Arguments of ``pretrain`` whose defaults are its own."""


def main(arguments: argparse.Namespace, config: dict[str, Any]) -> None:
    """Write weights, features, the curves ``train_mse``, ``test_mse`` (run, epoch), checkpoints."""
    check_origin(config, arguments.data)
    data, sampled_by = load_tensors(arguments.data)

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
            device=arguments.device,
            **{key: config[key] for key in OPTIONAL if key in config},
        )
    except (TrainingDivergedError, ValueError) as error:
        raise StepError(
            f"variant {config['variant']} in setting {config['setting']}: {error}"
        ) from error
    curves = {"train_mse": pretrained.train_mse, "test_mse": pretrained.test_mse}
    weights = list(pretrained.checkpoints.values())
    kept = {  # run, checkpoint, ...
        f"checkpoints/{name}": np.stack([one[name] for one in weights], 1)
        for name in (weights[0] if weights else ())
    }
    save_tensors(
        arguments.output,
        pretrained.tensors | curves | kept,
        config | {"device": arguments.device},
        origin(arguments.code),
    )


if __name__ == "__main__":
    run_step(main, "data", "output", options=("device",))
