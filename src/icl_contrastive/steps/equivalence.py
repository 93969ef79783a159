"""The layer's output beside the reference model trained by gradient descent (Theorem 1)."""

from __future__ import annotations

import argparse
import logging
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import torch

from icl_contrastive.artifacts import save_table, save_tensors
from icl_contrastive.attention import predict
from icl_contrastive.dual import SCHEMES, Descent, DualProblem, Scheme, descend, dual_problem
from icl_contrastive.limits import DESCENT_BYTES
from icl_contrastive.provenance import origin
from icl_contrastive.steps.common import StepError, check_origin, run_step
from icl_contrastive.steps.layer import Layer, load_layer, load_test_prompts
from icl_contrastive.variants import Variant, build_variant

log = logging.getLogger(__name__)

ROWS_NAMED = 10  # of those that break an identity, in the error message

Courses = dict[str, dict[str, np.ndarray]]


def schemes(variant: Variant) -> list[Scheme]:
    """The schemes of descent that differ for the variant."""
    shared = "single_sample_shared_decay"
    return [name for name in SCHEMES if name != shared or not variant.gradient_is_constant]


def descents(problem: DualProblem, variant: Variant, epochs: int) -> Iterator[tuple[str, Descent]]:
    """Every scheme of descent from the variant's W_0, and one step from that of Eq. 12."""
    for scheme in schemes(variant):
        yield scheme, descend(problem, variant, scheme, epochs)
    if variant.starts_elsewhere:
        start = Variant.initial_weight(variant, problem)
        yield "full_batch_from_eq12", descend(problem, variant, "full_batch", 1, start=start)


def compare(
    layer: Layer, tokens: torch.Tensor, variant: Variant, epochs: int
) -> tuple[np.ndarray, Courses]:
    """Layer outputs (prompts, d), and by scheme what they are compared with.

    That is ``prediction`` (prompts, d), and of a descent also ``path`` (prompts, steps + 1), the
    label coordinate of ŷ_test, and ``cosine`` (prompts, steps + 1). So many prompts descend
    together as their reference models fit into ``DESCENT_BYTES``.
    """
    d_r = layer.features(tokens[:1, :1]).shape[-1]
    model_bytes = tokens.element_size() * d_r * tokens.shape[-1]
    outputs: list[np.ndarray] = []
    parts: dict[str, list[dict[str, np.ndarray]]] = defaultdict(list)
    for some in torch.split(tokens, max(1, DESCENT_BYTES // model_bytes)):
        outputs.append(predict(layer.weights, some, variant, layer.features).numpy())
        problem = dual_problem(layer.weights, some, layer.features)
        for scheme, descent in descents(problem, variant, epochs):
            course = {
                "prediction": descent.prediction,
                "path": descent.path[..., -1].T,
                "cosine": descent.cosine.T,
            }
            parts[scheme].append({name: tensor.numpy() for name, tensor in course.items()})
        if (other := variant.restated()) is not None:
            prediction = predict(layer.weights, some, other, layer.features).numpy()
            parts["restated"].append({"prediction": prediction})
    return np.concatenate(outputs), {
        scheme: {name: np.concatenate([one[name] for one in some]) for name in some[0]}
        for scheme, some in parts.items()
    }


def relative_error(reference: np.ndarray, output: np.ndarray) -> np.ndarray:
    """‖ŷ − ĥ‖ / ‖ĥ‖ of the whole vector, over the last axis."""
    error = np.linalg.norm(reference - output, axis=-1)
    return np.asarray(error / np.linalg.norm(output, axis=-1))


def check_descents(config: dict[str, Any], run: int, courses: dict[str, dict[str, Any]]) -> None:
    """Raise StepError, naming the first step that is not finite, if a descent diverged."""
    for scheme, course in courses.items():
        if "path" not in course:
            continue  # no descent
        steps = np.isfinite(course["path"]).all(0)  # (steps + 1,)
        if not (steps.all() and np.isfinite(course["prediction"]).all()):
            per_epoch = (
                1 if scheme.startswith("full_batch") else (len(steps) - 1) // config["epochs"]
            )
            step = int(steps.argmin()) if not steps.all() else len(steps) - 1
            epoch = -(-step // per_epoch)
            raise StepError(
                f"variant {config['variant']} in setting {config['setting']}: the descent "
                f"{scheme} of run {run} is not finite in epoch {epoch} of the equivalence; lower "
                f"the size of alpha (now {config['model'].get('alpha')}) or the learning rate of "
                "the pretraining"
            )


def main(arguments: argparse.Namespace, config: dict[str, Any]) -> None:
    """Write the table and the trajectories; fail if an exact identity does not hold.

    Beside the schemes of descent, a form of a layer that the paper takes for another one is
    compared with that one's output (``restated``), and the other one, whose W_0 the paper does not
    give, with one step from that of Eq. 12 (``full_batch_from_eq12``).
    """
    variant = build_variant(config["model"])
    check_origin(config, arguments.data, arguments.pretrained)
    constant = list(SCHEMES) if variant.gradient_is_constant else ["full_batch"]
    epochs, prompts = config["epochs"], config["prompts"]
    tables, trajectories = [], []
    for run in range(config["runs"]):
        results = {}
        for dtype in (torch.float64, torch.float32):
            layer = load_layer(arguments.pretrained, run, dtype)
            tokens, targets = load_test_prompts(arguments.data, run, slice(prompts), dtype)
            results[dtype] = compare(layer, tokens, variant, epochs)
            if dtype is torch.float64:
                y_true = targets[..., -1].numpy()
        output, courses = results[torch.float64]
        output32, courses32 = results[torch.float32]
        for in_one_precision in (courses, courses32):
            check_descents(config, run, in_one_precision)
        for scheme, course in courses.items():
            tables.append(
                pd.DataFrame(
                    {
                        "setting": config["setting"],
                        "variant": config["variant"],
                        "run": run,
                        "prompt": np.arange(prompts),
                        "scheme": scheme,
                        "exact": scheme in constant,
                        "y_true": y_true,
                        "y_layer": output[:, -1],
                        "y_reference": course["prediction"][:, -1],
                        "relative_error": relative_error(course["prediction"], output),
                        "relative_error_float32": relative_error(
                            courses32[scheme]["prediction"], output32
                        ),
                    }
                )
            )
        of_run = {"y_true": y_true, "y_layer": output[:, -1]}
        for scheme, course in courses.items():
            of_run |= {f"{scheme}/{name}": a for name, a in course.items() if name != "prediction"}
        trajectories.append(of_run)
        log.info("run %d of %d compared", run + 1, config["runs"])

    table = pd.concat(tables).sort_values(["run", "prompt"], kind="stable", ignore_index=True)
    exact = table[table["exact"]]
    broken = exact[~(exact["relative_error"] <= config["tolerance"])]
    if len(broken):
        rows = broken.head(ROWS_NAMED).to_string(index=False)
        raise StepError(
            f"{len(broken)} of {len(exact)} exact identities are off by more than "
            f"{config['tolerance']:g}, relative; the first rows:\n{rows}"
        )
    log.info("largest relative error of an exact identity: %.3g", exact["relative_error"].max())
    save_table(arguments.table, table)
    stacked = {name: np.stack([one[name] for one in trajectories]) for name in trajectories[0]}
    save_tensors(arguments.trajectory, stacked, config, origin(arguments.code))


if __name__ == "__main__":
    run_step(main, "data", "pretrained", "table", "trajectory")
