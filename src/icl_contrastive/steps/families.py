"""The sweep over d_r with every random-feature family in the paper's place, in one setting."""

import argparse
import logging
import math
import time
from typing import Any

import numpy as np
import pandas as pd
import torch

from icl_contrastive.analysis.estimates import (
    Matrices,
    approximation_errors,
    estimated_matrices,
    exact_matrices,
    mild_pairs,
)
from icl_contrastive.artifacts.files import save_table
from icl_contrastive.artifacts.tables import MAY_BE_EMPTY
from icl_contrastive.command import StepError, check_origin, run_step
from icl_contrastive.steps.family import load_family
from icl_contrastive.steps.layer import draw_map, load_projections
from icl_contrastive.streams import stream

log = logging.getLogger(__name__)


def main(arguments: argparse.Namespace, config: dict[str, Any]) -> None:
    """Write every repeat's errors, their closed forms, and the time that draws and estimates take.

    ``kernel`` is the error of exp(kᵀq) relative to it, over the mild pairs, which the closed forms
    are for, empty where none is known; ``attention`` and ``output`` are the errors of the matrices.
    A draw of the family that the layer was trained with has the numbers of the step
    ``approximation``.
    """
    check_origin(config, arguments.data, arguments.pretrained)
    setting, run = config["setting"], config["run"]
    projections, statistics = load_projections(
        arguments.data, arguments.pretrained, run, config["prompt"]
    )
    d = projections.keys.shape[-1]
    exact = exact_matrices(projections)
    key, query = mild_pairs(projections)
    keys, queries = projections.keys[key], projections.queries[query]  # (pairs, d)
    kernel = (keys * queries).sum(-1).exp()
    errors, closed_forms, times = [], [], []
    for entry in config["compared"]:
        family = load_family(entry)
        name = (setting, entry["family"], family.projection)
        for d_r in sorted({family.dimension(d, d_r) for d_r in config["d_r"]}):
            theory = family.log_relative_mse(keys.numpy(), queries.numpy(), d_r, statistics)
            computed = None if theory is None else float(np.exp(theory).mean())
            if computed is not None and math.isnan(computed):
                raise StepError(
                    f"the closed form of {entry['family']} at d_r = {d_r} is not a number; see its "
                    "log_relative_mse, which must be None where none is known"
                )
            closed_forms.append((*name, d_r, computed))
            seconds = []
            for repeat in range(config["repeats"] if family.projections else 1):
                began = time.perf_counter()
                rng = stream(config["seed"], "approximation", setting, d_r, repeat)
                features = draw_map(family, rng, d, d_r, statistics)
                drawn = time.perf_counter()
                matrices = estimated_matrices(projections, features)
                seconds.append((drawn - began, time.perf_counter() - drawn))
                ratio = features.kernel(keys[:, None], queries[:, None])[:, 0, 0] / kernel
                compared = {"kernel": (ratio, torch.ones_like(ratio))}
                compared |= {n: (getattr(matrices, n), getattr(exact, n)) for n in Matrices._fields}
                for matrix, pair in compared.items():
                    errors.append((*name, d_r, repeat, matrix, *approximation_errors(*pair)))
            times.append((*name, d_r, *np.median(seconds, axis=0)))
        log.info("%s, %s: done", entry["family"], family.projection)
    columns = ["setting", "family", "projection", "d_r"]
    error_columns = [*columns, "repeat", "matrix", "mse", "mae"]
    save_table(arguments.errors, pd.DataFrame(errors, columns=error_columns))
    theory_table = pd.DataFrame(closed_forms, columns=[*columns, "mse"]).astype({"mse": float})
    save_table(arguments.closed_forms, theory_table, MAY_BE_EMPTY["family_closed_forms"])
    time_columns = [*columns, "seconds_to_draw", "seconds_to_estimate"]
    save_table(arguments.times, pd.DataFrame(times, columns=time_columns))


if __name__ == "__main__":
    run_step(main, "data", "pretrained", "errors", "closed-forms", "times")
