"""Of the estimated attention: over a run's prompts and draws of the random features."""

from dataclasses import replace

import numpy as np
import pandas as pd

from icl_contrastive.claims.evidence import Array, Effect, Evidence, NotTestableError, Query


def error_rate(evidence: Evidence, matrix: str, error: str, setting: Query) -> list[Effect]:
    """Slope of log error against log d_r by least squares, the error averaged over draws.

    The mean over a run's prompts.
    """
    rows = _estimates(evidence, matrix, setting, trained="True")
    errors = rows.groupby(["run", "prompt", "d_r"])[error].mean().unstack("d_r")
    if errors.shape[1] < 2:
        raise NotTestableError("the sweep has a single d_r")
    x = np.log(errors.columns.to_numpy(np.float64))
    x = x - x.mean()
    slopes = pd.Series(np.log(errors.to_numpy(np.float64)) @ x / (x @ x), errors.index)
    return [Effect("all", slopes.groupby("run").mean().to_numpy(np.float64))]


def error_over_uniform(evidence: Evidence, matrix: str, setting: Query) -> list[Effect]:
    """Squared error with the most features over that of uniform attention, each over the draws.

    Beside it, the mean absolute error over the mean size of an exact entry.
    """
    rows = _estimates(evidence, matrix, setting, trained="True")
    last = rows[rows["d_r"] == rows["d_r"].max()]
    means = last.groupby(["run", "prompt"], as_index=False)[["mse", "mse_uniform"]].mean()
    return [
        _geometric("over uniform", means, means["mse"] / means["mse_uniform"]),
        replace(
            _geometric("absolute, over a mean entry", last, last["mae"] / last["size"]),
            role="beside",
        ),
    ]


def entries_near(evidence: Evidence, matrix: str, setting: Query) -> list[Effect]:
    """Share of the entries that are nearer to the exact ones than those of uniform attention.

    At the d_r of the trained layers. Beside it, the relative error of the median entry.
    """
    rows = _at_layers_d_r(evidence, matrix, setting)
    share = rows.groupby("run")["nearer_than_uniform"].mean().to_numpy(np.float64)
    return [
        Effect("nearer", share),
        replace(_geometric("median relative error", rows, rows["relative"]), role="beside"),
    ]


def larger_entries(evidence: Evidence, matrix: str, setting: Query) -> list[Effect]:
    """Absolute error of the median large entry over that of the median other one.

    Beside it, the same of relative errors, and the relative error of the median large entry.
    """
    rows = _at_layers_d_r(evidence, matrix, setting)
    relative = rows["relative_largest"]
    return [
        _geometric("absolute", rows, rows["absolute_largest"] / rows["absolute_rest"]),
        replace(_geometric("relative", rows, relative / rows["relative_rest"]), role="beside"),
        replace(_geometric("relative error of the largest tenth", rows, relative), role="beside"),
    ]


def bias_share(evidence: Evidence, matrix: str, setting: Query) -> list[Effect]:
    """Squared bias over the mean squared error at the layers' d_r, both means over prompts.

    Beside it, the bias as a share of the mean squared error of the smallest and the largest d_r.
    """
    name = evidence.setting(setting)
    rows = evidence.table("attention_bias", setting=name, matrix=matrix, trained="True")
    sizes = dict.fromkeys([evidence.d_r, rows["d_r"].min(), rows["d_r"].max()])
    own, *others = (Effect(f"d_r = {d_r}", _bias_share(rows[rows["d_r"] == d_r])) for d_r in sizes)
    return [own, *(replace(one, role="beside") for one in others)]


def _bias_share(rows: pd.DataFrame) -> Array:
    means = rows.groupby("run")[["bias2", "variance"]].mean().to_numpy(np.float64)
    return np.asarray(means[:, 0] / means.sum(1))


def projection_error(
    evidence: Evidence, projections: list[str], base: str, matrix: str, setting: Query
) -> list[Effect]:
    """Ratio of the mean squared errors with other laws of ω at the layers' d_r.

    The errors are averaged over draws, the ratios over a run's prompts.
    """

    def errors(projection: str) -> pd.Series:
        rows = _estimates(evidence, matrix, setting, projection=projection, d_r=evidence.d_r)
        return rows.groupby(["run", "prompt"])["mse"].mean()

    ratios = [(errors(one) / errors(base)).reset_index() for one in projections]
    return [
        _geometric(one, rows, rows["mse"]) for one, rows in zip(projections, ratios, strict=True)
    ]


def _estimates(evidence: Evidence, matrix: str, setting: Query, **where: object) -> pd.DataFrame:
    return evidence.table(
        "attention_errors", setting=evidence.setting(setting), matrix=matrix, **where
    )


def _at_layers_d_r(evidence: Evidence, matrix: str, setting: Query) -> pd.DataFrame:
    return _estimates(evidence, matrix, setting, trained="True", d_r=evidence.d_r)


def _geometric(label: str, rows: pd.DataFrame, ratios: pd.Series) -> Effect:
    """Of the ratios of every run, over its prompts and draws."""
    logs = ratios.apply(np.log).groupby(rows["run"]).mean()
    return Effect(label, np.exp(logs.to_numpy(np.float64)), "ratio")
