"""The layer's output beside the reference model trained by gradient descent (Theorem 1)."""

import argparse
import logging
import math
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
from icl_contrastive.analysis.reading import join_reads, read
from icl_contrastive.artifacts.files import save_table, save_tensors
from icl_contrastive.artifacts.origin import origin
from icl_contrastive.artifacts.tables import MAY_BE_EMPTY
from icl_contrastive.attention import ReadOut
from icl_contrastive.command import StepError, check_origin, run_step
from icl_contrastive.descent import SCHEMES
from icl_contrastive.dual import join
from icl_contrastive.limits import DESCENDING_PROMPTS, FOLLOWED_PROMPTS, FULL_WIDTH_PROMPTS
from icl_contrastive.steps.layer import load_layer, load_test_prompts
from icl_contrastive.variants import Variant, build_variant

log = logging.getLogger(__name__)

ROWS_NAMED = 10  # of those that break an identity, in the error message


def compare_runs(
    arguments: argparse.Namespace,
    config: dict[str, Any],
    variants: Sequence[Variant],
    prompts: int,
    followed: int,
    dtype: torch.dtype,
) -> tuple[ReadOut, Courses]:
    """What each run's first prompts come to, (runs, prompts, ...); many descend at once."""
    runs = config["runs"]
    at_once = max(1, DESCENDING_PROMPTS // prompts)
    read_outs, lots = [], []
    for lot in (range(runs)[first : first + at_once] for first in range(0, runs, at_once)):
        problems, reads = [], []
        for run in lot:
            layer = load_layer(arguments.pretrained, run, dtype)
            tokens, _ = load_test_prompts(arguments.data, run, slice(prompts), dtype)
            problems.append(compressed_problem(layer, tokens, variants[0]))
            reads.append([read(layer, tokens, one) for one in variants])
        own, *others = (join_reads(of_form, torch.stack) for of_form in zip(*reads, strict=True))
        problem = join(problems, torch.stack)
        lots.append(compare(problem, variants[0], config["epochs"], followed, *others))
        read_outs.append(own)
        log.info("%d of %d runs compared in %s", lot.stop, runs, str(dtype).removeprefix("torch."))
    courses = {
        scheme: {name: np.concatenate([one[scheme][name] for one in lots]) for name in course}
        for scheme, course in lots[0].items()
    }
    check_descents(config, courses)
    return join_reads(read_outs), courses


def check_descents(config: dict[str, Any], courses: Courses) -> None:
    """Raise StepError if a descent diverged, naming the epoch where its path was followed."""
    for scheme, course in courses.items():
        if "path" not in course:
            continue  # no descent
        steps = np.asarray(np.isfinite(course["path"]).all(1))  # (runs, steps + 1)
        steps[:, -1] &= np.isfinite(course["prediction"]).all((1, 2))
        if not steps.all():
            run, step = np.argwhere(~steps)[0]
            epochs = 1 if scheme.startswith("full_batch") else config["epochs"]
            epoch = math.ceil(step * epochs / (steps.shape[1] - 1))
            where = f"epoch {epoch} of the equivalence" if course["path"].size else "float32"
            raise StepError(
                f"variant {config['variant']} in setting {config['setting']}: the descent {scheme} "
                f"of run {run} is not finite in {where}; lower the size of alpha (now "
                f"{config['model'].get('alpha')}) or the learning rate of the pretraining"
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
    runs, prompts = config["runs"], config["prompts"]
    followed = min(prompts, FOLLOWED_PROMPTS)
    own, courses = compare_runs(arguments, config, variants, prompts, followed, torch.float64)
    own32, courses32 = compare_runs(arguments, config, variants, followed, 0, torch.float32)
    layer = load_layer(arguments.pretrained, 0, torch.float64)
    every = slice(runs), slice(prompts)
    tokens, targets = load_test_prompts(arguments.data, *every, torch.float64)
    control = full_width_deviations(layer, tokens[0], variant, config["epochs"], courses)
    y_true, output = targets[..., -1].numpy(), own.output.numpy()
    lowest = own.coefficients.amin(-1).numpy()
    run, prompt = (index.ravel() for index in np.indices((runs, prompts)))
    tables = []
    for scheme, course in courses.items():
        error32, deviation = np.full((2, runs, prompts), np.nan)
        followed32 = courses32[scheme]["prediction"]
        error32[:, :followed] = relative_error(followed32, own32.output.numpy())
        if scheme in control:
            deviation[0, : len(control[scheme])] = control[scheme]
        columns = {
            "setting": config["setting"],
            "variant": config["variant"],
            "run": run,
            "prompt": prompt,
            "scheme": scheme,
            "exact": scheme in constant,
            "y_true": y_true.ravel(),
            "y_layer": output[..., -1].ravel(),
            "y_reference": course["prediction"][..., -1].ravel(),
            "lowest_weight": lowest.ravel(),
            "relative_error": relative_error(course["prediction"], output).ravel(),
            "relative_error_float32": error32.ravel(),
            "full_width_deviation": deviation.ravel(),
        }
        tables.append(pd.DataFrame(columns))
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
    kept = {"y_true": y_true[:, :followed], "y_layer": output[:, :followed, -1]}
    for scheme, course in courses.items():
        kept |= {f"{scheme}/{name}": a for name, a in course.items() if name != "prediction"}
    save_tensors(arguments.trajectory, kept, config, origin(arguments.code))


if __name__ == "__main__":
    run_step(main, "data", "pretrained", "table", "trajectory")
