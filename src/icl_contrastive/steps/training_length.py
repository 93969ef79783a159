"""The checkpoints of a long run: how well the layer predicts, and is estimated, along the way."""

import argparse
import logging
from dataclasses import replace
from typing import Any

import pandas as pd
import torch

from icl_contrastive.analysis.diagnostics import diagnose
from icl_contrastive.artifacts.files import load_tensors, save_table
from icl_contrastive.artifacts.tables import MAY_BE_EMPTY
from icl_contrastive.attention import Layer
from icl_contrastive.command import check_origin, run_step
from icl_contrastive.steps.family import load_family
from icl_contrastive.steps.layer import load_layer, load_test_prompts
from icl_contrastive.steps.pretrain import CHECKPOINT
from icl_contrastive.variants import build_variant

log = logging.getLogger(__name__)


def main(arguments: argparse.Namespace, config: dict[str, Any]) -> None:
    """Write setting, run, epoch, train_mse, test_mse and what ``diagnose`` says of the layer."""
    check_origin(config, arguments.data, arguments.pretrained)
    arrays, made_by = load_tensors(arguments.pretrained)
    variant, family = build_variant(made_by["model"]), load_family(made_by["features"])
    rows = []
    for run in range(config["runs"]):
        prompts = load_test_prompts(arguments.data, run, slice(None), torch.float64)
        layer = load_layer(arguments.pretrained, run, torch.float64)
        for index, epoch in enumerate(made_by["checkpoints"]):
            kept: dict[str, Any] = {
                name.removeprefix(CHECKPOINT): torch.as_tensor(array[run, index]).double()
                for name, array in arrays.items()
                if name.startswith(CHECKPOINT)
            }
            drawn = {name: kept.pop(name) for name in [*kept] if not hasattr(layer.weights, name)}
            features = family.feature_map(drawn) if drawn else layer.features
            then = Layer(replace(layer.weights, **kept), features)
            rows.append(
                {
                    "setting": config["setting"],
                    "run": run,
                    "epoch": epoch,
                    "train_mse": arrays["train_mse"][run, epoch - 1],
                    "test_mse": arrays["test_mse"][run, epoch - 1],
                    **diagnose(then, variant, family, made_by["features"]["d_r"], *prompts),
                }
            )
        log.info("run %d of %d", run + 1, config["runs"])
    save_table(arguments.output, pd.DataFrame(rows), MAY_BE_EMPTY["training_length"])


if __name__ == "__main__":
    run_step(main, "data", "pretrained", "output")
