"""One run of the ablations: what a layer trained with one other decision comes to."""

import argparse
from typing import Any

import numpy as np
import pandas as pd
import torch

from icl_contrastive.analysis.diagnostics import diagnose
from icl_contrastive.analysis.equivalence import compressed_problem, relative_error
from icl_contrastive.analysis.reading import read
from icl_contrastive.artifacts.files import load_tensors, save_table
from icl_contrastive.artifacts.tables import MAY_BE_EMPTY
from icl_contrastive.command import run_step
from icl_contrastive.descent import descend
from icl_contrastive.steps.family import load_family
from icl_contrastive.steps.layer import load_layer, load_test_prompts
from icl_contrastive.variants import build_variant


def main(arguments: argparse.Namespace, config: dict[str, Any]) -> None:
    """Write decision, value, default, run, the last epoch's errors, and what ``diagnose`` says.

    And equivalence_error, the median over prompts of the relative difference between the layer and
    its reference model under the scheme asked for: rounding, where the two are equal.
    """
    arrays, made_by = load_tensors(arguments.pretrained)
    variant, family = build_variant(made_by["model"]), load_family(made_by["features"])
    rows = []
    for run in range(config["runs"]):
        layer = load_layer(arguments.pretrained, run, torch.float64)
        tokens, targets = load_test_prompts(arguments.data, run, slice(None), torch.float64)
        compared = tokens[: config["prompts"]]
        problem = compressed_problem(layer, compared, variant)
        descent = descend(problem, variant, config["scheme"], config["epochs"], followed=0)
        output = read(layer, compared, variant).output
        errors = relative_error(descent.prediction.numpy(), output.numpy())
        rows.append(
            {
                "decision": config["decision"],
                "value": config["value"],
                "default": config["default"],
                "run": run,
                "train_mse": arrays["train_mse"][run, -1],
                "test_mse": arrays["test_mse"][run, -1],
                **diagnose(layer, variant, family, made_by["features"]["d_r"], tokens, targets),
                "equivalence_error": float(np.median(errors)),
            }
        )
    save_table(arguments.output, pd.DataFrame(rows), MAY_BE_EMPTY["ablations"])


if __name__ == "__main__":
    run_step(main, "data", "pretrained", "output")
