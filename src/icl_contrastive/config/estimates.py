"""What the jobs need of a machine: memory and time, from the sizes in the config.

The terms of each estimate are those that were seen to matter when one size at a time was changed;
their factors were measured on one core of a 2-core Intel Xeon. ``Need`` adds the room that another
machine, a compilation and Snakemake beside the step take.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from icl_contrastive.config import jobs
from icl_contrastive.config.ablations import list_ablations
from icl_contrastive.config.experiment import Experiment
from icl_contrastive.config.multiverse import list_analyses, list_universes
from icl_contrastive.limits import FOLLOWED_PROMPTS, FULL_WIDTH_PROMPTS

Job = Mapping[str, Any]
"""The slice of the config that a step gets."""

PYTHON_MB = 300  # an interpreter with torch or numba, and the libraries of a step
SNAKEMAKE_MB = 400  # on a cluster each job is started by Snakemake, in the same allocation
MEMORY_MARGIN = 1.5
STARTUP_S = 60  # imports from a slow file system, and the first compilation on a node
TIME_MARGIN = 4.0


@dataclass(frozen=True)
class Need:
    """What one job asks for.

    Attributes:
        data_mb: memory that grows with the sizes in the config.
        seconds: time of its computations on one core.
        gpu: number of GPUs.
    """

    data_mb: float
    seconds: float
    gpu: int | None = None

    @property
    def mem_mb(self) -> int:
        """Memory to ask for, in MB."""
        return math.ceil(SNAKEMAKE_MB + MEMORY_MARGIN * (PYTHON_MB + self.data_mb))

    @property
    def runtime(self) -> int:
        """Time to ask for, in minutes."""
        return math.ceil((STARTUP_S + TIME_MARGIN * self.seconds) / 60)


def every_job(experiment: Experiment) -> Iterator[tuple[str, Need]]:
    """Every job with what it needs, those of `ablations` included and figures as one of tables."""

    def each(
        estimate: Callable[[Experiment, Job], Need],
        job: Callable[..., Job],
        names: Iterable[object],
    ) -> Iterator[tuple[str, Need]]:
        for name in names:
            need = estimate(experiment, job(experiment, *str(name).split("/")))
            yield f"{job.__name__} {name}", need

    measured, longer = experiment.approximation_settings, experiment.long_settings
    yield from each(data, jobs.data, experiment.settings)
    yield from each(pretrain, jobs.pretrain, experiment.cells)
    yield from each(equivalence, jobs.equivalence, experiment.cells)
    yield from each(approximation, jobs.approximation, measured)
    yield from each(attention_errors, jobs.attention_errors, measured)
    yield from each(families, jobs.families, experiment.family_settings)
    yield from each(controls, jobs.controls, experiment.control_settings)
    yield from each(pretrain, jobs.long_training, longer)
    yield from each(training_length, jobs.training_length, longer)
    yield from each(pretrain, jobs.ablation_training, list_ablations(experiment))
    yield from each(ablation, jobs.ablation, list_ablations(experiment))
    yield "tables", tables(experiment, {})


def size_problem(experiment: Experiment, memory_mb: float) -> str | None:
    """What to tell a user one of whose jobs takes more than twice that memory; None if none does.

    What is estimated may be half of that in truth.
    """
    name, need = largest(experiment)
    if need.data_mb <= 2 * memory_mb:
        return None
    key, number = max(_integers(experiment.config), key=lambda one: one[1])
    return (
        f"{key}: {number} is not allowed; must be less, or another large number of the config: the "
        f"job {name!r} would take some {need.data_mb / 1000:,.0f} GB of memory, and this machine "
        f"has {memory_mb / 1000:,.0f}"
    )


def size_warning(experiment: Experiment, memory_mb: float) -> str | None:
    """What a run takes, where that is more than that memory or a day of a processor."""
    _, need = largest(experiment)
    days = sum(need.seconds for _, need in every_job(experiment)) / 86_400
    if days <= 1 and need.data_mb <= memory_mb:
        return None
    return (
        f"This config asks for some {days:,.1f} days of processor time, and for "
        f"{need.data_mb / 1000:,.1f} GB of memory for its largest job."
    )


def largest(experiment: Experiment) -> tuple[str, Need]:
    """The job that takes most memory, and its need."""
    return max(every_job(experiment), key=lambda one: one[1].data_mb)


def _integers(value: Any, key: str = "") -> Iterator[tuple[str, int]]:
    """The integers of a config by their key, but for the seed."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if (key, name) != ("", "seed"):
                yield from _integers(inner, f"{key}.{name}".removeprefix("."))
    elif isinstance(value, list):
        for inner in value:
            yield from _integers(inner, key)
    elif isinstance(value, int):
        yield key, value


def data(experiment: Experiment, job: Job) -> Need:
    """All prompts of a setting are drawn at once."""
    entries = job["runs"] * _prompts(experiment, job) * _n(experiment, job) * _d(experiment)
    return Need(16e-6 * entries, 1e-7 * entries)


def pretrain(experiment: Experiment, job: Job) -> Need:
    """The compiled loop: a product of keys and features per step, and the held-out prompts."""
    d, n = _d(experiment), _n(experiment, job)
    prompts = _prompts(experiment, job)
    features = 0 if job["model"].get("attention") == "exact" else job["features"]["d_r"]
    steps = job["runs"] * job["epochs"] * prompts
    seconds = 5e-11 * steps * n * d * (features + 100)
    family = job["features"]["family"]
    if features and (family.startswith(("elu", "balanced")) or ":" in family):
        seconds += 7e-5 * steps  # by torch, or so it may be
    draws = {"kept": 0, "per_epoch": job["epochs"], "per_step": job["epochs"] * prompts}
    seconds += 2e-8 * job["runs"] * draws[job["omega"]] * features * d
    entries = job["runs"] * prompts * n * d
    if job["prompts"] == "fresh":
        seconds += 1e-7 * entries * job["epochs"]
    kept = len(job.get("checkpoints", ())) + 1
    weights = job["runs"] * d * (30 * features + 100 * d * kept)
    gpu = 1 if experiment.config["execution"]["device"] == "cuda" else None
    return Need(1e-6 * (8 * entries + weights), seconds, gpu)


def urgency(experiment: Experiment, setting: str, variant: str) -> int:
    """Seconds of a training and of the one that goes on with it: the longest are to start first."""
    seconds = pretrain(experiment, jobs.pretrain(experiment, setting, variant)).seconds
    long = experiment.config.get("training_length", {"variant": None})
    if setting in experiment.long_settings and variant == long["variant"]:
        seconds += pretrain(experiment, jobs.long_training(experiment, setting)).seconds
    return round(seconds)


def equivalence(experiment: Experiment, job: Job) -> Need:
    """The features of all prompts, a few at a time, and the descent of a run's reference models."""
    return _descents(experiment, job, job["features"]["d_r"], job["runs"])


def approximation(experiment: Experiment, job: Job) -> Need:
    """Every repeat draws its features, with a matrix of them for each token."""
    draws = job["repeats"] * sum(job["d_r"])
    n, d = _n(experiment, job), _d(experiment)
    return Need(1e-6 * max(job["d_r"]) * (40 * n + 40 * d), 1e-8 * draws * (n + d))


def attention_errors(experiment: Experiment, job: Job) -> Need:
    """Every run draws its features, with a matrix of them for each token of all prompts."""
    d, tokens, own = _d(experiment), job["prompts"] * _n(experiment, job), job["features"]["d_r"]
    draws = job["runs"] * job["draws"]
    features = sum(job["d_r"]) + 3 * own  # three laws of ω at the layers' own d_r
    rows = 2 * draws * job["prompts"] * (len(job["d_r"]) + 3)
    largest = max(*job["d_r"], own)
    data_mb = 1e-6 * (40 * largest * (tokens + d) + 1000 * rows)
    return Need(data_mb, 2e-8 * draws * features * (tokens + d))


def diagram(experiment: Experiment, job: Job) -> Need:
    """The same for one prompt, once."""
    return approximation(experiment, {**job, "repeats": 1, "d_r": [job["features"]["d_r"]]})


def families(experiment: Experiment, job: Job) -> Need:
    """Every family and projection draws its features."""
    one = approximation(experiment, job)
    return Need(one.data_mb, 4 * one.seconds * len(job["compared"]))


def controls(experiment: Experiment, job: Job) -> Need:
    """A dozen predictions on all test prompts, one run at a time."""
    features = _test_features(experiment, job, job["features"]["d_r"])
    return Need(20e-6 * features, 2e-7 * job["runs"] * features)


def training_length(experiment: Experiment, job: Job) -> Need:
    """A look at each checkpoint of each run."""
    length = experiment.config["training_length"]
    d_r = experiment.features(length["variant"])["d_r"]
    features = _test_features(experiment, job, d_r)
    looks = job["runs"] * len(length["checkpoints"])
    return Need(20e-6 * features, 5e-8 * looks * features)


def ablation(experiment: Experiment, job: Job) -> Need:
    """A look at each run's layer, and its descent."""
    ablations = experiment.config["ablations"]
    d_r = experiment.features(ablations["variant"])["d_r"]
    job = {"setting": ablations["setting"]} | dict(job)
    features = _test_features(experiment, job, d_r)
    descents = _descents(experiment, job, d_r, job["runs"])
    return Need(
        20e-6 * features + descents.data_mb, descents.seconds + 5e-8 * job["runs"] * features
    )


def universe(experiment: Experiment, job: Job) -> Need:
    """Its trainings one after the other; their curves and checkpoints are kept."""
    trainings = [pretrain(experiment, one) for one in job["cells"]]
    prompts = [data(experiment, one).data_mb for one in job["data"]]
    data_mb = sum(prompts) + max(one.data_mb for one in trainings)
    return Need(data_mb + 20, sum(one.seconds for one in trainings), trainings[0].gpu)


def universe_claims(experiment: Experiment, job: Job) -> Need:
    """Controls and errors of every checkpoint, the errors twice, and a verdict for each reading."""
    compared = [controls(experiment, one) for one in job["controls"]]
    measured = [attention_errors(experiment, one) for one in job["attention_errors"]]
    once = sum(one.seconds for one in compared) + 3 * sum(one.seconds for one in measured)
    data_mb = max((one.data_mb for one in compared), default=0)
    data_mb += 4 * sum(one.data_mb for one in measured)
    return Need(data_mb + 200, len(job["epochs"]) * once + 2 * len(job["analyses"]))


def multiverse(experiment: Experiment, job: Job) -> Need:
    """The verdicts of all universes, each read off in many ways."""
    rows = 40 * len(list_universes(experiment)) * len(list_analyses(experiment))
    return Need(0.02 * rows, 0.005 * rows)


def network(experiment: Experiment, job: Job) -> Need:
    """One of the packages' networks; how large another is, only its folder says."""
    return Need(1000, 100)


def heads(experiment: Experiment, job: Job) -> Need:
    """A hundred heads on some hundred tokens."""
    return Need(500, 400)


def tables(experiment: Experiment, job: Job) -> Need:
    """What reads or writes tables, also for figures and the scorecard, as if it had all rows."""
    config, runs = experiment.config, experiment.config["runs"]
    descent = config["equivalence"]
    rows = sum(runs * experiment.settings[cell.setting]["epochs"] for cell in experiment.cells)
    rows += 4 * len(experiment.cells) * runs * descent["prompts"]  # schemes
    for cell in experiment.trajectory_cells:
        steps = descent["epochs"] * _n(experiment, {"setting": cell.setting})
        rows += 2 * runs * min(FOLLOWED_PROMPTS, descent["prompts"]) * steps
    for setting in experiment.approximation_settings:
        measured = config["approximation"]
        laws = len(measured["d_r"]) + 3
        rows += 2 * runs * (measured["draws"] + 1) * measured["prompts"] * laws
        n = _n(experiment, {"setting": setting})
        rows += (len(measured["shown"]) + 1) * n * (n + _d(experiment))
    for _ in experiment.family_settings:
        families = len(experiment.compared_families)
        rows += 3 * families * len(config["families"]["d_r"]) * config["approximation"]["repeats"]
    rows += 12 * len(experiment.control_settings) * runs * config["test_prompts"]  # predictors
    return Need(6e-4 * rows, 1e-5 * rows)


def _descents(experiment: Experiment, job: Job, d_r: int, runs: int) -> Need:
    d, n = _d(experiment), _n(experiment, job)
    steps, prompts = job["epochs"] * n, job["prompts"]
    full_width = min(FULL_WIDTH_PROMPTS, prompts) * d_r * (n + d)
    coordinates = prompts * (n + 1) * (n + d)
    kept = runs * (FOLLOWED_PROMPTS * steps + prompts)
    seconds = 3e-8 * runs * prompts * n * d_r
    seconds += runs * steps * (5e-4 + 2e-8 * prompts * (n + 1) * d)
    return Need(1e-6 * (60 * full_width + 200 * coordinates + 300 * kept), seconds)


def _test_features(experiment: Experiment, job: Job, d_r: int) -> int:
    """Features of all tokens of the test prompts of one run."""
    tests: int = experiment.config["test_prompts"]
    return tests * _n(experiment, job) * d_r


def _n(experiment: Experiment, job: Job) -> int:
    """Tokens of a prompt."""
    demonstrations: int = experiment.settings[job["setting"]]["demonstrations"]
    return demonstrations + 1


def _d(experiment: Experiment) -> int:
    """Coordinates of a token."""
    return sum(experiment.config["task"].values())


def _prompts(experiment: Experiment, job: Job) -> int:
    """Training and test prompts of a run."""
    prompts: int = experiment.settings[job["setting"]]["prompts"]
    return prompts + int(experiment.config["test_prompts"])
