"""The multiverse's universes, each as an experiment of its own."""

import math
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from icl_contrastive.config.experiment import Cell, Experiment, NamedVariant, expand
from icl_contrastive.config.references import check_model, check_setting
from icl_contrastive.config.schema import one_of, show
from icl_contrastive.features import FAMILIES
from icl_contrastive.multiverse.design import design
from icl_contrastive.multiverse.space import (
    ABOUT,
    ANALYZED,
    TRAINED,
    Choices,
    Decision,
    Space,
    Value,
    read_initialization,
    universe_name,
)

OF_EVERY_VARIANT = ("model", "learning_rate", "settings", "features")

FRESH_SEED = 1
"""What is added to the seed for runs that no universe was chosen by: all streams are others."""


def space_of(experiment: Experiment) -> Space:
    """The space that the config declares."""
    return Space.of(experiment.config["multiverse"])


@lru_cache(maxsize=8)
def list_universes(experiment: Experiment) -> dict[str, dict[str, Value]]:
    """The universes that are trained, by name, the default first; none without the section."""
    if "multiverse" not in experiment.config:
        return {}
    universes = design(space_of(experiment).trained, experiment.config["multiverse"]["size"])
    return {universe_name(choices): choices for choices in universes}


def list_analyses(experiment: Experiment) -> list[dict[str, Value]]:
    """What is decided after training, in all combinations, the default first."""
    return space_of(experiment).analyzed.universes()


def cells_of(experiment: Experiment) -> dict[str, list[NamedVariant]]:
    """The variants of every universe by setting."""
    wanted: dict[str, dict[str, Any]] = experiment.config["multiverse"]["settings"]
    return {
        setting: [
            variant
            for entry, points in entries.items()
            for variant in expand(entry, {**experiment.config["variants"][entry], **points})
        ]
        for setting, entries in wanted.items()
    }


def universe_experiment(
    experiment: Experiment, choices: Choices, *, fresh: bool = False
) -> Experiment:
    """The experiment with other decisions, cut down to the multiverse's cells and what reads them.

    With ``fresh``, on other tasks, prompts, features and initial weights.
    """
    config, section = experiment.config, experiment.config["multiverse"]
    variants: dict[str, dict[str, Any]] = {}
    for setting, named in cells_of(experiment).items():
        for one in named:
            entry = {**one.model, "learning_rate": one.learning_rate, "features": one.features}
            variants.setdefault(one.name, {**entry, "settings": []})["settings"].append(setting)
    cells = {Cell(setting, name) for name in variants for setting in variants[name]["settings"]}
    changed: dict[str, Any] = {
        **{key: config[key] for key in ("task", "test_prompts", "features", "execution")},
        "seed": config["seed"] + FRESH_SEED * fresh,
        "runs": section["runs"],
        "settings": {name: config["settings"][name] for name in section["settings"]},
        "pretraining": config["pretraining"] | _pretraining(choices),
        "variants": variants,
        "figures": {},
    }
    if "projection" in choices:
        changed["features"] = config["features"] | {"projection": choices["projection"]}
    for name in ("controls", "approximation"):
        if name in config:
            there = [
                setting
                for setting in changed["settings"]
                if Cell(setting, config[name]["variant"]) in cells
            ]
            if there:
                changed[name] = config[name] | {"settings": there}
    if "controls" in changed and changed["controls"].get("exact") not in variants:
        changed["controls"] = {k: v for k, v in changed["controls"].items() if k != "exact"}
    return Experiment(changed)


def _pretraining(choices: Choices) -> dict[str, Value]:
    """The choices as keys of the section ``pretraining``."""
    keys: dict[str, Value] = {
        name: choices[name]
        for name in ("normalization", "omega", "prompts", "order")
        if name in choices
    }
    if "initialization" in choices:
        law, factor = read_initialization(choices["initialization"]) or ("", 1)
        keys |= {"init": law, "init_scale": factor}
    return keys


def checkpoints(experiment: Experiment, setting: str) -> dict[Value, int]:
    """The epochs at which the universes' layers are read off, by share of the setting's."""
    epochs: int = experiment.settings[setting]["epochs"]
    decisions = space_of(experiment).decisions
    shares = decisions.get("epochs", Decision("epochs", (1.0,)))
    return {
        share: max(1, math.floor(float(share) * epochs + 0.5))
        for share in (*shares.values, *shares.added)
    }


# What its keys must agree on


def disagreements(experiment: Experiment) -> Iterator[str]:
    """A line for each problem of the section: the key, its value, and what is allowed there."""
    section = experiment.config["multiverse"]
    yield from _cells(experiment)
    space = space_of(experiment)
    problems = [*_values(section["decisions"]), *_rules(section["exclude"], space)]
    yield from problems
    if problems:
        return
    if not (space.allows(space.default) and space.trained.allows(space.trained.default)):
        yield "multiverse.exclude: a rule leaves out the default universe; must leave it in"
        return
    size, count = section["size"], len(space.trained.universes())
    if size != "all" and not (isinstance(size, int) and 1 <= size <= count):
        allowed = f"all or an integer from 1 to {count}"
        if isinstance(size, str) and size.isdecimal():
            allowed += ", not text: write it in a file (--configfile)"
        yield f"multiverse.size: {show(size)} is not allowed; must be {allowed}"
    family, projections = experiment.config["features"]["family"], "projection" in space.decisions
    if projections and family in FAMILIES and not FAMILIES[family].projections:
        yield (
            "multiverse.decisions.projection: not allowed with features.family: "
            f"{family}, which draws nothing; must be left out"
        )


def _cells(experiment: Experiment) -> Iterator[str]:
    models: dict[str, dict[str, Any]] = {}
    for setting, entries in experiment.config["multiverse"]["settings"].items():
        yield from check_setting(experiment, "multiverse.settings", setting)
        for name, points in entries.items():
            key = f"multiverse.settings.{setting}.{name}"
            if name not in experiment.config["variants"]:
                known = experiment.config["variants"]
                yield f"{key}: no such entry of variants; must be {one_of(known, name)}"
                continue
            entry = experiment.config["variants"][name]
            grid = [key for key in entry if key not in OF_EVERY_VARIANT]
            unknown = [point for point in points if point not in grid]
            for point in unknown:
                yield f"{key}.{point}: no key of variants.{name}; must be {one_of(grid, point)}"
            if not unknown and setting in experiment.settings:
                several = expand(name, {**entry, **points})
                for one in several:
                    yield from check_model(key, one.model, [experiment.settings[setting]])
                yield from _names(key, several, models)


def _names(
    key: str, several: list[NamedVariant], models: dict[str, dict[str, Any]]
) -> Iterator[str]:
    """A name must stand for one model, in whatever setting; ``models`` has those so far."""
    for one in several:
        other = models.setdefault(one.name, one.model)
        if other != one.model:
            differs = {key: value for key, value in other.items() if one.model.get(key) != value}
            yield (
                f"{key}: {one.name!r} is the name of another variant too, with {show(differs)}; "
                "names must differ (values of a list are part of the name, to 6 digits)"
            )


def _values(decisions: Mapping[str, Any]) -> Iterator[str]:
    for name, entry in decisions.items():
        key, every = f"multiverse.decisions.{name}", [*entry["values"], *entry["added"]]
        for value in every:
            if every.count(value) > 1:
                yield f"{key}: {show(value)} is there twice, in values or added; must be once"
        if name == "initialization":
            yield from _initializations(key, every)


def _initializations(key: str, values: list[Any]) -> Iterator[str]:
    first: dict[tuple[str, float], Any] = {}
    for value in values:
        if (found := read_initialization(value)) is None:
            yield (
                f"{key}.values: {show(value)} is not allowed; must be uniform, normal or "
                "standard_normal, or one of them with a factor above 0, such as uniform x 0.2"
            )
        elif (other := first.setdefault(found, value)) != value:
            yield f"{key}: {show(value)} is the same as {show(other)}; must be once"


def _rules(rules: list[Mapping[str, Any]], space: Space) -> Iterator[str]:
    for number, rule in enumerate(rules):
        key = f"multiverse.exclude[{number}].where"
        kinds = {name in TRAINED for name in rule["where"]}
        if len(kinds) > 1:
            yield f"{key}: mixes decisions on training and on analysis; must be of one kind"
        for name, values in rule["where"].items():
            if name not in space.decisions:
                yield f"{key}.{name}: no such decision; must be {one_of(space.decisions, name)}"
                continue
            known = (*space.decisions[name].values, *space.decisions[name].added)
            for value in values:
                if value not in known:
                    yield f"{key}.{name}: {show(value)} is no value of it; must be {one_of(known)}"


def decision_schemas() -> dict[str, Any]:
    """What each decision of the section may say."""

    def schema(name: str, allowed: tuple[Value, ...] | None) -> dict[str, Any]:
        item: dict[str, Any] = {"type": "string"}
        if name == "epochs":
            item = {"type": "number", "minimum": 0.01, "maximum": 1}
        elif allowed is not None:
            item = {"enum": list(allowed)}
        values = {"type": "array", "uniqueItems": True, "items": item}
        return {
            "description": ABOUT[name],
            "type": "object",
            "additionalProperties": False,
            "required": ["values", "status", "reason"],
            "properties": {
                "values": {"description": "The default first.", "minItems": 1, **values},
                "added": {
                    "description": "Values that came after results were known.",
                    "default": [],
                    **values,
                },
                "status": {
                    "description": "Whether the paper says what the default is.",
                    "enum": ["stated", "inferred", "open"],
                },
                "reason": {"description": "For these values, in a line.", "type": "string"},
            },
        }

    return {name: schema(name, allowed) for name, allowed in (TRAINED | ANALYZED).items()}
