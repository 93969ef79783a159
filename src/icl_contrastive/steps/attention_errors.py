"""Errors of the estimated attention in all runs of a setting, on several prompts of each (5.2)."""

import argparse
import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

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
from icl_contrastive.attention import Projections, layer_output
from icl_contrastive.command import check_origin, run_step
from icl_contrastive.features import Family, build_family
from icl_contrastive.features.base import FeatureMap
from icl_contrastive.steps.layer import draw_map, load_projections
from icl_contrastive.streams import stream

log = logging.getLogger(__name__)

Rows = list[tuple[dict[str, Any], torch.Tensor]]
"""Keys, and measures of every prompt, (prompts, measures)."""


def sweep(config: Mapping[str, Any]) -> list[tuple[Family, bool, int]]:
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


class Reading(NamedTuple):
    """In which of several ways errors are read off: the choices of two decisions."""

    matrix: str = "normalized"
    queries: str = "all"


class Compared(NamedTuple):
    """A matrix, its estimate and what uniform weights give, all (prompts, rows, columns)."""

    reading: Reading
    matrix: str
    estimate: torch.Tensor
    exact: torch.Tensor
    uniform: torch.Tensor


def kernel_matrices(projections: Projections, features: FeatureMap | None) -> Matrices:
    """φ(K)ᵀφ(Q), or exp(KᵀQ), before Eq. 6 divides by D, and its product with the values."""
    queries, keys, values = projections
    kernel = (keys @ queries.mT).exp() if features is None else features.kernel(keys, queries)
    return Matrices(kernel, layer_output(kernel, values).mT)


def comparison(
    projections: Projections, readings: Collection[Reading]
) -> Callable[[FeatureMap], Iterator[Compared]]:
    """What is compared on some prompts, for each draw of the features: attention and output.

    Without normalization, uniform weights have the exact sum D.
    """
    exact, uniform = exact_matrices(projections), uniform_matrices(projections)
    kernel = kernel_matrices(projections, None)
    sums = kernel.attention.sum(-2, keepdim=True)
    of_kernel = Matrices(uniform.attention * sums, uniform.output * sums)
    ways = {
        "normalized": (estimated_matrices, exact, uniform),
        "unnormalized": (kernel_matrices, kernel, of_kernel),
    }

    def compare(features: FeatureMap) -> Iterator[Compared]:
        for kind in dict.fromkeys(one.matrix for one in readings):
            estimated, *known = ways[kind]
            threes = zip(Matrices._fields, estimated(projections, features), *known, strict=True)
            for name, *three in threes:
                for reading in readings:
                    if reading.matrix == kind:
                        shown = slice(None) if reading.queries == "all" else slice(-1, None)
                        yield Compared(reading, name, *(one[..., shown] for one in three))

    return compare


def measure(
    config: Mapping[str, Any],
    data: Path,
    pretrained: Path,
    readings: Collection[Reading] = (Reading(),),
) -> dict[Reading, tuple[pd.DataFrame, pd.DataFrame]]:
    """For each reading, ``EntryErrors`` of each run, law of ω, d_r, draw, matrix and prompt.

    A draw is used for all prompts of its run, and is independent of all other draws: over these,
    the second table has the ``BiasVariance``.
    """
    setting, prompts = config["setting"], config["prompts"]
    errors: dict[Reading, Rows] = {}
    bias: dict[Reading, Rows] = {}
    for run in range(config["runs"]):
        projections, statistics = load_projections(data, pretrained, run, slice(prompts))
        compare, d = comparison(projections, readings), projections.keys.shape[-1]
        for family, trained, d_r in sweep(config):
            law = family.projection
            about = {"setting": setting, "run": run, "projection": law, "trained": trained}
            about |= {"d_r": d_r}
            drawn: dict[tuple[Reading, str], list[Compared]] = {}
            for draw in range(config["draws"]):
                rng = stream(config["seed"], "estimates", setting, run, law, d_r, draw)
                for one in compare(draw_map(family, rng, d, d_r, statistics)):
                    measures = entry_errors(one.estimate, one.exact, one.uniform)
                    keys = about | {"draw": draw, "matrix": one.matrix}
                    errors.setdefault(one.reading, []).append((keys, torch.stack(measures, -1)))
                    drawn.setdefault((one.reading, one.matrix), []).append(one)
            for (reading, matrix), several in drawn.items():
                estimates = torch.stack([one.estimate for one in several])
                parts = bias_and_variance(estimates, several[0].exact)
                keys = about | {"matrix": matrix}
                bias.setdefault(reading, []).append((keys, torch.stack(parts, -1)))
        log.info("run %d of %d", run + 1, config["runs"])
    return {
        reading: (of_prompts(rows, EntryErrors), of_prompts(bias[reading], BiasVariance))
        for reading, rows in errors.items()
    }


def main(arguments: argparse.Namespace, config: dict[str, Any]) -> None:
    """Write both tables of ``measure``."""
    check_origin(config, arguments.data, arguments.pretrained)
    ((errors, bias),) = measure(config, arguments.data, arguments.pretrained).values()
    save_table(arguments.errors, errors)
    save_table(arguments.bias, bias, MAY_BE_EMPTY["attention_bias"])


def of_prompts(rows: Rows, measures: type[EntryErrors | BiasVariance]) -> pd.DataFrame:
    """For each of the keys a row for every prompt, with its number and its measures."""
    prompts = len(rows[0][1])
    table = pd.DataFrame([keys for keys, _ in rows]).loc[np.repeat(np.arange(len(rows)), prompts)]
    table["prompt"] = np.tile(np.arange(prompts), len(rows))
    table[list(measures._fields)] = torch.cat([values for _, values in rows]).numpy()
    return table


if __name__ == "__main__":
    run_step(main, "data", "pretrained", "errors", "bias")
