"""Measures on made-up tables with known numbers, and what they say where a run lacks something."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from icl_contrastive.claims import Evidence
from icl_contrastive.claims.criteria import Settings, estimate
from icl_contrastive.claims.evidence import KERNEL_LAYER, Array, NotTestableError
from icl_contrastive.claims.measures import MEASURES
from icl_contrastive.claims.measures.curves import epochs_to_error
from icl_contrastive.claims.measures.predictions import DEMONSTRATIONS, LAYER, ZERO_SHOT

from .made_up import CONFIG, D_R, GRID, LAWS, PROMPTS, RUNS, as_text, index

SETTINGS = Settings(level=0.05, confidence=0.95, negligible={"ratio": 1.1, "number": 0.1})
EPOCHS = 10
FINAL = {  # training error of the last epoch, for run 0
    "plain": 1.0,
    "plain_faster": 2.0,
    "eq15-0.1": 0.5,
    "eq15-0.5": 0.5,
    "eq150.01": 1.5,
    "eq150.1": 3.0,
    "eq140.01": 1.5,
    "eq140.1": 6.0,
    "g10": 6.0,
}
OF_RUN = 1 + 0.01 * np.arange(RUNS)
SMALL = {"demonstrations": 15}
MULTI = {"demonstrations": 15, "tasks": "per_prompt"}
REGULARIZED = {"model": "regularized", "form": "eq15"}
SHIFTED = {"model": "negative", "form": "section_5.5"}


def pretraining() -> pd.DataFrame:
    """Curves e^(c − 0.1 · epoch) that end where ``FINAL`` says, times ``OF_RUN``."""
    parts = []
    for variant, final in FINAL.items():
        columns = index(RUNS, epoch=EPOCHS)
        epoch = columns["epoch"] + 1
        error = OF_RUN[columns["run"]] * final * np.exp(0.1 * (EPOCHS - epoch))
        about = {"setting": "small", "variant": variant, "run": columns["run"], "epoch": epoch}
        parts.append(as_text(about | {"train_mse": error, "test_mse": error}))
    return pd.concat(parts)


def equivalence() -> pd.DataFrame:
    columns = index(RUNS, prompt=PROMPTS)
    run, prompt = columns["run"], columns["prompt"]
    parts = []
    for variant, scheme, error in (
        ("plain", "full_batch", 1e-15 * (1 + run)),
        ("eq150.01", "full_batch", 1e-14 * (1 + prompt)),
        ("eq150.1", "full_batch", 1e-13 * (1 + prompt)),
        ("eq150.01", "single_sample", 0.01 * (1 + prompt)),
        ("eq150.1", "single_sample", 0.04 * (1 + prompt)),
        ("eq15-0.1", "single_sample", 0.0 * prompt),
        ("section_5.5", "full_batch", 1e-15 * (1 + run)),
    ):
        about = {"setting": "small", "variant": variant, "scheme": scheme, "exact": True}
        lowest = np.where(prompt == 0, -0.1, 0.1)
        measured = {"relative_error": error, "lowest_weight": lowest}
        parts.append(as_text({**about, **columns, **measured}))
    return pd.concat(parts)


def attention_errors() -> pd.DataFrame:
    """Squared errors that fall as d_r^(−1), absolute ones as d_r^(−1/2).

    They grow by a factor e^0.01 with every run, by e^0.1 with every prompt, and by 1 + draw. At the
    layers' d_r, orthogonal features err half as much, and simplex ones twice as much in one run.
    """
    columns = index(RUNS, prompt=2, draw=3, d_r=3)
    run, prompt, draw = (columns[name] for name in ("run", "prompt", "draw"))
    d_r = np.array(GRID)[columns["d_r"]]
    factor = np.exp(0.01 * run + 0.1 * prompt) * (1 + draw)
    parts = []
    for law, size in zip(LAWS, (1.0, 0.5, 1 + (run == 0)), strict=True):
        measured = {
            "mse": size * factor / d_r,
            "mae": 3 * factor / np.sqrt(d_r),
            "size": 0.5,
            "relative": factor / d_r,
            "relative_largest": 4 * factor / d_r,
            "relative_rest": 2 * (1 + draw) / d_r,
            "absolute_largest": 6 * factor / d_r,
            "absolute_rest": 2 * (1 + draw) / d_r,
            "mse_uniform": 0.01 * (1 + draw),
            "nearer_than_uniform": 0.2 * (1 + draw) + 0.1 * prompt,
        }
        about = {"setting": "small", "matrix": "attention", "projection": law}
        rows = pd.DataFrame({**about, **columns, "d_r": d_r, **measured})
        rows["trained"] = law == "independent"
        parts.append(as_text(rows[rows["trained"] | (rows["d_r"] == D_R)]))
    return pd.concat(parts)


def attention_bias() -> pd.DataFrame:
    """A share of 3/5 at the layers' d_r, else of 1/4: of the means of prompts."""
    columns = index(RUNS, prompt=2, d_r=3)
    d_r = np.array(GRID)[columns["d_r"]]
    bias = np.where(d_r == D_R, np.where(columns["prompt"] == 0, 1.0, 5.0), 1.0)
    variance = np.where(d_r == D_R, np.where(columns["prompt"] == 0, 3.0, 1.0), 3.0)
    about = {"setting": "small", "matrix": "attention", "projection": "independent"}
    measured = {"trained": True, "bias2": bias, "variance": variance}
    return as_text({**about, **columns, "d_r": d_r, **measured})


def controls() -> pd.DataFrame:
    """Labels 1, −1, 3, −3; what else is predicted of them is in multiples of the label."""
    columns = index(RUNS, prompt=PROMPTS)
    label = np.array([1.0, -1, 3, -3])[columns["prompt"]]
    other = np.array([1.0, 1, -1, -1])[columns["prompt"]]  # uncorrelated with the label
    parts = []
    for setting, name, level, prediction in (
        ("small", LAYER, 0.1, 2 * label),
        ("small", "shuffled labels", 0.3, label),
        ("small", ZERO_SHOT, 1.0, 0.8 * label + 0.6 * np.sqrt(5) * other),
        ("small", DEMONSTRATIONS, 1.0, 0.5 * label + 7 * other),
        ("multi", LAYER, 0.9, label),
    ):
        error = level * (1 + columns["prompt"])
        about = {"setting": setting, "predictor": name, "y_true": label}
        parts.append(
            as_text({**about, **columns, "prediction": prediction, "squared_error": error})
        )
    return pd.concat(parts)


def trajectory() -> pd.DataFrame:
    columns = index(RUNS, prompt=2, step=3)
    cosine = 0.2 + 0.1 * columns["step"] + 0.1 * columns["prompt"]
    about = {"setting": "small", "variant": "plain", "scheme": "single_sample"}
    others = 0.3 * columns["prompt"]
    return as_text({**about, **columns, "cosine": cosine, "cosine_others": others})


TABLES: dict[str, Callable[[], pd.DataFrame]] = {
    "pretraining": pretraining,
    "equivalence": equivalence,
    "attention_errors": attention_errors,
    "attention_bias": attention_bias,
    "controls": controls,
    "solutions": lambda: as_text({"setting": "small", **index(RUNS), "zero_shot_share": 0.75}),
    "trajectories/small/plain": trajectory,
}


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return Evidence(CONFIG, {name: make() for name, make in TABLES.items()})


def test_a_descent_is_that_of_the_plain_layer_that_was_followed() -> None:
    plain = next(one for one in CONFIG["variants"] if one["variant"] == "plain")
    variants = [plain | {"variant": "another"}, *CONFIG["variants"]]
    reordered = Evidence(
        CONFIG | {"variants": variants}, {"trajectories/small/plain": trajectory()}
    )
    (effect,) = MEASURES["cosine_gain"].effects(reordered, setting=SMALL)
    np.testing.assert_allclose(effect.values, 0.2)


def geometric(values: Array) -> float:
    return float(np.exp(np.log(values).mean()))


TO = 0.36  # of the labels' mean square, which is 5
PLAIN = 10 - 10 * np.log(1.8 / OF_RUN)  # its epochs to that error
HIGHER = 10 - 10 * np.log(1.8 / (1.5 * OF_RUN))
AT_ONCE = geometric(1 / PLAIN)
TYPICAL, DRAWS = np.exp(0.01 * (RUNS - 1) / 2 + 0.1 / 2), 6 ** (1 / 3)
POSITIVE, NEGATIVE = REGULARIZED | {"alpha": "> 0"}, REGULARIZED | {"alpha": "< 0"}
MIDDLE = {"matrix": "attention", "setting": SMALL}
KNOWN: dict[str, list[tuple[dict[str, Any], list[float]]]] = {
    "identity_error": [
        ({"of": {"model": "softmax"}, "scheme": "full_batch"}, [1e-14]),
        ({"of": REGULARIZED, "scheme": "full_batch"}, [4e-13]),
        ({"of": REGULARIZED | {"alpha": 0.01}, "scheme": "full_batch", "setting": SMALL}, [4e-14]),
    ],
    "deviation": [
        (
            {"of": REGULARIZED | {"alpha": 0.01}, "scheme": "single_sample", "setting": SMALL},
            [0.025],
        ),
        ({"of": POSITIVE, "scheme": "single_sample", "setting": SMALL}, [0.05, 0.025, 0.1]),
        (
            {"of": REGULARIZED | {"alpha": -0.1}, "scheme": "single_sample", "setting": SMALL},
            [2**-53],
        ),
    ],
    "negative_weights": [({"of": SHIFTED, "setting": SMALL}, [0.25])],
    "cosine_gain": [({"setting": SMALL}, [0.2])],
    "pair_gap": [({"setting": SMALL}, [0.3, 0.45, 0.15])],
    "final_error": [
        ({"of": POSITIVE, "setting": SMALL, "last": 0.1}, [1.5, 3.0]),
        # The line through 0 has (1 · log 1.5 + 2 · log 3) / (1² + 2²) for each of two steps.
        (
            {"of": POSITIVE, "setting": SMALL, "last": 0.1, "over": "trend"},
            [(1.5 * 3**2) ** (2 / 5), 1.5, 3.0],
        ),
        (
            {"of": POSITIVE, "setting": SMALL, "last": 0.1, "over": "mean"},
            [np.sqrt(1.5 * 3), 1.5, 3.0],
        ),
        ({"of": {"model": "augmented", "g1": 1, "g2": 0}, "setting": SMALL, "last": 0.3}, [3.0]),
        (
            {
                "of": POSITIVE,
                "base": {"model": "regularized", "form": "eq14"},
                "setting": SMALL,
                "last": 0.1,
            },
            [1.0, 0.5],
        ),
    ],
    "area": [({"of": REGULARIZED | {"alpha": 0.01}, "setting": SMALL, "until": 0.2}, [1.5])],
    # The curves fall by e^0.1 in an epoch: half the error is reached 10 ln 2 epochs sooner.
    "epochs": [
        (
            {"of": REGULARIZED | {"alpha": 0.01}, "setting": SMALL, "to": TO},
            [geometric(HIGHER / PLAIN)],
        ),
        ({"of": NEGATIVE, "setting": SMALL, "to": TO}, [AT_ONCE, AT_ONCE]),
        (
            {"of": REGULARIZED | {"alpha": 0.1}, "setting": SMALL, "to": TO},
            [geometric((EPOCHS + 1) / PLAIN)],
        ),
    ],
    "speed": [
        (
            {"of": REGULARIZED | {"alpha": 0.01}, "setting": SMALL, "to": TO},
            [geometric(HIGHER / PLAIN), 1.5],
        ),
        (
            {"of": NEGATIVE, "setting": SMALL, "to": TO, "over": "mean"},
            [AT_ONCE, 0.5, AT_ONCE, AT_ONCE, 0.5, 0.5],
        ),
    ],
    "error_rate": [
        (MIDDLE | {"error": "mse"}, [-1.0]),
        (MIDDLE | {"error": "mae"}, [-0.5]),
    ],
    "error_over_uniform": [
        (MIDDLE, [TYPICAL * 100 / 384, 3 / np.sqrt(384) / 0.5 * TYPICAL * DRAWS])
    ],
    "entries_near": [(MIDDLE, [0.2 * 2 + 0.1 / 2, TYPICAL * DRAWS / D_R])],
    "larger_entries": [(MIDDLE, [3 * TYPICAL, 2 * TYPICAL, 4 * TYPICAL * DRAWS / D_R])],
    "bias_share": [(MIDDLE, [0.6, 0.25, 0.25])],
    "projection_error": [
        (
            MIDDLE | {"projections": ["orthogonal", "simplex"], "base": "independent"},
            [0.5, 2 ** (1 / RUNS)],
        )
    ],
    "unexplained": [({"setting": SMALL}, [0.1 * 2.5 / 5])],
    "unexplained_ratio": [({"setting": MULTI, "base": SMALL}, [9.0])],
    "error_ratio": [({"setting": SMALL, "predictor": "shuffled labels"}, [3.0])],
    "use_of_demonstrations": [({"setting": SMALL}, [0.25, 3.0])],
    "zero_shot": [
        ({"setting": SMALL}, [0.8 / np.hypot(0.8, 0.6), 0.5 / np.hypot(0.5, 7 / 5**0.5)])
    ],
    "place_of_quoted_error": [({"setting": SMALL, "truth": 1.0, "prediction": 1.5}, [0.5])],
}


def test_every_measure_is_tested() -> None:
    assert set(KNOWN) == set(MEASURES)


@pytest.mark.parametrize(
    ("name", "arguments", "expected"), [(m, *case) for m, cases in KNOWN.items() for case in cases]
)
def test_measures_give_known_numbers(
    name: str, arguments: dict[str, Any], expected: list[float], evidence: Evidence
) -> None:
    effects = MEASURES[name].effects(evidence, **arguments)
    found = [estimate(effect, SETTINGS).value for effect in effects]
    assert found == pytest.approx(expected, rel=1e-9)
    main = next(effect for effect in effects if effect.role == "tested")
    assert main is effects[0]
    assert main.scale in (MEASURES[name].scale, "largest")
    assert main.values.shape == (RUNS,)


def test_every_run_has_a_number_of_its_own(evidence: Evidence) -> None:
    """In the order of the runs, of which there are ten: 10 comes after 9."""
    (effect,) = MEASURES["identity_error"].effects(
        evidence, of={"model": "softmax"}, scheme="full_batch"
    )
    np.testing.assert_allclose(effect.values, 1e-15 * np.arange(1, RUNS + 1))


def test_the_base_has_the_features_of_all(evidence: Evidence) -> None:
    names = [model.name for model in evidence.models(KERNEL_LAYER, "small")]
    assert names == ["plain", "plain_faster"]
    assert "simplex" in [m.name for m in evidence.models({"model": "softmax"}, "small")]


def test_epochs_to_an_error() -> None:
    curve = np.array([8.0, 4.0, 2.0, 3.0, 1.0])
    assert epochs_to_error(curve, 4.0) == pytest.approx(2)
    assert epochs_to_error(curve, np.sqrt(8)) == pytest.approx(2.5)
    assert epochs_to_error(curve, 9.0) == 1
    assert epochs_to_error(curve, 0.5) == 6


LARGE = {"demonstrations": 31}


@pytest.mark.parametrize(
    ("name", "arguments", "reason"),
    [
        ("unexplained", {"setting": LARGE}, "no row with setting = large"),
        (
            "unexplained",
            {"setting": {"demonstrations": 7}},
            "no setting has demonstrations 7, tasks shared",
        ),
        ("final_error", {"of": {"model": "other"}, "setting": SMALL, "last": 0.1}, "no variant"),
        ("identity_error", {"of": {"model": "other"}, "scheme": "full_batch"}, "no compared"),
        (
            "final_error",
            {"of": REGULARIZED, "base": SHIFTED, "setting": SMALL, "last": 1},
            "eq15-0.5 has no counterpart",
        ),
        ("cosine_gain", {"setting": LARGE}, "no table trajectories/large/plain"),
        ("bias_share", {"setting": LARGE, "matrix": "attention"}, "no row"),
    ],
)
def test_what_a_run_lacks_is_named(
    name: str, arguments: dict[str, Any], reason: str, evidence: Evidence
) -> None:
    with pytest.raises(NotTestableError, match=reason):
        MEASURES[name].effects(evidence, **arguments)


@pytest.mark.parametrize("name", MEASURES)
def test_a_missing_table_is_named(name: str) -> None:
    with pytest.raises(NotTestableError, match="no table"):
        MEASURES[name].effects(Evidence(CONFIG, {}), **KNOWN[name][0][0])
