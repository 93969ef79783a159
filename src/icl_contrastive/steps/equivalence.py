"""The layer's output beside the reference model trained by gradient descent (Theorem 1)."""

import argparse
import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import torch

from icl_contrastive.artifacts.files import save_table, save_tensors
from icl_contrastive.artifacts.origin import origin
from icl_contrastive.artifacts.tables import MAY_BE_EMPTY
from icl_contrastive.attention import coefficients, project, query_attention
from icl_contrastive.command import StepError, check_origin, run_step
from icl_contrastive.descent import SCHEMES, Descent, Scheme, descend
from icl_contrastive.dual import DualProblem, dual_problem, join
from icl_contrastive.kernel_dual import descend_softmax, softmax_problem
from icl_contrastive.limits import FOLLOWED_PROMPTS, FULL_WIDTH_PROMPTS
from icl_contrastive.prediction import predict
from icl_contrastive.steps.layer import Layer, load_layer, load_test_prompts
from icl_contrastive.variants import Variant, build_variant

log = logging.getLogger(__name__)

ROWS_NAMED = 10  # of those that break an identity, in the error message

Courses = dict[str, dict[str, np.ndarray]]


def schemes(variant: Variant) -> list[Scheme]:
    """The schemes of descent that differ for the variant."""
    shared = "single_sample_shared_decay"
    return [name for name in SCHEMES if name != shared or not variant.gradient_is_constant]


def descents(
    problem: DualProblem, variant: Variant, epochs: int, followed: int | None = None
) -> Iterator[tuple[str, Descent]]:
    """Every scheme of descent from the variant's W_0, and one step from that of Eq. 12."""
    for scheme in schemes(variant):
        yield scheme, descend(problem, variant, scheme, epochs, followed=followed)
    if variant.starts_elsewhere:
        start = Variant.initial_weight(variant, problem)
        yield (
            "full_batch_from_eq12",
            descend(problem, variant, "full_batch", 1, start=start, followed=followed),
        )


def full_width_problem(layer: Layer, tokens: torch.Tensor, variant: Variant) -> DualProblem:
    """The variant's problem for prompts (prompts, N + 1, d), with features as wide as d_r."""
    ranked = variant.mixing(tokens.shape[-2] - 1).is_ranked
    return dual_problem(layer.weights, tokens, layer.features, ranked=ranked)


def compressed_problem(layer: Layer, tokens: torch.Tensor, variant: Variant) -> DualProblem:
    """The same in N + 2 dimensions: few prompts at a time, but all descend together."""
    some = torch.split(tokens, FULL_WIDTH_PROMPTS)
    return join([full_width_problem(layer, one, variant).compressed() for one in some])


def outputs(layer: Layer, tokens: torch.Tensor, variant: Variant) -> np.ndarray:
    """The layer's outputs at the query token, (prompts, d)."""
    some = torch.split(tokens, FULL_WIDTH_PROMPTS)
    return torch.cat([predict(layer.weights, one, variant, layer.features) for one in some]).numpy()


def lowest_weights(layer: Layer, tokens: torch.Tensor, variant: Variant) -> np.ndarray:
    """The smallest of the N + 1 coefficients that the layer gives a prompt's values, (prompts,)."""
    mixing, lowest = variant.mixing(tokens.shape[-2] - 1), []
    for some in torch.split(tokens, FULL_WIDTH_PROMPTS):
        projections = project(layer.weights, some)
        attention = query_attention(projections, layer.features)
        c = coefficients(mixing, attention, projections, layer.features)  # (prompts, N + 1)
        lowest.append(c.amin(-1))
    return torch.cat(lowest).numpy()


def compare(
    layer: Layer, tokens: torch.Tensor, variant: Variant, epochs: int
) -> tuple[np.ndarray, Courses]:
    """Layer outputs (prompts, d), and by scheme what they are compared with.

    That is ``prediction`` (prompts, d), and of a descent also ``path``, the label coordinate of
    ŷ_test, ``cosine`` and ``cosine_others``, of the first prompts: (followed prompts, steps + 1).
    """
    problem = compressed_problem(layer, tokens, variant)
    courses: Courses = {}
    for scheme, descent in descents(problem, variant, epochs, FOLLOWED_PROMPTS):
        courses[scheme] = {
            "prediction": descent.prediction.numpy(),
            "path": descent.path[..., -1].T.numpy(),
            "cosine": descent.cosine.T.numpy(),
            "cosine_others": descent.cosine_others.T.numpy(),
        }
    if (other := variant.restated()) is not None:
        courses["restated"] = {"prediction": outputs(layer, tokens, other)}
    return outputs(layer, tokens, variant), courses


def full_width_deviations(
    layer: Layer, tokens: torch.Tensor, variant: Variant, epochs: int, courses: Courses
) -> dict[str, np.ndarray]:
    """The control: by scheme, how far each prompt's descent is off the same one at full width.

    Of the label coordinate of ŷ_test, relative to its largest value on the way, or of the cosine,
    whichever differs more, over all steps: (control prompts,). The exact softmax, which has no φ,
    is compared with the descent of its coefficients at the end.
    """
    if layer.features is None:
        return kernel_deviations(layer, tokens[:FULL_WIDTH_PROMPTS], variant, epochs, courses)
    problem = full_width_problem(layer, tokens[:FULL_WIDTH_PROMPTS], variant)
    deviations = {}
    for scheme, descent in descents(problem, variant, epochs):
        path, cosine = descent.path[..., -1].T.numpy(), descent.cosine.T.numpy()
        off = np.abs(courses[scheme]["path"][: len(path)] - path).max(1) / np.abs(path).max(1)
        turned = np.abs(courses[scheme]["cosine"][: len(path)] - cosine).max(1)
        deviations[scheme] = np.maximum(off, turned)
    return deviations


def kernel_deviations(
    layer: Layer, tokens: torch.Tensor, variant: Variant, epochs: int, courses: Courses
) -> dict[str, np.ndarray]:
    """How far each prompt's descent is off the same one in terms of kernels alone, at its end."""
    queries, keys, values = project(layer.weights, tokens)
    prompts, n, _ = keys.shape
    attends, own = torch.ones(prompts, 1, n, dtype=torch.bool), torch.tensor([n - 1])
    problem = softmax_problem(queries[:, -1:], keys, values, attends, own)
    deviations: dict[str, np.ndarray] = {}
    for scheme in schemes(variant):
        coefficients, prediction = descend_softmax(problem, scheme, epochs)
        course = {name: one[:prompts] for name, one in courses[scheme].items()}
        off = relative_error(prediction[:, 0].numpy(), course["prediction"])
        turned = np.abs(course["cosine"][:, -1] - problem.cosine(coefficients)[:, 0].numpy())
        deviations[scheme] = np.maximum(off, turned)
    return deviations


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
    give, with one step from that of Eq. 12 (``full_batch_from_eq12``). The reference models descend
    in N + 2 dimensions (``DualProblem.compressed``), some of run 0 at full width, too.
    """
    variant = build_variant(config["model"])
    check_origin(config, arguments.data, arguments.pretrained)
    constant = list(SCHEMES) if variant.gradient_is_constant else ["full_batch"]
    epochs, prompts = config["epochs"], config["prompts"]
    tables, trajectories, control = [], [], {}
    for run in range(config["runs"]):
        results = {}
        for dtype in (torch.float32, torch.float64):
            layer = load_layer(arguments.pretrained, run, dtype)
            some = slice(prompts if dtype is torch.float64 else min(prompts, FOLLOWED_PROMPTS))
            tokens, targets = load_test_prompts(arguments.data, run, some, dtype)
            results[dtype] = compare(layer, tokens, variant, epochs)
        y_true = targets[..., -1].numpy()
        lowest = lowest_weights(layer, tokens, variant)  # in the higher precision, the last
        output, courses = results[torch.float64]
        output32, courses32 = results[torch.float32]
        for in_one_precision in (courses, courses32):
            check_descents(config, run, in_one_precision)
        if run == 0:
            control = full_width_deviations(layer, tokens, variant, epochs, courses)
        for scheme, course in courses.items():
            error32 = relative_error(courses32[scheme]["prediction"], output32)
            deviation = control.get(scheme) if run == 0 else None
            tables.append(
                pd.DataFrame(
                    {
                        "setting": config["setting"],
                        "variant": config["variant"],
                        "run": run,
                        "prompt": pd.RangeIndex(prompts).to_series(),
                        "scheme": scheme,
                        "exact": scheme in constant,
                        "y_true": y_true,
                        "y_layer": output[:, -1],
                        "y_reference": course["prediction"][:, -1],
                        "lowest_weight": lowest,
                        "relative_error": relative_error(course["prediction"], output),
                        "relative_error_float32": pd.Series(error32, dtype=float),
                        "full_width_deviation": pd.Series(deviation, dtype=float),
                    }
                )
            )
        of_run = {"y_true": y_true, "y_layer": output[:, -1]}
        for scheme, course in courses.items():
            of_run |= {f"{scheme}/{name}": a for name, a in course.items() if name != "prediction"}
        of_run = {name: array[:FOLLOWED_PROMPTS] for name, array in of_run.items()}
        trajectories.append(of_run)
        log.info("run %d of %d compared", run + 1, config["runs"])

    table = pd.concat(tables).sort_values(["run", "prompt"], kind="stable", ignore_index=True)
    controlled = (table["run"] == 0) & (table["prompt"] < FULL_WIDTH_PROMPTS)
    controlled &= table["scheme"].isin(control)
    for what, rows, error in (
        ("exact identities", table[table["exact"]], "relative_error"),
        ("descents at full width", table[controlled], "full_width_deviation"),
    ):
        broken = rows[~(rows[error] <= config["tolerance"])]
        if len(broken):
            named = broken.head(ROWS_NAMED).to_string(index=False)
            raise StepError(
                f"{len(broken)} of {len(rows)} {what} are off by more than "
                f"{config['tolerance']:g}, relative; the first rows:\n{named}"
            )
        log.info("%d %s are off by %.3g at most, relative", len(rows), what, rows[error].max())
    save_table(arguments.table, table, MAY_BE_EMPTY["equivalence"])
    stacked = {name: np.stack([one[name] for one in trajectories]) for name in trajectories[0]}
    save_tensors(arguments.trajectory, stacked, config, origin(arguments.code))


if __name__ == "__main__":
    run_step(main, "data", "pretrained", "table", "trajectory")
