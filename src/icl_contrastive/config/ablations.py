"""The ablations: one of the decisions that the paper leaves open is changed at a time."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from icl_contrastive.config.experiment import Experiment

DECISIONS = ("normalization", "init", "init_scale", "omega", "prompts", "batch")
"""Those that are keys of ``pretraining``."""


@dataclass(frozen=True)
class Ablation:
    """A value of a decision, and the job that shows what it does.

    Attributes:
        default: whether this is what the experiment itself does.
        variant: the layer that it is shown on.
        runs: the runs that are looked at, from 0.
        scheme: of the descent that the layer is compared with.
        pretraining: keys of the section ``pretraining`` that differ.
        data_runs: runs of prompts that have to be drawn, if the experiment has fewer.
    """

    decision: str
    value: str
    default: bool
    variant: str
    runs: int
    scheme: str = "full_batch"
    pretraining: dict[str, Any] = field(default_factory=dict)
    data_runs: int | None = None

    @property
    def name(self) -> str:
        """Its name in paths."""
        return f"{self.decision}-{self.value}"

    @property
    def is_trained(self) -> bool:
        """Whether it takes a training that the experiment does not do."""
        return bool(self.pretraining) or self.data_runs is not None


def list_ablations(experiment: Experiment) -> dict[str, Ablation]:
    """The ablations by name; none without the section."""
    found = _ablations(experiment) if "ablations" in experiment.config else ()
    return {ablation.name: ablation for ablation in found}


def ablation_paths(experiment: Experiment, name: str) -> tuple[str, str]:
    """Data and pretrained file of an ablation; those of the experiment where they serve."""
    ablation, setting = list_ablations(experiment)[name], experiment.config["ablations"]["setting"]
    data, pretrained = f"data/{setting}", f"pretrained/{setting}/{ablation.variant}"
    if ablation.data_runs is not None:
        data = f"ablations/data/{ablation.data_runs}_runs"
    if ablation.is_trained:
        pretrained = f"ablations/{name}"
    return f"results/{data}.safetensors", f"results/{pretrained}.safetensors"


def _ablations(experiment: Experiment) -> Iterator[Ablation]:
    """Each decision with its other values, beside the experiment as it is."""
    ablations = experiment.config["ablations"]
    setting, variant, runs = ablations["setting"], ablations["variant"], experiment.config["runs"]
    yield Ablation("base", variant, True, variant, runs)
    for decision in DECISIONS:
        for value in ablations[decision]:
            if value != experiment.config["pretraining"][decision]:
                changed = {decision: value}
                yield Ablation(decision, str(value), False, variant, runs, pretraining=changed)
    for count in ablations["runs"]:
        if count != runs:
            data_runs = count if count > runs else None
            yield Ablation("runs", str(count), False, variant, count, data_runs=data_runs)

    regularized = experiment.figures.get("figure_10", {})
    if regularized.get("setting") == setting:
        for value, scheme in (
            ("every_step", "single_sample"),
            ("shared", "single_sample_shared_decay"),
        ):
            default = value == "every_step"
            yield Ablation("decay", value, default, regularized["variant"], runs, scheme)
    for name, other in _forms_of_negatives(experiment, setting):
        yield Ablation("negatives", "section_5.5", True, name, runs)
        yield Ablation("negatives", "eq18", False, other, runs)


def _forms_of_negatives(experiment: Experiment, setting: str) -> Iterator[tuple[str, str]]:
    """The first variant with section 5.5's form that there is with Eq. 18's form too."""
    there = {
        (one.model["form"], one.model["k"], one.model["beta"], one.learning_rate): one.name
        for one in experiment.variants.values()
        if one.model["model"] == "negative" and setting in one.settings
    }
    for (form, *rest), name in there.items():
        other = there.get(("eq18", *rest))
        if form == "section_5.5" and other is not None:
            yield name, other
            return
