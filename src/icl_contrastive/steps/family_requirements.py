"""The d_r that each family needs to reach the error of the trained layers' features."""

import argparse
import math
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from icl_contrastive.analysis.error_curves import CONFIDENCE, RESAMPLES, Array, Curves
from icl_contrastive.artifacts.files import load_table, save_table
from icl_contrastive.artifacts.tables import COLUMNS, MAY_BE_EMPTY
from icl_contrastive.command import run_step
from icl_contrastive.features import Family
from icl_contrastive.steps.family import load_family
from icl_contrastive.streams import stream

Name = tuple[str, str]  # family and projection


def main(arguments: argparse.Namespace, config: dict[str, Any]) -> None:
    """Write a row for each setting, matrix, error and family.

    ``reached`` is ``yes``, ``no`` (by no d_r of the sweep, so that d_r is empty) or ``at once`` (by
    the least d_r of the sweep, so that d_r is an upper bound). ``factor`` is how many times fewer
    features that is. An interval's end outside of the sweep is empty. ``multiply_adds`` and
    ``transcendentals`` are those of ``operations``, and ``cost`` is the share of the reference's
    multiply-adds.
    """
    table = load_table(arguments.families, COLUMNS["families"]).astype(
        {"d_r": int, "mse": float, "mae": float}
    )
    features, d = config["features"], config["d"]
    reference = features["family"], load_family(features).projection
    rows = []
    for setting, tokens in config["tokens"].items():
        adds_of_reference, _ = operations(load_family(features), d, features["d_r"], tokens)
        for matrix, error in product(("attention", "output"), ("mse", "mae")):
            inside = table[(table["setting"] == setting) & (table["matrix"] == matrix)]
            curves = errors_by_size(inside, error)
            samples = samples_of_repeats(curves, config["seed"], setting, matrix, error)
            targets = Curves.of(curves[reference], samples).at(features["d_r"])
            for name, curve in curves.items():
                sizes = Curves.of(curve, samples).crossings(targets)
                row: dict[str, Any] = {"setting": setting, "matrix": matrix, "error": error}
                row |= {"family": name[0], "projection": name[1]}
                law = {"projection": None if name[1] == "none" else name[1]}
                family = load_family({"family": name[0]} | law)
                swept = inside["d_r"].to_numpy()
                row |= requirement(sizes, swept, features["d_r"], family.multiple)
                if row["d_r"] is not None:
                    adds, transcendentals = operations(family, d, row["d_r"], tokens)
                    row |= {"multiply_adds": adds, "transcendentals": transcendentals}
                    row["cost"] = adds / adds_of_reference
                rows.append(row)
    whole = ("d_r", "d_r_low", "d_r_high", "multiply_adds", "transcendentals")
    found = pd.DataFrame(rows).astype(dict.fromkeys(whole, "Int64"))
    save_table(arguments.output, found, MAY_BE_EMPTY["family_requirements"])


def errors_by_size(table: pd.DataFrame, error: str) -> dict[Name, dict[int, Array]]:
    """By family and d_r, the errors of all repeats."""
    errors: dict[Name, dict[int, Array]] = {}
    for (family, projection), rows in table.groupby(["family", "projection"], sort=False):
        sizes = rows["d_r"].unique()
        of_sizes = {d_r: rows.loc[rows["d_r"] == d_r, error].to_numpy() for d_r in sizes}
        errors[str(family), str(projection)] = of_sizes
    return errors


def samples_of_repeats(
    curves: dict[Name, dict[int, Array]], seed: int, *names: str
) -> dict[int, npt.NDArray[np.int64]]:
    """By d_r, the repeats as they are, then bootstrap samples, (1 + RESAMPLES, repeats).

    All families share them, as they share the streams that they are drawn from.
    """
    repeats: dict[int, int] = {}
    for curve in curves.values():
        for d_r, errors in curve.items():
            repeats[d_r] = max(len(errors), repeats.get(d_r, 0))
    samples = {}
    for d_r, count in repeats.items():
        rng = stream(seed, "family requirements", *names, d_r)
        resampled = rng.integers(count, size=(RESAMPLES, count))
        samples[d_r] = np.concatenate([np.arange(count)[None], resampled])
    return samples


def requirement(
    sizes: Array, swept: npt.NDArray[np.int64], d_r: int, multiple: int
) -> dict[str, float | int | str | None]:
    """The size needed, rounded up, its interval and the factor saved; None where not in the sweep.

    Args:
        sizes: by the data, then by samples of the repeats.
        swept: all d_r of the sweep.
        d_r: the reference's.
        multiple: what the size must be a multiple of.
    """
    least, most = swept.min(), swept.max()
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(sizes[1:], (tail, 1 - tail), method="inverted_cdf")
    inside = {
        "d_r": sizes[0] <= most,
        "d_r_low": least < low <= most,
        "d_r_high": least < high <= most,
    }
    found: dict[str, float | int | str | None] = {
        "reached": "no" if sizes[0] > most else "at once" if sizes[0] <= least else "yes"
    }
    for key, size in zip(inside, (sizes[0], low, high), strict=True):
        # An interpolated size that is a size of the sweep is so but for rounding.
        found[key] = multiple * math.ceil(round(size / multiple, 6)) if inside[key] else None
    for key, needed in (("factor", "d_r"), ("factor_low", "d_r_high"), ("factor_high", "d_r_low")):
        size = found[needed]
        found[key] = None if size is None else d_r / float(size)
    return found


def operations(family: Family, d: int, d_r: int, tokens: int) -> tuple[int, int]:
    """Multiply-adds and transcendental functions of one estimate of A_u from given ω.

    The multiply-adds are those of Ωx for keys and queries, of φ(K)ᵀφ(Q), and of the constants that
    the family takes from keys and queries.
    """
    one = family.operations(d, d_r)
    pairs = tokens**2 * family.dimension(d, d_r)
    constants = family.constants_cost(d, d_r, 2 * tokens)
    return 2 * tokens * one.multiply_adds + pairs + constants, 2 * tokens * one.transcendentals


if __name__ == "__main__":
    run_step(main, "families", "output")
