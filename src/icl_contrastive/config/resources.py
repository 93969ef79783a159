"""What the jobs need of a machine: memory and time, from the sizes in the config.

The products in the table are those that were seen to matter when one size at a time was changed;
their factors were measured on one core of a 2-core Intel Xeon. ``Need`` adds the room that another
machine, a compilation and Snakemake beside the step take.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from icl_contrastive.config import jobs
from icl_contrastive.config.ablations import list_ablations
from icl_contrastive.config.experiment import Experiment
from icl_contrastive.config.schema import as_list, leaves
from icl_contrastive.limits import DESCENDING_PROMPTS

Job = Mapping[str, Any]
"""The slice of the config that a step gets."""

PYTHON_MB = 300  # an interpreter with torch or numba, and the libraries of a step
SNAKEMAKE_MB = 400  # on a cluster each job is started by Snakemake, in the same allocation
MEMORY_MARGIN = 1.5
STARTUP_S = 60  # imports from a slow file system, and the first compilation on a node
TIME_MARGIN = 4.0

# Sums of products of a factor and sizes; descents count on what `limits` says.
_PROMPTS = "20 runs all_prompts tokens d"
_LOOK = "500 tokens features"
_DESCENTS = "500 width features + 500 descending tokens width + 5000 runs epochs tokens"
_DRAWS = (
    "40 prompts width drawn + 2000 runs draws prompts laws compared",
    "20 runs draws prompts width drawn compared",
    "3 runs draws prompts laws compared",
)
RULES = {
    "data": (_PROMPTS, "200 runs all_prompts tokens d", "0"),
    "pretrain": (_PROMPTS, "0.05 runs epochs all_prompts tokens d multiplied", "1 runs epochs"),
    "equivalence": (_DESCENTS, "40 runs epochs prompts tokens tokens d", "4 runs prompts"),
    "trajectory": ("2e4 runs epochs tokens", "3e5 runs epochs tokens", "32 runs epochs tokens"),
    "approximation": (*_DRAWS[:2], "1 laws tokens width"),
    "attention_errors": _DRAWS,
    "diagram": _DRAWS,
    "families": _DRAWS,
    "controls": (f"{_LOOK} + 4e4 runs tests", "60 runs tests tokens features", "12 runs tests"),
    "training_length": (_LOOK, "10 runs tests tokens features checkpoints", "0"),
    "ablation": (
        f"{_LOOK} + {_DESCENTS}",
        "10 runs tests tokens features + 40 runs epochs prompts tokens tokens d",
        "0",
    ),
    "universe": ("6e7", "0", "0"),
    "universe_claims": ("3e8 + 3000 rows", "2e9 analyses + 5e5 rows", "0"),
    "multiverse": ("1.3e7 universes", "3e9 universes", "0"),
    "network": ("1e9", "1e11", "0"),  # how large one is, only its folder says
    "heads": ("5e8", "4e11", "0"),
    "tables": ("600 rows", "1e4 rows", "0"),  # also figures, as if each read all rows
}
"""What a rule's job takes: bytes of memory, nanoseconds, and rows of tables."""

PARTS = {
    "data": "data",
    "cells": "pretrain",
    "controls": "controls",
    "attention_errors": "attention_errors",
}
"""The rule of the slices that another slice has in it, by their key there."""


@dataclass(frozen=True)
class Need:
    """What one job asks for.

    Attributes:
        data_mb: memory that grows with the sizes in the config.
        seconds: time of its computations on one core.
        rows: of all tables, its own.
    """

    data_mb: float
    seconds: float
    rows: float

    @property
    def mem_mb(self) -> int:
        """Memory to ask for, in MB."""
        return math.ceil(SNAKEMAKE_MB + MEMORY_MARGIN * (PYTHON_MB + self.data_mb))

    @property
    def runtime(self) -> int:
        """Time to ask for, in minutes."""
        return math.ceil((STARTUP_S + TIME_MARGIN * self.seconds) / 60)


def need(experiment: Experiment, rule: str, job: Job) -> Need:
    """What a rule's job needs, with the jobs of other rules that its slice has in it, in turn."""
    parts = [need(experiment, part, one) for key, part in PARTS.items() for one in job.get(key, ())]
    rows = sum(one.rows for one in parts)
    sizes = _sizes(experiment, {"rows": rows, **job})
    own_bytes, own_ns, own_rows = (_sum(terms, sizes) for terms in RULES[rule])
    return Need(
        data_mb=1e-6 * own_bytes + max((one.data_mb for one in parts), default=0),
        seconds=1e-9 * own_ns + sum(one.seconds for one in parts),
        rows=own_rows + rows,
    )


def _sum(terms: str, sizes: Mapping[str, float]) -> float:
    products = map(str.split, terms.split(" + "))
    return sum(float(factor) * math.prod(map(sizes.__getitem__, of)) for factor, *of in products)


def _sizes(experiment: Experiment, job: Job) -> dict[str, float]:
    """What a job may grow with; if its slice does not name the features, those of the largest."""
    config, settings = experiment.config, experiment.settings
    ablations = config.get("ablations", {"setting": next(iter(settings))})
    setting = settings[job.get("setting", ablations["setting"])]
    widest = max(map(experiment.features, experiment.variants), key=lambda one: one["d_r"])
    features = job.get("features", widest)
    n, d, d_r = setting["demonstrations"] + 1, sum(config["task"].values()), features["d_r"]
    multiplied = 100 + d_r * (25 if job.get("omega") == "per_step" else 1)
    if features["family"].startswith(("elu", "balanced")) or ":" in features["family"]:
        multiplied += 7000  # by torch, or so it may be
    if job.get("model", {}).get("attention") == "exact":
        multiplied = 100
    if job.get("prompts") == "fresh":
        multiplied += 2000
    own = {"runs": 1, "epochs": 1, "draws": job.get("repeats", 1), "prompts": 1}
    own |= {key: value for key, value in job.items() if isinstance(value, int | float)}
    prompts = own["prompts"]
    return {
        **own,
        "descending": max(prompts, min(own["runs"] * prompts, DESCENDING_PROMPTS)),
        "tests": config["test_prompts"],
        "all_prompts": setting["prompts"] + config["test_prompts"],
        "tokens": n,
        "d": d,
        "width": n + d,
        "features": d_r,
        "multiplied": multiplied,  # features that take as long to multiply as a step of training
        "drawn": 3 * d_r + sum(job.get("d_r", ())),  # three laws of ω at the layers' own d_r
        "laws": 3 + len(job.get("d_r", ())),
        "compared": len(job.get("compared", [features])),
        "checkpoints": len(config.get("training_length", {}).get("checkpoints", ())),
        "analyses": len(job.get("analyses", ())),
        "universes": len(job.get("universes", ())),
    }


def all_rows(experiment: Experiment, *_: str) -> Job:
    """What tables, figures and the scorecard grow with, whatever their wildcards."""
    return {"rows": sum(one.rows for _, one in every_job(experiment))}


def every_job(experiment: Experiment) -> Iterator[tuple[str, Need]]:
    """Every job with what it needs, those of `ablations` included and figures as one of tables."""
    measured, longer = experiment.approximation_settings, experiment.long_settings
    ablations, cells = list_ablations(experiment), experiment.cells
    kinds: list[tuple[str, Callable[..., Job], Iterable[object]]] = [
        ("data", jobs.data, experiment.settings),
        ("pretrain", jobs.pretrain, cells),
        ("equivalence", jobs.equivalence, cells),
        ("trajectory", jobs.equivalence, experiment.trajectory_cells),
        ("approximation", jobs.approximation, measured),
        ("attention_errors", jobs.attention_errors, measured),
        ("families", jobs.families, experiment.family_settings),
        ("controls", jobs.controls, experiment.control_settings),
        ("pretrain", jobs.long_training, longer),
        ("training_length", jobs.training_length, longer),
        ("pretrain", jobs.ablation_training, ablations),
        ("ablation", jobs.ablation, ablations),
    ]
    rows = 0.0
    for rule, job, names in kinds:
        for name in names:
            one = need(experiment, rule, job(experiment, *str(name).split("/")))
            rows += one.rows
            yield f"{job.__name__} {name}", one
    yield "tables", need(experiment, "tables", {"rows": rows})


def urgency(experiment: Experiment, setting: str, variant: str) -> int:
    """Of a training: its seconds, twice if another goes on with it; the longest start first."""
    job = jobs.pretrain(experiment, setting, variant)
    return round(need(experiment, "pretrain", job).seconds) * (2 if job["checkpoints"] else 1)


def size_problem(experiment: Experiment, memory_mb: float) -> str | None:
    """What to tell a user one of whose jobs takes more than twice that memory; None if none does.

    What is estimated may be half of that in truth.
    """
    name, largest = max(every_job(experiment), key=lambda one: one[1].data_mb)
    if largest.data_mb <= 2 * memory_mb:
        return None
    integers = [
        (key, one)
        for key, value in leaves(experiment.config)
        for one in as_list(value)
        if isinstance(one, int) and key != "seed"
    ]
    key, number = max(integers, key=lambda one: one[1])
    return (
        f"{key}: {number} is not allowed; must be less, or another large number of the config: the "
        f"job {name!r} would take some {largest.data_mb / 1000:,.0f} GB of memory, and this "
        f"machine has {memory_mb / 1000:,.0f}"
    )


def size_warning(experiment: Experiment, memory_mb: float) -> str | None:
    """What a run takes, where that is more than that memory or a day of a processor."""
    needs = [one for _, one in every_job(experiment)]
    largest, days = max(one.data_mb for one in needs), sum(one.seconds for one in needs) / 86_400
    if days <= 1 and largest <= memory_mb:
        return None
    return (
        f"This config asks for some {days:,.1f} days of processor time, and for "
        f"{largest / 1000:,.1f} GB of memory for its largest job."
    )
