"""The checkpoints of a long run: how well the layer predicts, and is estimated, along the way."""

from __future__ import annotations

import argparse
import logging
from typing import Any

import numpy as np
import pandas as pd
import torch

from icl_contrastive.artifacts import load_tensors, save_table
from icl_contrastive.attention import Projections, Weights, predict, project, query_attention
from icl_contrastive.features import Family, build_family
from icl_contrastive.steps.common import run_step
from icl_contrastive.steps.layer import load_layer, load_test_prompts
from icl_contrastive.variants import build_variant

log = logging.getLogger(__name__)

CHECKPOINT = "checkpoints/"


def relative_deviation(family: Family, projections: Projections, d_r: int) -> np.ndarray:
    """Standard deviation of φ(k)ᵀφ(q) over exp(kᵀq), for every key at the query, (prompts, n).

    √((e^‖k+q‖² − 1)/d_r) for independent positive features. NaN where no closed form is known, or
    one that depends on what the family knew when it was drawn.
    """
    keys = projections.keys.numpy()
    queries = np.broadcast_to(projections.queries[:, -1:].numpy(), keys.shape)
    with np.errstate(over="ignore"):
        squared = None
        if not family.uses_statistics:
            squared = family.mean_squared_error(keys, queries, d_r)
        if squared is None:
            return np.full(keys.shape[:2], np.nan)
        return np.asarray(np.sqrt(squared) / np.exp((keys * queries).sum(-1)))


def main(arguments: argparse.Namespace, config: dict[str, Any]) -> None:
    """Write a row for every run and checkpoint.

    setting, run, epoch; train_mse, test_mse; medians over the test prompts of absolute_error,
    |ŷ − y|, of absolute_error_exact, the same with the exact softmax in place of the estimate, and
    of query_weight, a_{N+1}; relative_deviation, the median over prompts and keys of an estimated
    kernel entry's; weight_error, the mean over prompts of Σ_i |a_i − a_i exact| / 2.
    """
    arrays, made_by = load_tensors(arguments.pretrained)
    variant, family = build_variant(made_by["model"]), build_family(made_by["features"])
    rows = []
    for run in range(config["runs"]):
        tokens, targets = load_test_prompts(arguments.data, run, slice(None), torch.float64)
        features = load_layer(arguments.pretrained, run, torch.float64).features
        for index, epoch in enumerate(made_by["checkpoints"]):
            weights = Weights.from_tensors(
                {
                    name.removeprefix(CHECKPOINT): torch.from_numpy(array[run, index]).double()
                    for name, array in arrays.items()
                    if name.startswith(CHECKPOINT)
                }
            )
            projections = project(weights, tokens)
            attention, exact = (query_attention(projections, phi) for phi in (features, None))
            errors = [
                (predict(weights, tokens, variant, phi)[..., -1] - targets[..., -1]).abs()
                for phi in (features, None)
            ]
            deviation = relative_deviation(family, projections, made_by["features"]["d_r"])
            rows.append(
                {
                    "setting": config["setting"],
                    "run": run,
                    "epoch": epoch,
                    "train_mse": arrays["train_mse"][run, epoch - 1],
                    "test_mse": arrays["test_mse"][run, epoch - 1],
                    "absolute_error": float(np.median(errors[0])),
                    "absolute_error_exact": float(np.median(errors[1])),
                    "query_weight": float(np.median(attention[:, -1])),
                    "relative_deviation": float(np.median(deviation)),
                    "weight_error": float((attention - exact).abs().sum(-1).mean() / 2),
                }
            )
        log.info("run %d of %d", run + 1, config["runs"])
    save_table(arguments.output, pd.DataFrame(rows))


if __name__ == "__main__":
    run_step(main, "data", "pretrained", "output")
