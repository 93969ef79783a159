"""Of the reference models: identities, deviations, and what the descent does to its pairs."""

from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd

from icl_contrastive.claims.evidence import (
    KERNEL_LAYER,
    Effect,
    Evidence,
    NotTestableError,
    Query,
    by_run,
    describe,
    of_grid,
)


def identity_error(
    evidence: Evidence, of: Query, scheme: str, setting: Query | None = None
) -> list[Effect]:
    """Largest relative error of every run, over all prompts, variants and settings asked for."""
    rows = evidence.table("equivalence", scheme=scheme)
    wanted = None if setting is None else evidence.setting(setting)
    cells = {
        (name, model.name)
        for name in (rows["setting"].unique() if wanted is None else [wanted])
        for model in evidence.models_if_any(of, name)
    }
    inside = [cell in cells for cell in zip(rows["setting"], rows["variant"], strict=True)]
    if not any(inside):
        raise NotTestableError(f"no compared layer has {describe(of)}")
    return [Effect("all", by_run(rows[inside], "relative_error", "max"), "largest")]


def deviation(evidence: Evidence, of: Query, scheme: str, setting: Query) -> list[Effect]:
    """Median relative error of every run; none at all counts as one of rounding.

    Of a grid the geometric mean, and beside it its variants.
    """
    name = evidence.setting(setting)
    rounding = np.finfo(np.float64).epsneg
    effects = []
    for model in evidence.models(of, name):
        rows = evidence.table("equivalence", setting=name, variant=model.name, scheme=scheme)
        errors = by_run(rows, "relative_error", "median")
        effects.append(Effect(model.label, np.maximum(errors, rounding), "ratio"))
    if len(effects) == 1:
        return effects
    return [of_grid(effects, "mean"), *(replace(one, role="beside") for one in effects)]


def cosine_gain(evidence: Evidence, setting: Query) -> list[Effect]:
    """Rise of the mean cosine of (ŷ⁽ⁱ⁾, y⁽ⁱ⁾) from the first to the last step, run by run."""
    first, last = (
        by_run(_cosines(evidence, setting, step), "cosine", "mean") for step in ("min", "max")
    )
    return [Effect("all", last - first)]


def pair_gap(evidence: Evidence, setting: Query) -> list[Effect]:
    """Mean cosine of (ŷ⁽ⁱ⁾, y⁽ⁱ⁾) after the descent, less that of (ŷ⁽ⁱ⁾, y⁽ʲ⁾) with j ≠ i."""
    last = _cosines(evidence, setting, "max")
    pairs, others = (by_run(last, column, "mean") for column in ("cosine", "cosine_others"))
    return [
        Effect("difference", pairs - others),
        Effect("pairs", pairs, role="beside"),
        Effect("others", others, role="beside"),
    ]


def _cosines(evidence: Evidence, setting: Query, step: Literal["min", "max"]) -> pd.DataFrame:
    name = evidence.setting(setting)
    tables = [f"trajectories/{name}/{one.name}" for one in evidence.models(KERNEL_LAYER, name)]
    table = next(filter(evidence.has, tables), tables[0])  # only figures' layers are followed
    rows = evidence.table(table, setting=name, scheme="single_sample")
    selected: pd.DataFrame = rows[rows["step"] == rows["step"].agg(step)]
    return selected


def negative_weights(evidence: Evidence, of: Query, setting: Query) -> list[Effect]:
    """Share of a run's prompts in which some value has a negative weight at the query token."""
    name, effects = evidence.setting(setting), []
    for model in evidence.models(of, name):
        rows = evidence.table("equivalence", setting=name, variant=model.name, scheme="full_batch")
        rows = rows.assign(negative=rows["lowest_weight"] < 0)
        effects.append(Effect(model.label, by_run(rows, "negative", "mean")))
    return effects
