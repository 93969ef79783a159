"""The layer's output beside the reference model trained by gradient descent (Theorem 1)."""

import argparse
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from icl_contrastive.analysis.equivalence import (
    Courses,
    compare,
    compressed_problem,
    full_width_deviations,
    relative_error,
)
from icl_contrastive.analysis.reading import join_lots, read
from icl_contrastive.artifacts.files import save_table, save_tensors
from icl_contrastive.artifacts.origin import origin
from icl_contrastive.artifacts.tables import MAY_BE_EMPTY
from icl_contrastive.command import StepError, check_origin, run_step
from icl_contrastive.descent import SCHEMES
from icl_contrastive.dual import join
from icl_contrastive.limits import FOLLOWED_PROMPTS, FULL_WIDTH_PROMPTS
from icl_contrastive.steps.layer import load_layer, load_test_prompts
from icl_contrastive.variants import Variant, build_variant

log = logging.getLogger(__name__)

ROWS_NAMED = 10  # of those that break an identity, in the error message


def in_float32(
    arguments: argparse.Namespace, config: dict[str, Any], variants: Sequence[Variant]
) -> list[tuple[np.ndarray, Courses]]:
    """Outputs and courses of each run's followed prompts, all of which descend at once."""
    followed = slice(min(config["prompts"], FOLLOWED_PROMPTS))
    problems, reads = [], []
    for run in range(config["runs"]):
        layer = load_layer(arguments.pretrained, run, torch.float32)
        tokens, _ = load_test_prompts(arguments.data, run, followed, torch.float32)
        problems.append(compressed_problem(layer, tokens, variants[0]))
        reads.append([read(layer, tokens, one) for one in variants])
    own, *others = map(join_lots, zip(*reads, strict=True))
    courses = compare(join(problems), variants[0], config["epochs"], None, *others)
    found = []
    for run in range(config["runs"]):
        mine = slice(run * followed.stop, (run + 1) * followed.stop)
        of_run = {
            scheme: {name: array[mine] for name, array in course.items()}
            for scheme, course in courses.items()
        }
        found.append((own.output[mine].numpy(), of_run))
    return found


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
    variants = [one for one in (variant, variant.restated()) if one is not None]
    epochs, prompts = config["epochs"], config["prompts"]
    single = in_float32(arguments, config, variants)
    tables, trajectories, control = [], [], {}
    for run, (output32, courses32) in enumerate(single):
        layer = load_layer(arguments.pretrained, run, torch.float64)
        tokens, targets = load_test_prompts(arguments.data, run, slice(prompts), torch.float64)
        y_true = targets[..., -1].numpy()
        own, *others = (read(layer, tokens, one) for one in variants)
        output, lowest = own.output.numpy(), own.coefficients.amin(-1).numpy()
        problem = compressed_problem(layer, tokens, variant)
        courses = compare(problem, variant, epochs, FOLLOWED_PROMPTS, *others)
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
