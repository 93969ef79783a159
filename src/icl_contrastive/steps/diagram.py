"""The matrices of one prompt, for the diagrams of Fig. 1 and 2."""

import argparse
from typing import Any

import pandas as pd
import torch

from icl_contrastive.artifacts.files import save_table
from icl_contrastive.attention import project, query_attention
from icl_contrastive.command import check_origin, run_step
from icl_contrastive.descent import descend
from icl_contrastive.dual import dual_problem
from icl_contrastive.prediction import predict
from icl_contrastive.steps.layer import entries, load_layer, load_test_prompts
from icl_contrastive.variants import build_variant

FEATURES_SHOWN = 48


def main(arguments: argparse.Namespace, config: dict[str, Any]) -> None:
    """Write matrix, row, column, value; matrices with tokens as columns, as in the paper."""
    check_origin(config, arguments.data, arguments.pretrained)
    variant = build_variant(config["model"])
    layer = load_layer(arguments.pretrained, config["run"], torch.float64)
    tokens, _ = load_test_prompts(arguments.data, config["run"], config["prompt"], torch.float64)
    projections = project(layer.weights, tokens)
    problem = dual_problem(layer.weights, tokens, layer.features)
    weight = variant.initial_weight(problem)
    descent = descend(problem, variant, "full_batch", epochs=1)
    shown = slice(FEATURES_SHOWN)
    matrices = {
        "H": tokens.mT,
        "Q": projections.queries.mT,
        "K": projections.keys.mT,
        "V": projections.values.mT,
        "attention": query_attention(projections, layer.features)[:, None],
        "h_hat": predict(layer.weights, tokens, variant, layer.features)[:, None],
        "phi_K": problem.key_features.mT[shown],
        "phi_q": problem.query_features[shown, None],
        "W_0": weight[:, shown],
        "W_hat": descent.weight[:, shown],
        "y_hat_before": (problem.key_features @ weight.mT).mT,
        "y_hat_after": (problem.key_features @ descent.weight.mT).mT,
        "y_test": descent.prediction[:, None],
    }
    tables = [entries(matrix, matrix=name) for name, matrix in matrices.items()]
    save_table(arguments.output, pd.concat(tables))


if __name__ == "__main__":
    run_step(main, "data", "pretrained", "output")
