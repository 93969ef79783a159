"""Errors of the estimated attention in all runs of a setting, on several prompts of each (5.2)."""

from __future__ import annotations

import argparse
import logging
from typing import Any

import numpy as np
import pandas as pd
import torch

from icl_contrastive.analysis.estimates import (
    BiasVariance,
    EntryErrors,
    Matrices,
    bias_and_variance,
    entry_errors,
    estimated_matrices,
    exact_matrices,
    uniform_matrices,
)
from icl_contrastive.artifacts.files import save_table
from icl_contrastive.artifacts.tables import MAY_BE_EMPTY
from icl_contrastive.attention import project
from icl_contrastive.command import check_origin, run_step
from icl_contrastive.features import Family, build_family
from icl_contrastive.steps.layer import draw_map, fitted_statistics, load_layer, load_test_prompts
from icl_contrastive.streams import stream

log = logging.getLogger(__name__)

Rows = list[tuple[dict[str, Any], torch.Tensor]]
"""Keys, and measures of every prompt, (prompts, measures)."""


def sweep(config: dict[str, Any]) -> list[tuple[Family, bool, int]]:
    """Families, whether the layers are trained with their law of ω, and numbers of features.

    The layers' own law of ω with every d_r, its other laws with that of the layers.
    """
    features = config["features"]
    own = build_family(features)
    others = [
        build_family(features | {"projection": projection})
        for projection in own.projections
        if projection != own.projection
    ]
    grid = sorted({*config["d_r"], features["d_r"]})
    return [(own, True, d_r) for d_r in grid] + [(one, False, features["d_r"]) for one in others]


def main(arguments: argparse.Namespace, config: dict[str, Any]) -> None:
    """Write the ``EntryErrors`` of each run, law of ω, d_r, draw, matrix and prompt.

    A draw is used for all prompts of its run, and is independent of all other draws: over these,
    the second table has the ``BiasVariance``.
    """
    check_origin(config, arguments.data, arguments.pretrained)
    setting, prompts = config["setting"], config["prompts"]
    errors: Rows = []
    bias: Rows = []
    for run in range(config["runs"]):
        layer = load_layer(arguments.pretrained, run, torch.float64)
        tokens, _ = load_test_prompts(arguments.data, run, slice(prompts), torch.float64)
        projections = project(layer.weights, tokens)
        statistics = fitted_statistics(arguments.data, layer.weights, run, slice(prompts))
        exact, uniform = exact_matrices(projections), uniform_matrices(projections)
        estimates = [one.new_empty((config["draws"], *one.shape)) for one in exact]
        for family, trained, d_r in sweep(config):
            about = {
                "setting": setting,
                "run": run,
                "projection": family.projection,
                "trained": trained,
                "d_r": d_r,
            }
            for draw in range(config["draws"]):
                rng = stream(
                    config["seed"], "estimates", setting, run, family.projection, d_r, draw
                )
                features = draw_map(family, rng, tokens.shape[-1], d_r, statistics)
                estimate = estimated_matrices(projections, features)
                for name, of_draws, *three in zip(
                    Matrices._fields, estimates, estimate, exact, uniform, strict=True
                ):
                    of_draws[draw] = three[0]
                    keys = about | {"draw": draw, "matrix": name}
                    errors.append((keys, torch.stack(entry_errors(*three), -1)))
            for name, of_draws, one in zip(Matrices._fields, estimates, exact, strict=True):
                keys = about | {"matrix": name}
                bias.append((keys, torch.stack(bias_and_variance(of_draws, one), -1)))
        log.info("run %d of %d", run + 1, config["runs"])
    save_table(arguments.errors, of_prompts(errors, EntryErrors))
    save_table(arguments.bias, of_prompts(bias, BiasVariance), MAY_BE_EMPTY["attention_bias"])


def of_prompts(rows: Rows, measures: type[EntryErrors | BiasVariance]) -> pd.DataFrame:
    """For each of the keys a row for every prompt, with its number and its measures."""
    prompts = len(rows[0][1])
    table = pd.DataFrame([keys for keys, _ in rows]).loc[np.repeat(np.arange(len(rows)), prompts)]
    table["prompt"] = np.tile(np.arange(prompts), len(rows))
    table[list(measures._fields)] = torch.cat([values for _, values in rows]).numpy()
    return table


if __name__ == "__main__":
    run_step(main, "data", "pretrained", "errors", "bias")
