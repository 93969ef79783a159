"""The trained layer beside its controls on the test prompts of one setting."""

import argparse
import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import torch

from icl_contrastive.analysis.controls import (
    Prediction,
    altered_prompts,
    least_squares,
    value_cosine,
    zero_shot_part,
    zero_shot_share,
)
from icl_contrastive.analysis.reading import read
from icl_contrastive.artifacts.files import load_tensors, save_table
from icl_contrastive.artifacts.tables import MAY_BE_EMPTY
from icl_contrastive.attention import Layer, project
from icl_contrastive.command import check_origin, run_step
from icl_contrastive.features import Statistics, build_family
from icl_contrastive.steps.layer import draw_map, load_layer, load_test_prompts
from icl_contrastive.streams import stream
from icl_contrastive.tasks import sample_task
from icl_contrastive.variants import build_variant

log = logging.getLogger(__name__)


def predictions(
    config: dict[str, Any],
    run: int,
    task: torch.Tensor,
    layers: list[Layer],
    tokens: torch.Tensor,
    target: torch.Tensor,
) -> Iterator[Prediction]:
    """All predictors of one run, on the same prompts."""
    seed, setting = config["seed"], config["setting"]
    shared = len(task) == 1
    d_y, d_x = target.shape[-1], tokens.shape[-1] - target.shape[-1]
    variant = build_variant(config["model"])
    layer, *exact = layers

    def of_layer(layer: Layer, prompts: torch.Tensor = tokens) -> torch.Tensor:
        """The label part of ĥ_{N+1}, (prompts, d_y)."""
        return read(layer, prompts, variant).output[..., -d_y:]

    prediction = of_layer(layer)
    zero_shot = zero_shot_part(layer, tokens, variant, d_y)
    yield Prediction("layer", prediction, target)
    yield Prediction("zero-shot part", zero_shot, target)
    yield Prediction("demonstrations' part", prediction - zero_shot, target)
    rng = stream(seed, "controls", "features", setting, run)
    projections = project(layer.weights, tokens)
    known = Statistics.of(projections.keys, projections.queries[:, -1])
    family, d_r = build_family(config["features"]), config["features"]["d_r"]
    fresh = draw_map(family, rng, tokens.shape[-1], d_r, known)
    yield Prediction("fresh features", of_layer(layer._replace(features=fresh)), target)
    yield Prediction("exact softmax", of_layer(layer._replace(features=None)), target)
    for other_layer in exact:
        yield Prediction("exact softmax, trained", of_layer(other_layer), target)

    # With a task for each prompt, every test prompt has a fresh one as it is.
    other = None
    if shared:
        other_task = sample_task(stream(seed, "controls", "task", setting, run), d_y, d_x)
        other = torch.from_numpy(other_task[0]).double()
    rng = stream(seed, "controls", "labels", setting, run)
    for name, prompts, labels in altered_prompts(tokens, target, other, rng):
        yield Prediction(name, of_layer(layer, prompts), labels)

    yield Prediction("least squares", least_squares(tokens, d_y), target)
    yield Prediction("ridge regression", least_squares(tokens, d_y, config["ridge"]), target)
    if shared:
        yield Prediction("true task", tokens[:, -1, :d_x] @ task[0].mT, target)
    yield Prediction("zero", torch.zeros_like(target), target)


def solution(layer: Layer, task: torch.Tensor, parts: dict[str, torch.Tensor]) -> dict[str, float]:
    """Which kind of solution a run's layer is, by its weights and by its predictions' parts."""
    shared = len(task) == 1  # without one, there is no W that the weights could hold
    return {
        "value_cosine": value_cosine(layer.weights.W_V, task[0]) if shared else np.nan,
        "zero_shot_share": zero_shot_share(parts["zero-shot part"], parts["layer"]),
    }


def main(arguments: argparse.Namespace, config: dict[str, Any]) -> None:
    """Write the predictions of every run, and which kind of solution its layer is."""
    check_origin(config, arguments.data, arguments.pretrained[0])
    tasks = torch.from_numpy(load_tensors(arguments.data)[0]["task"]).double()
    tables, solutions = [], []
    for run in range(config["runs"]):
        of_run, parts = [], {}
        layers = [load_layer(path, run, torch.float64) for path in arguments.pretrained]
        prompts = load_test_prompts(arguments.data, run, slice(None), torch.float64)
        found = predictions(config, run, tasks[run], layers, *prompts)
        for predictor, prediction, target in found:
            parts[predictor] = prediction
            of_run.append(
                pd.DataFrame(
                    {
                        "setting": config["setting"],
                        "run": run,
                        "prompt": np.arange(len(target)),
                        "predictor": predictor,
                        "prediction": prediction[:, -1].numpy(),
                        "y_true": target[:, -1].numpy(),
                        "squared_error": ((prediction - target) ** 2).sum(-1).numpy(),
                    }
                )
            )
        tables.append(pd.concat(of_run).sort_values("prompt", kind="stable"))
        kind = solution(layers[0], tasks[run], parts)
        solutions.append({"setting": config["setting"], "run": run} | kind)
        log.info("run %d of %d", run + 1, config["runs"])
    save_table(arguments.controls, pd.concat(tables))
    save_table(arguments.solutions, pd.DataFrame(solutions), MAY_BE_EMPTY["solutions"])


if __name__ == "__main__":
    run_step(main, "data", "controls", "solutions", many=["pretrained"])
