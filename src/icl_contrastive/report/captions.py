"""Captions: what a figure shows, what this run found, and what the paper says beside it.

The words of a caption are a template in ``workflow/report``, the numbers in them come from the
figure's own tables: each function below takes what its figure's ``draw`` takes, and returns the
numbers by the name that the template uses. What the scorecard has a number of is quoted from it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from docutils.core import publish_parts
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from icl_contrastive.artifacts.files import load_table
from icl_contrastive.figures.common import Array, Config, Table, read_config, read_table
from icl_contrastive.figures.comparison import read_matrices
from icl_contrastive.figures.controls import unexplained
from icl_contrastive.figures.diagram import read_diagram
from icl_contrastive.figures.trajectory import read_descent, relative_deviations
from icl_contrastive.report.text import (
    fixed,
    hyperparameter,
    many,
    mathematical,
    number,
    percent,
)
from icl_contrastive.variants import build_variant

Numbers = dict[str, str]
Claimed = dict[str, float]


@dataclass(frozen=True)
class Caption:
    """A figure's caption.

    Attributes:
        title: one sentence, plain text.
        body: the rest as HTML; the fields ``This run`` and ``The paper`` are a definition list.
        alt: what the image shows, for those who do not see it.
    """

    title: str
    body: Markup
    alt: str


def write_caption(
    template: str, figure: str, config: Mapping[str, Any], numbers: Mapping[str, str]
) -> Caption:
    """Fill a template in and take it apart.

    Args:
        template: reStructuredText with Jinja in it, as Snakemake's own report takes it. The first
            line is the title, bold; a comment ``.. alt:`` describes the image.
        figure: its name, the title if there is none.
        config: the whole config.
        numbers: see `caption_numbers`.
    """
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)  # noqa: S701  # no HTML
    text = environment.from_string(template).render(
        snakemake={"config": config, "params": {"numbers": numbers}}
    )
    settings = {"halt_level": 2, "file_insertion_enabled": False, "raw_enabled": False}
    html = publish_parts(text, writer="html5", settings_overrides=settings)["body"]
    title = re.search(r"\*\*(.+?)\*\*", text, re.DOTALL)
    alt = re.search(r"^\.\. alt: (.+(?:\n   .+)*)", text, re.MULTILINE)
    body = re.sub(r"<!--.*?-->\s*", "", html, flags=re.DOTALL)
    body = re.sub(r"^<p><strong>.+?</strong>\s*", "<p>", body, count=1, flags=re.DOTALL)
    return Caption(
        title=_one_line(title[1]) if title else figure.replace("_", " "),
        body=mathematical(Markup(body)),  # noqa: S704  # docutils escapes
        alt=_one_line(alt[1]) if alt else "",
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())


def caption_numbers(figure: str, config: str, tables: Mapping[str, Path]) -> Numbers:
    """The numbers of a figure's caption; none for a figure that has no function for them.

    Args:
        figure: its name.
        config: the figure's own part of the config, JSON.
        tables: the paths of its tables by the names of ``FIGURE_TABLES``, and of ``claims`` for
            those of ``FIGURES_WITH_CLAIMS``.
    """
    if figure not in NUMBERS:
        return {}
    read = {
        name: _claimed(Path(path)) if name == "claims" else read_table(name, Path(path))
        for name, path in tables.items()
    }
    return NUMBERS[figure](read_config(config), **read)


def _claimed(path: Path) -> Claimed:
    """The scorecard's numbers by the id of the claim; NaN for others, or where there is none."""
    numbers: Claimed = defaultdict(lambda: np.nan)
    if path.exists():
        rows = load_table(path)
        numbers |= zip(rows["id"], pd.to_numeric(rows["ours"]), strict=True)
    return numbers


# Figures 1 and 2


def _figure_1(config: Config, diagram: Table) -> Numbers:
    matrices = read_diagram(diagram)
    layer, reference = matrices["h_hat"][:, 0], matrices["y_test"][:, 0]
    return {
        "distance": number(_norm(reference - layer) / _norm(layer)),
        "y_layer": fixed(layer[-1]),
        "y_reference": fixed(reference[-1]),
        "self_weight": percent(float(matrices["attention"][-1, 0])),
    }


def _figure_2(config: Config, diagram: Table) -> Numbers:
    matrices = read_diagram(diagram)
    labels = matrices["V"][:, :-1]
    before, after = (_cosines(matrices[f"y_hat_{when}"], labels) for when in ("before", "after"))
    return {
        "before": fixed(before.mean(), 2),
        "after": fixed(after.mean(), 2),
        "rises": str(int((after > before).sum())),
        "pairs": str(len(after)),
    }


def _cosines(predictions: Array, labels: Array) -> Array:
    lengths = np.linalg.norm(predictions, axis=0) * np.linalg.norm(labels, axis=0)
    return np.asarray((predictions * labels).sum(0) / lengths)


def _norm(vector: Array) -> float:
    return float(np.linalg.norm(vector))


# Descents: figures 3 (left), 8, 10 and the cosines


def _descent(
    config: Config, trajectory: Table, truth: float, prediction: float, place: float
) -> Numbers:
    """Of the prompt that is shown, and of all; the paper's own prompt and its place among ours."""
    descent = read_descent(config, trajectory, "single_sample")
    same = {key: config[key] for key in ("setting", "variant")}
    ends = trajectory.where(**same, scheme="single_sample").rows
    ends = ends[ends["step"] == ends["step"].max()]
    gaps = np.abs(ends["y_reference"] - ends["y_layer"])
    errors = np.abs(ends["y_layer"] - ends["y_true"])
    return {
        "y_layer": fixed(descent.y_layer),
        "y_true": fixed(descent.y_true),
        "gap": number(abs(float(descent.y_reference[-1]) - descent.y_layer)),
        "largest_gap": number(gaps.max()),
        "error": number(abs(descent.y_layer - descent.y_true)),
        "median_error": number(errors.median()),
        "quoted_error": number(abs(prediction - truth)),
        "better_than_quoted": percent(place),
        "prompts": many(len(ends), "prompt"),
        "runs": many(ends["run"].nunique(), "run"),
    }


def _figure_3(config: Config, trajectory: Table, approximation: Table, claims: Claimed) -> Numbers:
    place = claims["quoted_prompt_n15"]
    numbers = _descent(config, trajectory, -0.5927, -0.6490, place)
    for matrix in ("attention", "output"):
        rows = approximation.where(setting=config["setting"], matrix=matrix).rows
        means = rows.groupby("d_r")[["mse", "mae"]].mean()
        first, last = int(means.index[0]), int(means.index[-1])
        numbers |= {"first_d_r": f"{first:,}", "last_d_r": f"{last:,}"}
        for error in ("mse", "mae"):
            curve = means[error].to_numpy(np.float64)
            numbers |= {
                f"{matrix}_{error}_first": number(curve[0]),
                f"{matrix}_{error}_last": number(curve[-1]),
                f"{matrix}_{error}_slope": number(claims[f"{matrix}_{error}_falls"]),
            }
    return numbers


def _figure_8(config: Config, trajectory: Table, claims: Claimed) -> Numbers:
    return _descent(config, trajectory, 0.2767, 0.2915, claims["quoted_prompt_n31"])


def _figure_10(config: Config, trajectory: Table) -> Numbers:
    same = {key: config[key] for key in ("setting", "variant")}
    numbers: Numbers = {}
    for scheme, name in (("single_sample", "full"), ("single_sample_shared_decay", "shared")):
        descent = read_descent(config, trajectory, scheme)
        own = abs(float(descent.y_reference[-1]) - descent.y_layer) / abs(descent.y_layer)
        everywhere = relative_deviations(trajectory.where(**same, scheme=scheme))
        numbers |= {name: percent(own), f"{name}_median": percent(float(np.median(everywhere)))}
    return numbers | {
        "prompts": many(len(everywhere), "prompt"),
        "runs": many(trajectory.where(**same).rows["run"].nunique(), "run"),
    }


def _cosine(config: Config, trajectory: Table) -> Numbers:
    rows = trajectory.where(
        setting=config["setting"], variant=config["variant"], scheme="single_sample"
    )
    ends = rows.pivot("step", ["run", "prompt"], "cosine").iloc[[0, -1]].to_numpy(np.float64)
    before, after = ends
    return {
        "before": fixed(np.median(before), 2),
        "after": fixed(np.median(after), 2),
        "rises": percent((after > before).mean()),
        "prompts": many(len(after), "prompt"),
        "runs": many(rows.rows["run"].nunique(), "run"),
    }


# Estimated matrices: figures 4, 6, 7 and 9


def _pair(config: Config, matrices: Table) -> Numbers:
    numbers: Numbers = {"d_r": str(config["d_r"])}
    for name in ("attention", "output"):
        exact, estimates = read_matrices(matrices, config["setting"], name)
        estimate = estimates[config["d_r"]]
        error = np.abs(estimate - exact)
        top = exact.argmax()
        numbers |= {
            f"{name}_mae": number(error.mean()),
            f"{name}_mean": number(np.abs(exact).mean()),
            f"{name}_median": percent(float(np.median(error / np.abs(exact)))),
            f"{name}_top": number(exact.flat[top]),
            f"{name}_top_estimate": number(estimate.flat[top]),
        }
    return numbers


def _errors(config: Config, matrices: Table, name: str) -> Numbers:
    exact, estimates = read_matrices(matrices, config["setting"], name)
    errors = {d_r: float(np.mean((one - exact) ** 2)) for d_r, one in estimates.items()}
    curve = list(errors.values())
    falls = all(after < before for before, after in pairwise(curve))
    trend = "falls at every step" if falls else "does not fall at every step"
    return {
        "rows": str(exact.shape[0]),
        "columns": str(exact.shape[1]),
        "errors": ", ".join(f"{number(error)} (d_r = {d_r:,})" for d_r, error in errors.items()),
        "trend": trend if len(curve) > 1 else "is that of one d_r alone",
    }


def _figure_6(config: Config, matrices: Table) -> Numbers:
    return _errors(config, matrices, "attention")


def _figure_7(config: Config, matrices: Table) -> Numbers:
    return _errors(config, matrices, "output")


# Learning curves


def _final(pretraining: Table, setting: str, variant: str, error: str = "train_mse") -> Array:
    """Error of every run in the last epoch, (runs,)."""
    rows = pretraining.where(setting=setting, variant=variant).rows.sort_values("run")
    last = rows.loc[rows["epoch"] == rows["epoch"].max(), error]
    return np.asarray(last, np.float64)


def _figure_5(config: Config, pretraining: Table) -> Numbers:
    setting = config["setting"]

    def against(cell: Config, panel: str) -> str:
        """What it is, median error, and in how many runs it is above that of the base."""
        ends, bases = (_final(pretraining, setting, one) for one in (cell["variant"], plain[panel]))
        above = f"{(ends > bases).sum()} of {len(ends)} above"
        label = build_variant(cell["model"]).label
        return f"{label}: {number(float(np.median(ends)))} ({above})"

    left = config["regularized"]
    panels = ("regularized", "augmented", "negative")
    plain = {panel: config[panel]["base"][0]["variant"] for panel in panels}
    numbers = {
        key: number(float(np.median(_final(pretraining, setting, plain[panel]))))
        for key, panel in zip(("base", "base_center", "base_right"), panels, strict=True)
    }
    unlike = [
        one["variant"]
        for panel in panels
        for cells in config[panel].values()
        for one in cells
        if any(one[key] != config[panel]["base"][0][key] for key in ("learning_rate", "features"))
    ]
    numbers["unlike"] = f", but for those of {', '.join(unlike)}" if unlike else ""
    for form in ("eq15", "eq14"):
        base = float(np.median(_final(pretraining, setting, plain["regularized"])))
        ends = {
            one["model"]["alpha"]: float(np.median(_final(pretraining, setting, one["variant"])))
            for one in left[form]
        }
        best = min(ends, key=lambda alpha: ends[alpha])
        numbers[f"{form}_best"] = number(ends[best])
        numbers[f"{form}_best_alpha"] = hyperparameter(best)
        for sign, name in ((1, "positive"), (-1, "negative")):
            side = [alpha for alpha in ends if alpha * sign > 0]
            below = [hyperparameter(alpha) for alpha in side if ends[alpha] <= base]
            but = (
                f" (not α = {', '.join(below)})" if sign > 0 and 0 < len(below) < len(side) else ""
            )
            numbers[f"{form}_{name}"] = f"{len(side) - len(below)} of {len(side)}{but}"
    numbers["augmented"] = "; ".join(
        against(one, "augmented") for one in config["augmented"]["variants"]
    )
    negative = config["negative"]["variants"]
    least = min(one["model"]["beta"] for one in negative)
    numbers["negative"] = "; ".join(
        against(one, "negative") for one in negative if one["model"]["beta"] == least
    )
    return numbers


def _multitask(config: Config, pretraining: Table) -> Numbers:
    zero = config["task"]["d_x"] * config["task"]["d_y"] / 3
    numbers = {"zero": number(zero, 3)}
    for name, setting in (("many", config["setting"]), ("one", config["base"])):
        ends = _final(pretraining, setting, config["variant"], "test_mse")
        numbers[name] = number(float(np.median(ends)))
        numbers[f"{name}_share"] = percent(float(np.median(ends)) / zero)
    return numbers


# Controls


def _controls(config: Config, controls: Table) -> Numbers:
    setting = str(controls.rows["setting"].iloc[0])
    rows = controls.where(setting=setting)
    numbers = {"setting": setting}
    for predictor in rows.rows["predictor"].unique():
        share = float(np.median(unexplained(rows, predictor)))
        numbers[re.sub(r"\W+", "_", str(predictor))] = number(share)
    return numbers


def _training_length(config: Config, training_length: Table) -> Numbers:
    """In the table's first setting, at the other figures' last epoch (or before) and at the end."""
    setting = str(training_length.rows["setting"].iloc[0])
    rows = training_length.where(setting=setting).rows
    medians = rows.drop(columns="setting").groupby("epoch").median()
    epochs = config["epochs"][setting]
    usual = max(medians.index[medians.index <= epochs], default=medians.index.min())
    numbers = {"setting": setting}
    for name, epoch in (("usual", usual), ("last", medians.index.max())):
        at = medians.loc[epoch]
        numbers |= {
            f"{name}_epoch": str(epoch),
            f"{name}_error": number(at["absolute_error"]),
            f"{name}_error_exact": number(at["absolute_error_exact"]),
            f"{name}_weight": percent(at["query_weight"]),
            f"{name}_deviation": number(at["relative_deviation"]),
            f"{name}_distance": percent(at["weight_error"]),
        }
    return numbers


# Families of random features


def _families(
    config: Config, families: Table, family_closed_forms: Table, family_requirements: Table
) -> Numbers:
    trained = config["features"]
    law = trained.get("projection", "")
    numbers = {
        "trained": f"{trained['family']}{', ' * bool(law)}{law}",
        "d_r": str(trained["d_r"]),
    }
    for matrix in ("attention", "output"):
        rows = family_requirements.where(setting=config["setting"], matrix=matrix, error="mse").rows
        drawn = rows[rows["projection"] != "none"]
        reached = drawn.dropna(subset="d_r").sort_values("d_r", kind="stable")
        least = [
            f"{_size(one)} ({one['family']}, {one['projection']})"
            for one in reached.head(1).to_dict("records")
        ]
        own = drawn[drawn["family"] == trained["family"]].to_dict("records")
        numbers |= {
            f"{matrix}_least": least[0] if least else "more than were tried",
            f"{matrix}_own": ", ".join(f"{_size(one)} ({one['projection']})" for one in own),
            f"{matrix}_missed": f"{drawn['d_r'].isna().sum()} of {len(drawn)}",
        }
    return numbers


def _size(needed: Mapping[Hashable, Any]) -> str:
    """The d_r that a row of the requirements gives, which may be a bound."""
    if np.isnan(needed["d_r"]):
        return "more than were tried"
    return f"{'≤ ' if needed['reached'] == 'at once' else ''}{needed['d_r']:,.0f}"


# Ablations


def _ablations(config: Config, ablations: Table) -> Numbers:
    rows = ablations.rows.assign(name=ablations.rows["decision"] + " " + ablations.rows["value"])
    errors = rows.groupby("name")["test_mse"].median()
    (base,) = rows.loc[rows["decision"] == "base", "name"].unique()
    changes = (errors.drop(base) / errors[base]).sort_values(kind="stable")
    named = [f"{number(ratio)} ({str(name).replace('_', ' ')})" for name, ratio in changes.items()]
    return {
        "base": number(errors[base]),
        "lowest": ", ".join(named[:2]),
        "highest": ", ".join(named[-3:]),
    }


NUMBERS: dict[str, Callable[..., Numbers]] = {
    "figure_1": _figure_1,
    "figure_2": _figure_2,
    "figure_3": _figure_3,
    "figure_4": _pair,
    "figure_5": _figure_5,
    "figure_6": _figure_6,
    "figure_7": _figure_7,
    "figure_8": _figure_8,
    "figure_9": _pair,
    "figure_10": _figure_10,
    "multitask": _multitask,
    "cosine": _cosine,
    "controls": _controls,
    "training_length": _training_length,
    "families": _families,
    "ablations": _ablations,
}
"""The numbers of each figure's caption, from its part of the config and its tables."""
