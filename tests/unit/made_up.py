"""Made-up tables that claims are judged by, with known numbers in them, or with given ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from icl_contrastive.claims.measures.predictions import DEMONSTRATIONS, LAYER, ZERO_SHOT

Array = npt.NDArray[np.float64]
Columns = dict[str, npt.NDArray[Any]]
Tables = dict[str, pd.DataFrame]

RUNS = 10
D_R, GRID = 96, (12, 96, 384)
LAWS = ("independent", "orthogonal", "simplex")
PROMPTS = 4


def around(center: float, spread: float = 0.02) -> Array:
    """Ten values about a center, as different runs give."""
    return np.asarray(center * np.exp(spread * np.linspace(-1, 1, RUNS)))


def wide(center: float, scale: str = "ratio", reach: float = 0.3) -> Array:
    """Ten values on both sides of a center, which show nothing."""
    offsets = reach * np.resize([-1.0, 1.0], RUNS)
    return np.asarray(center * np.exp(offsets) if scale == "ratio" else center + offsets)


def as_text(columns: Mapping[str, Any] | pd.DataFrame) -> pd.DataFrame:
    """A table as ``load_table`` gives it."""
    return pd.DataFrame(columns).astype(str)


def index(runs: int, **sizes: int) -> Columns:
    """Columns ``run`` and those named, every combination of them."""
    columns = np.indices((runs, *sizes.values())).reshape(1 + len(sizes), -1)
    return dict(zip(("run", *sizes), columns, strict=True))


def variant(name: str, rate: float, *settings: str, **model: object) -> dict[str, Any]:
    return {"variant": name, "model": model, "learning_rate": rate, "settings": settings}


CONFIG: dict[str, Any] = {
    "d_r": D_R,
    "settings": {
        "multi": {"demonstrations": 15, "prompts": 8, "tasks": "per_prompt"},
        "small": {"demonstrations": 15, "prompts": 8, "tasks": "shared"},
        "large": {"demonstrations": 31, "prompts": 8, "tasks": "shared"},
    },
    "variants": [
        variant("plain", 0.003, "small", "large", "multi", model="softmax", attention="kernel"),
        variant("plain_faster", 0.005, "small", model="softmax", attention="kernel"),
        variant("exact", 0.003, "small", model="softmax", attention="exact"),
        *(
            variant(f"{form}{alpha:g}", 0.003, "small", model="regularized", form=form, alpha=alpha)
            for form in ("eq14", "eq15")
            for alpha in (-0.5, -0.1, 0.01, 0.1)
        ),
        *(
            variant(f"g{g1}{g2}", 0.005, "small", model="augmented", g1=g1, g2=g2)
            for g1, g2 in ((1, 0), (0, 1), (1, 1), (0, 2))
        ),
        *(
            variant(form, 0.005, "small", model="negative", form=form, k=3, beta=0.1)
            for form in ("section_5.5", "eq18")
        ),
        variant("simplex", 0.003, "small", model="softmax", attention="kernel")
        | {"features": {"projection": "simplex"}},
    ],
}
"""What a run's config says of its cells, small enough to be looked through."""

EPOCHS = 40


def curves(falls: Mapping[str, Array], size: float = 1.0) -> pd.DataFrame:
    """Training errors e^(−0.2 · epoch / fall), by variant and run, times a size for each run."""
    parts = []
    for name, fall in falls.items():
        columns = index(len(fall), epoch=EPOCHS)
        run, epoch = columns["run"], columns["epoch"] + 1
        error = size ** (1 + run) * np.exp(-0.2 * epoch / fall[run])
        about = {"setting": "small", "variant": name, "run": run, "epoch": epoch}
        parts.append(as_text(about | {"train_mse": error, "test_mse": error}))
    return pd.concat(parts)


def ends(levels: Mapping[str, Array]) -> pd.DataFrame:
    """Training errors that do not fall, by variant and run."""
    parts = []
    for name, level in levels.items():
        columns = index(len(level), epoch=EPOCHS)
        error = level[columns["run"]]
        about = {"setting": "small", "variant": name, "run": columns["run"]}
        errors = {"epoch": columns["epoch"] + 1, "train_mse": error, "test_mse": error}
        parts.append(as_text(about | errors))
    return pd.concat(parts)


STEPS = {"eq14": {-0.1: 1, -0.5: 2, 0.01: 1, 0.1: 2}}
STEPS["eq15"] = STEPS["eq14"]


def of_cells(values: Array, over: str | None) -> dict[str, Array]:
    """A value for every variant; along a grid its powers, so that the value is at its end."""
    cells = dict.fromkeys(("g10", "g01", "g11", "g02", "section_5.5", "eq18"), values)
    for form, steps in STEPS.items():
        for alpha, step in steps.items():
            cells[f"{form}{alpha:g}"] = values ** (step / 2) if over == "trend" else values
    return cells | {name: np.ones(len(values)) for name in ("plain", "plain_faster")}


def of_final_error(values: Array, measure: Mapping[str, Any]) -> Tables:
    return {"pretraining": ends(of_cells(values, measure.get("over"))), **labels(values)}


def of_speed(values: Array, measure: Mapping[str, Any]) -> Tables:
    return {"pretraining": curves(of_cells(values, measure.get("over"))), **labels(values)}


def labels(values: Array) -> Tables:
    """Labels of variance 1, for as many runs."""
    return {"controls": predictions("small", LAYER, np.ones(len(values)))}


def of_equivalence(values: Array, measure: Mapping[str, Any]) -> Tables:
    """Deviations of these values."""
    schemes = ("full_batch", "full_batch_from_eq12", "single_sample", "restated")
    parts = []
    for setting, scheme in [(s, t) for s in ("small", "large") for t in schemes]:
        for one in CONFIG["variants"]:
            columns = index(len(values), prompt=PROMPTS)
            value = values[columns["run"]]
            about = {
                "setting": setting,
                "variant": one["variant"],
                "scheme": scheme,
                "exact": False,
            }
            parts.append(as_text({**about, **columns, "relative_error": value}))
    return {"equivalence": pd.concat(parts)}


def of_negative_weights(values: Array, measure: Mapping[str, Any]) -> Tables:
    """A hundred prompts, that share of which has negative weights."""
    columns = index(len(values), prompt=100)
    negative = (columns["prompt"] + 0.5) / 100 < values[columns["run"]]
    about = {"setting": "small", "variant": "section_5.5", "scheme": "full_batch"}
    lowest = np.where(negative, -0.1, 0.1)
    return {"equivalence": as_text({**about, **columns, "lowest_weight": lowest})}


def of_cosines(values: Array, measure: Mapping[str, Any]) -> Tables:
    columns = index(len(values), step=3)
    cosine = 0.1 + columns["step"] / 2 * values[columns["run"]]
    about = {"setting": "small", "variant": "plain", "scheme": "single_sample", "prompt": 0}
    table = as_text({**about, **columns, "cosine": cosine, "cosine_others": 0.1})
    return {"trajectories/small/plain": table}


def of_attention_errors(**made: Callable[[Array, pd.DataFrame], Any]) -> Callable[..., Tables]:
    """Tables of estimates with columns that follow from the values of the runs."""

    def make(values: Array, measure: Mapping[str, Any]) -> Tables:
        rows = pd.DataFrame(index(len(values), prompt=2, draw=2, d_r=2))
        rows["d_r"] = rows["d_r"].map({0: 12, 1: D_R})
        laws = [rows.assign(projection=law, trained=law == "independent") for law in LAWS]
        table = pd.concat(laws, ignore_index=True).assign(setting="small", matrix="attention")
        for name in ("mse", "mae", "size", "relative", "relative_largest", "relative_rest"):
            table[name] = 1.0
        for name, column in made.items():
            table[name] = column(values[table["run"]], table)
        both = pd.concat([table, table.assign(setting="large")])
        return {"attention_errors": as_text(pd.concat([both, both.assign(matrix="output")]))}

    return make


def of_bias(values: Array, measure: Mapping[str, Any]) -> Tables:
    columns = index(len(values), prompt=2)
    share = values[columns["run"]]
    about = {"setting": "small", "matrix": "attention", "trained": True, "d_r": D_R}
    return {"attention_bias": as_text({**about, **columns, "bias2": share, "variance": 1 - share})}


def predictions(setting: str, predictor: str, values: Array) -> pd.DataFrame:
    """Labels of ±1, and squared errors of these values for every prompt of their run."""
    columns = index(len(values), prompt=PROMPTS)
    label = np.resize([1.0, -1.0], len(columns["run"]))
    about = {"setting": setting, "predictor": predictor, "y_true": label}
    of_run = {"prediction": label, "squared_error": values[columns["run"]]}
    return as_text({**about, **columns, **of_run})


def of_controls(values: Array, measure: Mapping[str, Any]) -> Tables:
    """Every predictor's error is the value, but for the layer's where it is what others have."""
    ones = np.ones(len(values))
    layer = values if measure["name"] == "unexplained" else ones
    parts = [
        predictions("small", LAYER, layer),
        predictions("multi", LAYER, layer),
        predictions("large", LAYER, values),
        predictions("small", "fresh task", values),
        predictions("small", "exact softmax", values),
    ]
    return {"controls": pd.concat(parts)}


def of_shares(values: Array, measure: Mapping[str, Any]) -> Tables:
    """A layer that shuffled labels ruin, whose demonstrations have this share."""
    ones = np.ones(len(values))
    parts = [predictions("small", LAYER, ones), predictions("small", "shuffled labels", 9 * ones)]
    shares = {"setting": "small", "run": np.arange(len(values)), "zero_shot_share": 1 - values}
    return {"controls": pd.concat(parts), "solutions": as_text(shares)}


def of_zero_shot(values: Array, measure: Mapping[str, Any]) -> Tables:
    """Predictions v y + √(1 − v²) z, where z is orthogonal to the labels: correlation v."""
    rows = predictions("small", ZERO_SHOT, np.ones(len(values)))
    run, prompt = rows["run"].astype(int), rows["prompt"].astype(int)
    other = np.where(prompt < PROMPTS / 2, 1.0, -1.0)
    value = values[run]
    label = rows["y_true"].astype(float)
    mixed = value * label + np.sqrt(1 - value**2) * other
    zero_shot = rows.assign(prediction=mixed.astype(str))
    return {"controls": pd.concat([zero_shot, rows.assign(predictor=DEMONSTRATIONS)])}


def of_quoted(values: Array, measure: Mapping[str, Any]) -> Tables:
    """A hundred prompts, that share of which has a smaller error than the quoted prompt."""
    columns = index(len(values), prompt=100)
    error = np.where((columns["prompt"] + 0.5) / 100 < values[columns["run"]], 0.0, 1.0)
    about = {"predictor": LAYER, "y_true": 1.0, "prediction": 1.0, "squared_error": error}
    parts = [as_text({"setting": one, **columns, **about}) for one in ("small", "large")]
    return {"controls": pd.concat(parts)}


MADE_UP: dict[str, Callable[[Array, Mapping[str, Any]], Tables]] = {
    "identity_error": of_equivalence,
    "deviation": of_equivalence,
    "negative_weights": of_negative_weights,
    "cosine_gain": of_cosines,
    "pair_gap": of_cosines,
    "final_error": of_final_error,
    "area": of_final_error,
    "epochs": of_speed,
    "speed": of_speed,
    "error_rate": of_attention_errors(
        mse=lambda values, rows: rows["d_r"] ** values,
        mae=lambda values, rows: rows["d_r"] ** values,
    ),
    "error_over_uniform": of_attention_errors(
        mse=lambda values, rows: np.where(rows["d_r"] == D_R, values, 1.0),
        mse_uniform=lambda values, rows: 1.0,
    ),
    "entries_near": of_attention_errors(nearer_than_uniform=lambda values, rows: values),
    "larger_entries": of_attention_errors(
        absolute_largest=lambda values, rows: values, absolute_rest=lambda values, rows: 1.0
    ),
    "bias_share": of_bias,
    "projection_error": of_attention_errors(
        mse=lambda values, rows: np.where(rows["trained"], 1.0, values)
    ),
    "unexplained": of_controls,
    "unexplained_ratio": of_controls,
    "error_ratio": of_controls,
    "use_of_demonstrations": of_shares,
    "zero_shot": of_zero_shot,
    "place_of_quoted_error": of_quoted,
}
"""By measure: tables by which its number is, run by run, what it is asked to be."""
