"""Effects and verdicts once more, from the tables and the list of claims alone.

Nothing of the package is imported, and little is general: settings and variants are called by the
names that config.yaml gives them.

    python tests/rederive.py results/confirm/results

says what differs between a finished run's own scorecard and what is found here.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import yaml
from scipy import stats

Array = npt.NDArray[np.float64]
Entry = Mapping[str, Any]
Parts = list[tuple[str, str, Array]]
"""Role, scale and number of each run, for each part of a claim."""

CLAIMS = yaml.safe_load(
    (Path(__file__).parents[1] / "workflow/claims.yaml").read_text(encoding="utf-8")
)


# From numbers of the runs to verdicts


def verdicts(effects: pd.DataFrame, claims: Mapping[str, Any] = CLAIMS) -> dict[str, str]:
    """The verdict on each claim, from the table of effects."""
    level, negligible = claims["statistics"]["level"], claims["statistics"]["negligible"]
    found, questions = {}, {}
    for entry in claims["claims"]:
        rows = effects[effects["id"] == entry["id"]]
        parts = [
            (one["role"].iloc[0], one["scale"].iloc[0], one.sort_values("run")["value"].to_numpy())
            for _, one in rows.groupby("part", sort=False)
        ]
        found[entry["id"]] = "not tested"
        criterion = entry["criterion"]
        if parts and parts[0][1] == "largest":
            largest = parts[0][2].max()
            within = [largest <= criterion[key] for key in ("reproduced", "partly")]
            outcomes = ("reproduced", "partly", "contradicted")
            found[entry["id"]] = outcomes[[*within, True].index(True)]
        elif parts and min(len(values) for _, _, values in parts) > 1:
            questions[entry["id"]] = asked(criterion, parts, negligible, level)
    corrected = [
        holm({name: one[question] for name, one in questions.items()}) for question in range(4)
    ]
    for name, (*_, strays) in questions.items():
        is_so, is_weaker, is_not, is_tiny = (p[name] < level for p in corrected)
        if is_so and not is_tiny and not strays:
            found[name] = "reproduced"
        elif is_not:
            found[name] = "contradicted"
        else:
            found[name] = "partly" if is_so or is_weaker else "inconclusive"
    return found


def asked(
    criterion: Entry, parts: Parts, negligible: Mapping[str, float], level: float
) -> tuple[float, float, float, float, bool]:
    """p-values of: it is as claimed, or so in a weaker form; it is not; the effect is negligible.

    And whether some of a grid stray.
    """
    tested = [(scale, values) for role, scale, values in parts if role == "tested"]
    grid = [(scale, values) for role, scale, values in parts if role == "of the grid"]
    kind = criterion["kind"]
    if kind in ("below", "above"):
        than = criterion["than"]
        inner = []  # the smallest effect of interest
        for scale, _ in tested:
            by = criterion.get("negligible", negligible[scale])
            steps = (than / by, than * by) if scale == "ratio" else (than - by, than + by)
            inner.append(steps[0] if kind == "below" else steps[1])
        is_so, is_not = ("less", "greater") if kind == "below" else ("greater", "less")
        each = [t(*part, than, is_so) for part in tested]
        others = [t(*part, end, is_not) for part, end in zip(tested, inner, strict=True)]
        alone = len(each) == 1
        leaning = [
            p if t(*part, than, is_so) > 0.5 else 1.0
            for part, p in zip(tested, others, strict=True)
        ]
        strays = [t(*part, than, is_not) * len(grid) < level for part in grid]
        weaker = np.nan if alone else len(each) * min(each)
        return max(each), weaker, len(each) * min(leaning), len(each) * min(others), any(strays)
    if kind in ("at_most", "at_least"):
        is_so, is_not = ("less", "greater") if kind == "at_most" else ("greater", "less")
        strict, weak = (
            np.resize(criterion[key], len(tested)).tolist() for key in ("reproduced", "partly")
        )
        ends = list(zip(tested, strict, weak, strict=True))
        claimed = max(t(*part, end, is_so) for part, end, _ in ends)
        weaker = max(t(*part, end, is_so) for part, _, end in ends)
        return (
            claimed,
            weaker,
            len(ends) * min(t(*part, end, is_not) for part, _, end in ends),
            np.nan,
            False,
        )
    strict, weak = (
        criterion.get(key, criterion.get("between")) for key in ("reproduced", "partly")
    )
    (part,) = tested
    claimed, weaker = (
        max(t(*part, low, "greater"), t(*part, high, "less")) for low, high in (strict, weak)
    )
    outside = 2 * min(t(*part, weak[0], "less"), t(*part, weak[1], "greater"))
    return claimed, weaker, outside, np.nan, False


def t(scale: str, values: Array, than: float, alternative: str) -> float:
    """One-sided p-value, in logarithms for ratios; equal values leave nothing to chance."""
    if scale == "ratio":
        values, than = np.log(values), np.log(than)
    if np.ptp(values) == 0:
        return float(not (values[0] > than if alternative == "greater" else values[0] < than))
    return float(stats.ttest_1samp(values, than, alternative=alternative).pvalue)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Step by step, from the smallest; NaN, which was not asked, stays so and is not counted."""
    asked = [name for name, p_value in p_values.items() if not np.isnan(p_value)]
    ordered = sorted(asked, key=lambda name: p_values[name])
    corrected, so_far = dict.fromkeys(p_values, np.nan), 0.0
    for step, name in enumerate(ordered):
        so_far = corrected[name] = max(
            so_far, min(1, (len(ordered) - step) * min(1, p_values[name]))
        )
    return corrected


# From tables to numbers of the runs


class Tables:
    """A run's folder of tables."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __getitem__(self, name: str) -> pd.DataFrame:
        # A d_r or a number of the run is the same however it is written; labels are not numbers.
        return pd.read_csv(self.folder / f"{name}.csv", keep_default_na=False, na_values=[""])

    @property
    def d_r(self) -> int:
        """That of the trained layers: other laws of ω are only tried with it."""
        rows = self["attention_errors"]
        (d_r,) = set(rows.loc[~rows["trained"], "d_r"])
        return int(d_r)


def setting_of(measure: Entry, key: str = "setting") -> str:
    wanted = measure[key]
    name = f"n{wanted['demonstrations']}"
    return f"{name}_multitask" if wanted.get("tasks") == "per_prompt" else name


def variants_of(query: Entry, names: Iterable[str]) -> list[str]:
    """The variants that a claim asks for, by their names; a grid's by the size of alpha."""
    if query["model"] == "softmax":
        pattern = "exact_softmax" if query["attention"] == "exact" else r"softmax(_.*)?"
    elif query["model"] == "regularized":
        sign = {"> 0": r"[\d.]+", "< 0": r"-[\d.]+"}
        alpha = query.get("alpha", r"-?[\d.]+")
        pattern = rf"regularized_{query['form']}_alpha{sign.get(alpha, alpha)}"
    elif query["model"] == "augmented":
        called = {(1, 0): "g1", (1, 1): "g1_g2", (0, 1): "g2", (0, 2): "g2plus"}
        own = called[query["g1"], query["g2"]] if "g1" in query else ".*"
        pattern = f"augmented_{own}"
    elif query["form"] == "eq18":
        pattern = "negative_eq18"
    else:
        pattern = r"negative(_k3)?(_beta0.1)?" if "k" in query else r"negative(_k\d)?(_beta[\d.]+)?"
    found = [name for name in dict.fromkeys(names) if re.fullmatch(pattern, name)]
    if query["model"] == "regularized":
        found.sort(key=lambda name: abs(float(name.rpartition("alpha")[2])))
    return found


def geometric(rows: pd.DataFrame, ratios: pd.Series) -> Array:
    return np.asarray(np.exp(np.log(ratios).groupby(rows["run"]).mean()))


# Reference models


def equivalence(tables: Tables, measure: Entry) -> pd.DataFrame:
    rows = tables["equivalence"]
    rows = rows[rows["scheme"] == measure.get("scheme", "full_batch")]
    if "setting" in measure:
        rows = rows[rows["setting"] == setting_of(measure)]
    wanted: pd.DataFrame = rows[rows["variant"].isin(variants_of(measure["of"], rows["variant"]))]
    return wanted


def identity_error(tables: Tables, measure: Entry) -> Parts:
    rows = equivalence(tables, measure)
    return [("tested", "largest", rows.groupby("run")["relative_error"].max().to_numpy())]


def deviation(tables: Tables, measure: Entry) -> Parts:
    rows = equivalence(tables, measure)
    medians = rows.groupby(["variant", "run"])["relative_error"].median().unstack("run")
    medians = medians.clip(lower=2.0**-53)
    if len(medians) > 1:  # a grid, whose members are told in the order of their alpha
        alpha = medians.index.str.rpartition("alpha").get_level_values(2).astype(float)
        medians = medians.iloc[np.argsort(alpha)]
    together = np.exp(np.log(medians).mean()).to_numpy()
    each = [("beside", "ratio", one.to_numpy()) for _, one in medians.iterrows()]
    return [("tested", "ratio", together), *(each if len(each) > 1 else [])]


def negative_weights(tables: Tables, measure: Entry) -> Parts:
    rows = equivalence(tables, measure)
    shares = (rows["lowest_weight"] < 0).groupby(rows["run"]).mean()
    return [("tested", "number", np.asarray(shares, np.float64))]


def cosines(tables: Tables, measure: Entry) -> Any:
    """Means over the prompts, (runs, columns × steps)."""
    rows = tables[f"trajectories/{setting_of(measure)}/softmax"]
    rows = rows[rows["scheme"] == "single_sample"]
    return rows.groupby(["run", "step"])[["cosine", "cosine_others"]].mean().unstack()


def cosine_gain(tables: Tables, measure: Entry) -> Parts:
    cosine = cosines(tables, measure)["cosine"].to_numpy()
    return [("tested", "number", cosine[:, -1] - cosine[:, 0])]


def pair_gap(tables: Tables, measure: Entry) -> Parts:
    both = cosines(tables, measure)
    own, others = (both[name].to_numpy()[:, -1] for name in ("cosine", "cosine_others"))
    return [
        ("tested", "number", own - others),
        ("beside", "number", own),
        ("beside", "number", others),
    ]


# Learning curves


def curve(tables: Tables, setting: str, variant: str) -> Array:
    rows = tables["pretraining"]
    rows = rows[(rows["setting"] == setting) & (rows["variant"] == variant)]
    return (
        rows.sort_values(["run", "epoch"])["train_mse"]
        .to_numpy()
        .reshape(rows["run"].nunique(), -1)
    )


def of_curves(
    tables: Tables, measure: Entry, ratio: Callable[[Array, Array, Array], Array]
) -> Parts:
    """The ratio for each variant that is asked for, and of a grid the whole first."""
    names, setting = (
        variants_of(measure["of"], tables["pretraining"]["variant"]),
        setting_of(measure),
    )
    plain = "softmax" if measure["of"]["model"] == "regularized" else "softmax_lr0.005"
    base = curve(tables, setting, plain)
    labels = predictor(tables, setting, "layer")
    variance = (labels["y_true"] ** 2).groupby(labels["run"]).mean().to_numpy()
    ratios = [ratio(curve(tables, setting, name), base, variance) for name in names]
    if "over" not in measure:
        return [("tested", "ratio", one) for one in ratios]
    logs, steps = np.log(ratios), np.arange(1, len(ratios) + 1)
    if measure["over"] == "trend":  # the line through the plain layer, by least squares, at its end
        whole = steps[-1] * np.linalg.lstsq(steps[:, None].astype(float), logs, rcond=None)[0][0]
    else:
        whole = logs.mean(0)
    return [
        ("tested", "ratio", np.exp(whole)),
        *(("of the grid", "ratio", one) for one in ratios),
    ]


def first(curves: Array, share: float) -> int:
    return max(1, int(np.ceil(share * curves.shape[1])))


def final_error(tables: Tables, measure: Entry) -> Parts:
    def ratio(ours: Array, base: Array, variance: Array) -> Array:
        last, floor = first(ours, measure["last"]), 0.001 * variance
        ends = [np.maximum(one[:, -last:].mean(1), floor) for one in (ours, base)]
        return np.asarray(ends[0] / ends[1])

    return of_curves(tables, measure, ratio)


def area(tables: Tables, measure: Entry, until: float | None = None) -> Parts:
    share = measure["until"] if until is None else until

    def ratio(ours: Array, base: Array, _: Array) -> Array:
        return np.asarray(
            ours[:, : first(ours, share)].sum(1) / base[:, : first(base, share)].sum(1)
        )

    return of_curves(tables, measure, ratio)


def epochs(tables: Tables, measure: Entry) -> Parts:
    def ratio(ours: Array, base: Array, variance: Array) -> Array:
        to_target = [
            [reached(*of_run) for of_run in zip(curves, measure["to"] * variance, strict=True)]
            for curves in (ours, base)
        ]
        return np.asarray(np.divide(to_target[0], to_target[1]))

    return of_curves(tables, measure, ratio)


def reached(errors: Array, target: float) -> float:
    """Epochs, from 1, in which the error comes down to the target: between two of them on a log."""
    if errors[0] <= target:
        return 1.0
    for epoch, (before, after) in enumerate(pairwise(errors), start=1):
        if after <= target:
            return float(epoch + np.log(before / target) / np.log(before / after))
    return len(errors) + 1.0


def speed(tables: Tables, measure: Entry) -> Parts:
    parts = [*epochs(tables, measure), *area(tables, measure, until=1)]
    return [one for one in parts if one[0] == "tested"] + [
        one for one in parts if one[0] != "tested"
    ]


# The estimate


def estimates(tables: Tables, measure: Entry, name: str = "attention_errors") -> pd.DataFrame:
    rows = tables[name]
    here = rows["setting"] == setting_of(measure)
    wanted: pd.DataFrame = rows[here & (rows["matrix"] == measure["matrix"])]
    return wanted


def own_law(tables: Tables, measure: Entry, d_r: int | None = None) -> pd.DataFrame:
    rows = estimates(tables, measure)
    rows = rows[rows["trained"]]
    return rows if d_r is None else rows[rows["d_r"] == d_r]


def error_rate(tables: Tables, measure: Entry) -> Parts:
    rows = own_law(tables, measure)
    means = rows.groupby(["run", "prompt", "d_r"])[measure["error"]].mean().reset_index()
    slopes = means.groupby(["run", "prompt"])[["d_r", measure["error"]]].apply(
        lambda one: np.polyfit(np.log(one["d_r"]), np.log(one[measure["error"]]), 1)[0]
    )
    return [("tested", "number", slopes.groupby("run").mean().to_numpy())]


def error_over_uniform(tables: Tables, measure: Entry) -> Parts:
    rows = own_law(tables, measure)
    rows = rows[rows["d_r"] == rows["d_r"].max()]
    sums = rows.groupby(["run", "prompt"])[["mse", "mse_uniform"]].sum().reset_index()
    return [
        ("tested", "ratio", geometric(sums, sums["mse"] / sums["mse_uniform"])),
        ("beside", "ratio", geometric(rows, rows["mae"] / rows["size"])),
    ]


def entries_near(tables: Tables, measure: Entry) -> Parts:
    rows = own_law(tables, measure, tables.d_r)
    return [
        ("tested", "number", rows.groupby("run")["nearer_than_uniform"].mean().to_numpy()),
        ("beside", "ratio", geometric(rows, rows["relative"])),
    ]


def larger_entries(tables: Tables, measure: Entry) -> Parts:
    rows = own_law(tables, measure, tables.d_r)
    return [
        ("tested", "ratio", geometric(rows, rows["absolute_largest"] / rows["absolute_rest"])),
        ("beside", "ratio", geometric(rows, rows["relative_largest"] / rows["relative_rest"])),
        ("beside", "ratio", geometric(rows, rows["relative_largest"])),
    ]


def bias_share(tables: Tables, measure: Entry) -> Parts:
    rows = estimates(tables, measure, "attention_bias")
    rows = rows[rows["trained"]]
    sums = rows.groupby(["d_r", "run"])[["bias2", "variance"]].sum()
    share = (sums["bias2"] / (sums["bias2"] + sums["variance"])).unstack("run")
    shown = dict.fromkeys([tables.d_r, share.index.min(), share.index.max()])
    roles = ["tested", *["beside"] * (len(shown) - 1)]
    return [
        (role, "number", share.loc[d_r].to_numpy()) for role, d_r in zip(roles, shown, strict=True)
    ]


def projection_error(tables: Tables, measure: Entry) -> Parts:
    rows = estimates(tables, measure)
    rows = rows[rows["d_r"] == tables.d_r]
    logs = np.log(rows.groupby(["projection", "run", "prompt"])["mse"].mean())
    means = logs.groupby(["projection", "run"]).mean().unstack()
    return [
        ("tested", "ratio", np.exp((means.loc[law] - means.loc[measure["base"]]).to_numpy()))
        for law in measure["projections"]
    ]


# Predictions


def predictor(tables: Tables, setting: str, name: str) -> pd.DataFrame:
    rows = tables["controls"]
    wanted = rows[(rows["setting"] == setting) & (rows["predictor"] == name)]
    ordered: pd.DataFrame = wanted.sort_values(["run", "prompt"])
    return ordered


def mean_error(tables: Tables, measure: Entry, name: str) -> Array:
    rows = predictor(tables, setting_of(measure), name)
    return np.asarray(rows.groupby("run")["squared_error"].mean())


def unexplained(tables: Tables, measure: Entry, key: str = "setting") -> Parts:
    rows = predictor(tables, setting_of(measure, key), measure.get("predictor", "layer"))
    sums = rows.assign(square=rows["y_true"] ** 2).groupby("run")[["squared_error", "square"]].sum()
    return [("tested", "ratio", (sums["squared_error"] / sums["square"]).to_numpy())]


def unexplained_ratio(tables: Tables, measure: Entry) -> Parts:
    ((*about, ours),), ((*_, base),) = (
        unexplained(tables, measure, key) for key in ("setting", "base")
    )
    return [(about[0], about[1], np.maximum(ours, 0.001) / np.maximum(base, 0.001))]


def error_ratio(tables: Tables, measure: Entry) -> Parts:
    errors = [mean_error(tables, measure, name) for name in (measure["predictor"], "layer")]
    return [("tested", "ratio", errors[0] / errors[1])]


def by_run(rows: pd.DataFrame, column: str) -> Array:
    return rows[column].to_numpy().reshape(rows["run"].nunique(), -1)


def use_of_demonstrations(tables: Tables, measure: Entry) -> Parts:
    whole, part = (
        by_run(predictor(tables, setting_of(measure), name), "prediction")
        for name in ("layer", "demonstrations' part")
    )
    share = [
        np.cov(*pair)[0, 1] / np.var(pair[1], ddof=1) for pair in zip(part, whole, strict=True)
    ]
    shuffled = error_ratio(tables, {**measure, "predictor": "shuffled labels"})
    return [("tested", "number", np.array(share)), *shuffled]


def zero_shot(tables: Tables, measure: Entry) -> Parts:
    parts = []
    for role, name in (("tested", "zero-shot part"), ("beside", "demonstrations' part")):
        rows = predictor(tables, setting_of(measure), name)
        pairs = zip(by_run(rows, "prediction"), by_run(rows, "y_true"), strict=True)
        parts.append((role, "number", np.array([np.corrcoef(*pair)[0, 1] for pair in pairs])))
    return parts


def place_of_quoted_error(tables: Tables, measure: Entry) -> Parts:
    errors = by_run(predictor(tables, setting_of(measure), "layer"), "squared_error")
    quoted = (measure["prediction"] - measure["truth"]) ** 2
    return [("tested", "number", (errors < quoted).mean(1))]


MEASURES: dict[str, Callable[[Tables, Entry], Parts]] = {
    one.__name__: one
    for one in (
        *(identity_error, deviation, negative_weights, cosine_gain, pair_gap),
        *(final_error, area, epochs, speed),
        *(error_rate, error_over_uniform, entries_near, larger_entries, bias_share),
        *(projection_error, unexplained, unexplained_ratio, error_ratio),
        *(use_of_demonstrations, zero_shot, place_of_quoted_error),
    )
}


def differences(folder: Path, claims: Mapping[str, Any] = CLAIMS) -> tuple[int, list[str]]:
    """How many claims of a folder of tables were rederived, and what came out otherwise."""
    tables, found, rederived = Tables(folder), [], 0
    effects = pd.read_csv(folder / "effects.csv", dtype={"part": str})
    for entry in claims["claims"]:
        theirs = [
            one for _, one in effects[effects["id"] == entry["id"]].groupby("part", sort=False)
        ]
        if not theirs:  # not tested, and it should be so
            try:
                MEASURES[entry["measure"]["name"]](tables, entry["measure"])
            except (ValueError, KeyError, IndexError, FileNotFoundError):
                continue
            found.append(f"{entry['id']}: no numbers, though there is what it takes")
            continue
        rederived += 1
        ours = MEASURES[entry["measure"]["name"]](tables, entry["measure"])
        about = [(one["role"].iloc[0], one["scale"].iloc[0]) for one in theirs]
        if about != [(role, scale) for role, scale, _ in ours]:
            found.append(f"{entry['id']}: other parts: {about}")
            continue
        for rows, (*_, values) in zip(theirs, ours, strict=True):
            value = rows.sort_values("run")["value"].to_numpy()
            if not np.allclose(value, values, rtol=1e-9, atol=1e-12):
                found.append(f"{entry['id']}, {rows['part'].iloc[0]}: {value} is not {values}")
    found += compared_verdicts(effects, pd.read_csv(folder / "claims.csv"), claims)
    return rederived, found


def compared_verdicts(
    effects: pd.DataFrame, scorecard: pd.DataFrame, claims: Mapping[str, Any] = CLAIMS
) -> list[str]:
    """The claims on which the scorecard says something else."""
    told = dict(zip(scorecard["id"], scorecard["verdict"], strict=True))
    ours = verdicts(effects, claims)
    if told.keys() != ours.keys():
        return [f"other claims: {sorted(told.keys() ^ ours.keys())}"]
    return [
        f"{name}: {told[name]} is not {ours[name]}" for name in ours if told[name] != ours[name]
    ]


if __name__ == "__main__":
    count, different = differences(Path(sys.argv[1]) / "tables")
    print(f"{count} claims rederived from {sys.argv[1]}/tables, {len(different)} differences")  # noqa: T201
    sys.exit("\n".join(different))
