"""Where the paper contradicts itself, what is done about it here, and the number that shows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from icl_contrastive.claims.evidence import (
    KERNEL_LAYER,
    Effect,
    Evidence,
    NotTestableError,
    Query,
)
from icl_contrastive.claims.measures.curves import final_error
from icl_contrastive.claims.measures.descents import deviation, identity_error
from icl_contrastive.claims.measures.estimates import entries_near
from icl_contrastive.claims.measures.predictions import (
    error_ratio,
    place_of_quoted_error,
    unexplained,
)
from icl_contrastive.figures.wording import fixed, number, percent

_SHORT: Query = {"demonstrations": 15}
_LONG: Query = {"demonstrations": 31}
_EQ18: Query = {"model": "negative", "form": "eq18", "k": 3, "beta": 0.1}
_SECTION_5_5: Query = {"model": "negative", "form": "section_5.5"}
_LAST = 0.1
"""Share of the epochs that the training error is averaged over."""


@dataclass(frozen=True)
class Contradiction:
    """One of them; all texts are plain but for code in backquotes.

    Attributes:
        paper: what the paper says, and what speaks against it.
        handling: what is done here.
        number: what this run's tables say to it, or why they do not.
    """

    title: str
    paper: str
    handling: str
    number: str


@dataclass(frozen=True)
class Run:
    """What the numbers are taken from: the tables, and the config as a whole."""

    evidence: Evidence
    config: Mapping[str, Any]


def read_contradictions(
    path: Path, evidence: Evidence, config: Mapping[str, Any]
) -> list[Contradiction]:
    """The list in ``workflow/report``, with the numbers of a run."""
    run = Run(evidence, config)
    found = []
    for entry in yaml.safe_load(path.read_text(encoding="utf-8")):
        try:
            shown = NUMBERS[entry["number"]](run)
        except NotTestableError as error:
            shown = f"Not measured in this run: {error}."
        found.append(Contradiction(**entry | {"number": shown}))
    return found


def _mean(effect: Effect) -> float:
    """Over the runs, as the scorecard has it: of ratios the geometric one."""
    return float(np.exp(np.log(effect.values).mean()))


def _regularizers(run: Run) -> str:
    effects = final_error(
        run.evidence,
        of={"model": "regularized", "form": "eq15"},
        base={"model": "regularized", "form": "eq14"},
        setting=_SHORT,
        last=_LAST,
    )
    gaps = [
        _gap(run, {"model": "regularized", "form": form}, scheme)
        for form, scheme in (("eq14", "restated"), ("eq15", "full_batch_from_eq12"))
    ]
    ratios = sorted((_mean(effect), effect.label.replace("-", "−")) for effect in effects)
    (low, at_low), (high, at_high) = ratios[0], ratios[-1]
    own = _identity(run, {"model": "regularized", "form": "eq15"})
    return (
        "Trained with the same α, Eq. 15 ends at an error that is, in the mean over the runs, "
        f"between {number(low)} ({at_low}) and {number(high)} ({at_high}) times that of Eq. 14. "
        "With the same weights, trained with Eq. 14, the outputs of the two differ by "
        f"{gaps[0]}; from the W_0 of Eq. 12, one step misses the layer of Eq. 15 by {gaps[1]}, "
        f"and from its own W_0 by {own} at most."
    )


def _gap(run: Run, of: Query, scheme: str) -> str:
    """Smallest and largest deviation of the grid's variants, in the mean over the runs."""
    effects = deviation(run.evidence, of=of, scheme=scheme, setting=_SHORT)
    low, high = (percent(pick(map(_mean, effects))) for pick in (min, max))
    return low if len(effects) == 1 else f"{low} to {high}, depending on α"


def _identity(run: Run, of: Query) -> str:
    """Largest relative error of the reference model that is built for a layer."""
    (error,) = identity_error(run.evidence, of=of, scheme="full_batch", setting=_SHORT)
    return number(float(error.values.max()))


def _negatives(run: Run) -> str:
    (effect,) = final_error(
        run.evidence,
        of=_EQ18,
        base=_SECTION_5_5,
        setting=_SHORT,
        last=_LAST,
    )
    lower = int((effect.values < 1).sum())
    return (
        f"With k = 3 and β = 0.1, Eq. 18 ends at {number(_mean(effect))} times the training "
        f"error of section 5.5's form in the mean over the runs, and below it in {lower} of "
        f"{len(effect.values)}. With the same weights, trained with Eq. 18, the outputs of the two "
        f"differ by {_gap(run, _EQ18, 'restated')}. One step of the reference model of section "
        f"5.5's form misses its layer by {_identity(run, _SECTION_5_5)} at most."
    )


def _update(run: Run) -> str:
    """As printed, each of N_CL epochs takes N_CL times the whole step: N_CL² times too much."""
    epochs = run.config["equivalence"]["epochs"]
    setting = run.evidence.setting(_SHORT)
    model = run.evidence.models(KERNEL_LAYER, setting)[0]
    rows = run.evidence.table(f"trajectories/{setting}/{model.name}", scheme="single_sample")
    start = rows[rows["step"] == 0]
    distance = np.abs(start["y_layer"] - start["y_reference"]) / np.abs(start["y_layer"])
    printed = float(np.median((epochs**2 - 1) * distance))
    (meant,) = identity_error(
        run.evidence, of={"model": "softmax"}, scheme="single_sample", setting=_SHORT
    )
    return (
        f"After N_CL = {epochs} epochs with 1/N_CL the largest relative error is "
        f"{number(float(meant.values.max()))}; with N_CL as printed, the reference model would "
        f"miss the layer's prediction by {number(printed)} times its size in the median."
    )


def _matrices(run: Run) -> str:
    parts = []
    for name in ("attention", "output"):
        rows = run.evidence.table("matrices", setting=run.evidence.setting(_SHORT), matrix=name)
        values = rows.assign(d_r=rows["d_r"].fillna(0)).pivot(
            index=["row", "column"], columns="d_r", values="value"
        )
        errors = values.iloc[:, 1:].sub(values[0], axis=0).pow(2).mean()
        parts.append(
            f"{name} {number(errors.iloc[0])} with {errors.index[0]:,.0f} features and "
            f"{number(errors.iloc[-1])} with {errors.index[-1]:,.0f}"
        )
    return f"Mean squared error of the matrices drawn here: {'; '.join(parts)}."


def _distribution(run: Run) -> str:
    rows = run.evidence.table("diagram", matrix="H")
    x = rows.loc[rows["row"] < run.config["task"]["d_x"], "value"].to_numpy(np.float64)
    outside = int((np.abs(x) > 1).sum())
    # P(|z| > 1) of a standard normal z
    return (
        f"In the prompt of Figure 1, {outside} of {len(x):,} entries of x lie outside (−1, 1), "
        f"where a standard normal would put about {0.3173 * len(x):.0f}; their variance is "
        f"{number(float(x.var()))} (uniform: 0.33, normal: 1)."
    )


def _normalization(run: Run) -> str:
    (left,) = unexplained(run.evidence, setting=_SHORT)
    _, off = entries_near(run.evidence, matrix="attention", setting=_SHORT)
    how = {
        "unit": "With unit norm",
        "scaled": "Multiplied by d^(−1/4)",
        "none": "With neither",
    }[run.config["pretraining"]["normalization"]]
    return (
        f"{how}, the layer's squared error is {percent(_mean(left))} of that of predicting zero "
        f"(N = 15, mean over the runs), and the median entry of the attention is estimated with an "
        f"error of {percent(_mean(off))}. The scorecard has the verdicts under both readings."
    )


def _memory(run: Run) -> str:
    shares = {
        predictor: _mean(unexplained(run.evidence, setting=_SHORT, predictor=predictor)[0])
        for predictor in ("layer", "zeroed demonstrations", "fresh task")
    }
    shuffled = _mean(error_ratio(run.evidence, setting=_SHORT, predictor="shuffled labels")[0])
    return (
        f"In the mean over the runs, the layer's squared error is {percent(shares['layer'])} of "
        f"that of predicting zero; with shuffled labels it is {number(shuffled)} times as large, "
        f"with all demonstrations zeroed {percent(shares['zeroed demonstrations'])} of zero's, and "
        f"on a task that the layer was not trained on {percent(shares['fresh task'])}."
    )


def _quoted(run: Run) -> str:
    parts = []
    for setting, truth, prediction in (
        (_SHORT, -0.5927, -0.6490),
        (_LONG, 0.2767, 0.2915),
    ):
        (place,) = place_of_quoted_error(
            run.evidence, setting=setting, truth=truth, prediction=prediction
        )
        parts.append(
            f"{percent(float(place.values.mean()))} of our prompts have a smaller error than "
            f"{fixed(prediction)} for {fixed(truth)} (N = {setting['demonstrations']})"
        )
    return f"{'; '.join(parts)}."


NUMBERS: dict[str, Callable[[Run], str]] = {
    "normalization": _normalization,
    "regularizers": _regularizers,
    "negatives": _negatives,
    "update": _update,
    "matrices": _matrices,
    "distribution": _distribution,
    "memory": _memory,
    "quoted": _quoted,
}
"""What the list calls ``number``."""
