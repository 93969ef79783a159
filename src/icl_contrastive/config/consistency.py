"""What several keys of a config must agree on; the schema looks at one key at a time."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import chain, product
from typing import Any

from icl_contrastive.config.experiment import Experiment
from icl_contrastive.config.figure_files import FIGURES
from icl_contrastive.config.figure_rules import figure_disagreements
from icl_contrastive.config.multiverse import disagreements as multiverse_disagreements
from icl_contrastive.config.references import check_cell, check_limit, check_model, check_setting
from icl_contrastive.config.roles import (
    ESTIMATED,
    EXACT,
    PLAIN,
    WITH_FEATURES,
    Role,
    like,
)
from icl_contrastive.config.schema import listed, meant, one_of, show
from icl_contrastive.features import FAMILIES
from icl_contrastive.plug_ins import plug_in_module

_PERIODIC = re.compile(r"(.+)\1{19}$")
"""The end of a name that Snakemake takes for a rule that feeds itself, without end."""


def disagreements(experiment: Experiment) -> Iterator[str]:
    """A line for each problem: the key, its value, and what is allowed there."""
    yield from _names(experiment)
    yield from _features(experiment.config["features"], "features.{}".format, trained=True)
    for entry in experiment.entries:
        yield from _variant(experiment, entry)
    yield from check_limit(experiment, "equivalence.prompts", 1, "test_prompts")
    yield from figure_disagreements(experiment)
    measured = [
        figure
        for figure in experiment.figures
        if {"approximation", "matrices", "attention_bias"} & set(FIGURES[figure].tables)
    ]
    if "approximation" in experiment.config:
        yield from _approximation(experiment, measured)
    elif measured:
        yield f"approximation: missing; must be there for figures {listed(measured)}"
    sections = {
        "families": _families,
        "controls": _controls,
        "training_length": _training_length,
        "ablations": _ablations,
        "multiverse": multiverse_disagreements,
    }
    for name, disagreements_of in sections.items():
        if name in experiment.config:
            yield from disagreements_of(experiment)
        elif name in experiment.figures:
            yield f"{name}: missing; must be there for the figure {name}"
    for name, source in experiment.networks.items():
        yield from _network(f"networks.read.{name}", source)


def _names(experiment: Experiment) -> Iterator[str]:
    """Each variant and setting must have files of its own."""
    owners = {
        entry: [variant.name for variant in variants]
        for entry, variants in experiment.entries.items()
    }
    counts = Counter(name for names in owners.values() for name in names)
    for name, count in counts.items():
        if count > 1:
            keys = listed(f"variants.{entry}" for entry, names in owners.items() if name in names)
            yield f"{keys}: {count} variants are named {name!r}; names must differ"
    settings, networks = experiment.settings, experiment.networks
    of_each: dict[str, Mapping[str, list[str]]] = {
        "settings": {name: [name] for name in settings},
        "variants": owners,
        "networks.read": {name: [name] for name in networks},
    }
    for key, entries in of_each.items():
        first: dict[str, str] = {}
        for name in chain.from_iterable(entries.values()):
            if (other := first.setdefault(name.lower(), name)) != name:
                yield (
                    f"{key}.{name}: differs from {other!r} in capitals alone; must differ in more, "
                    "since they are one file on some disks"
                )
        for entry, names in entries.items():
            if any(map(_PERIODIC.search, names)):
                yield (
                    f"{key}.{entry}: the name is not allowed; must not end in the same letters 20 "
                    "times, which Snakemake takes for endless"
                )
    parts = ("_matrices", "_bias", "_closed_forms", "_solutions", "_pretrain")
    for key, there, suffixes in (
        ("settings", settings, parts),
        ("networks.read", networks, ("_record",)),
    ):
        for name, suffix in product(there, suffixes):
            other = name.removesuffix(suffix)
            if other != name and other in there:
                yield f"{key}.{name}: shares files with {other!r}; must have another name"


def _variant(experiment: Experiment, entry: str) -> Iterator[str]:
    key, values = f"variants.{entry}", experiment.config["variants"][entry]
    for setting in values["settings"]:
        yield from check_setting(experiment, f"{key}.settings", setting)
    if "features" in values:
        if values.get("attention") == "exact":
            yield f"{key}.features: not allowed with attention: exact, which has no features"
        features = experiment.features(experiment.entries[entry][0].name)

        def whose(name: str) -> str:
            return f"{key}.features.{name}" if name in values["features"] else f"features.{name}"

        yield from _features(features, whose, trained=True)
    there = experiment.settings
    settings = [there[name] for name in values["settings"] if name in there]
    for variant in experiment.entries[entry]:
        yield from check_model(key, variant.model, settings)


def _features(
    features: Mapping[str, Any], key: Callable[[str], str], *, trained: bool
) -> Iterator[str]:
    """A line for each problem of ``family``, ``projection`` and ``d_r``, which may be left out.

    Of a family of the user's own only its module can say what it has.

    Args:
        features: the entry.
        key: from a key of the entry to the config's.
        trained: whether layers are trained with it.
    """
    name, projection, d_r = features["family"], features.get("projection"), features.get("d_r")
    family = FAMILIES.get(name)
    if family is None:
        if plug_in_module(name) is None:
            own = f"or module:Class for one of your own{meant(name, FAMILIES)}"
            yield f"{key('family')}: {name!r} is not allowed; must be {one_of(FAMILIES)}, {own}"
        return
    if trained and not family.nonnegative:
        fit = [name for name, other in FAMILIES.items() if other.nonnegative]
        yield (
            f"{key('family')}: {name!r} is not allowed in training, since its estimates can be "
            f"negative; must be {one_of(fit)}"
        )
    if projection is not None and projection not in family.projections:
        yield (
            f"{key('projection')}: {projection!r} is not allowed with family: {name}; must be left "
            "out, since nothing is drawn"
        )
    if d_r is not None and d_r % family.multiple:
        yield (
            f"{key('d_r')}: {d_r} is not allowed with family: {name}; must be a multiple of "
            f"{family.multiple}"
        )


def _section(experiment: Experiment, name: str, role: Role) -> Iterator[str]:
    """The section's variant must be there, of the kind that its role needs, in all its settings."""
    section = experiment.config[name]
    for setting in section["settings"]:
        yield from check_setting(experiment, f"{name}.settings", setting)
        yield from check_cell(experiment, f"{name}.variant", setting, section["variant"], role)


def _approximation(experiment: Experiment, measured: list[str]) -> Iterator[str]:
    """The figures in ``measured`` read the tables that the section ``approximation`` makes."""
    values = experiment.config["approximation"]
    yield from _section(experiment, "approximation", ESTIMATED)
    if values["variant"] in experiment.variants:
        family = experiment.features(values["variant"])["family"]
        if family in FAMILIES and not FAMILIES[family].projections:
            yield (
                f"approximation.variant: {values['variant']!r} has the family {family!r}, which "
                "draws nothing at random, so that no error depends on d_r; must be a variant with "
                "another family, or the section and what reads it must be left out"
            )
        keys = {"family": "approximation.variant", "d_r": "approximation.d_r"}
        for d_r in values["d_r"]:
            yield from _features({"family": family, "d_r": d_r}, keys.__getitem__, trained=False)
    yield from check_limit(experiment, "approximation.run", 0, "runs")
    yield from check_limit(experiment, "approximation.prompt", 0, "test_prompts")
    yield from check_limit(experiment, "approximation.prompts", 1, "test_prompts")
    for d_r in values["shown"]:
        if d_r not in values["d_r"]:
            yield f"approximation.shown: {d_r} is not in d_r; must be {one_of(values['d_r'])}"
    for figure in measured:
        yield from _measured(experiment, figure)
        if "attention_bias" in FIGURES[figure].tables and values["draws"] == 1:
            yield (
                f"approximation.draws: 1 is not allowed with figures.{figure}; must be at least 2, "
                "since a single draw has no variance"
            )
    compared = [f for f in measured if FIGURES[f].needs("d_r") and "matrices" in FIGURES[f].tables]
    if not compared or values["variant"] not in experiment.variants:
        return
    d_r = experiment.features(values["variant"])["d_r"]
    if d_r not in values["shown"]:
        own = "d_r" in experiment.variants[values["variant"]].features
        key = f"variants.{values['variant']}.features.d_r" if own else "features.d_r"
        yield (
            f"{key}: {d_r} is not in approximation.shown, as {listed(compared)} needs; must "
            f"be {one_of(values['shown'])}"
        )


def _families(experiment: Experiment) -> Iterator[str]:
    values = experiment.config["families"]
    for name, projections in values["compared"].items():
        keys = dict.fromkeys(("family", "projection"), f"families.compared.{name}")
        keys |= {"d_r": "families.d_r"}
        for projection, d_r in product(projections or [None], values["d_r"]):
            entry = {"family": name, "projection": projection, "d_r": d_r}
            yield from _features(entry, keys.__getitem__, trained=False)
    if "approximation" not in experiment.config:
        yield "approximation: missing; must be there for the section families"
    elif experiment.approximation_variant in experiment.variants:
        features = experiment.features(experiment.approximation_variant)
        family, projections = features["family"], values["compared"].get(features["family"])
        # Of a family of one's own it is not known here.
        default = FAMILIES[family].default_projection() if family in FAMILIES else None
        projection = features.get("projection", default)
        if projections is None or projection not in (projections or [default]):
            law = f"projection: {projection}" if projection else "an empty list of projections"
            yield (
                f"families.compared: {family!r} with {law} is missing; must be there, since it is "
                "what the others are compared with"
            )
        if features["d_r"] not in values["d_r"]:
            yield (
                f"families.d_r: {features['d_r']} is missing; must be there, since the error with "
                "so many features is what the others are compared by"
            )
        if "families" in experiment.figures:
            yield from _measured(experiment, "families")
    trained = values.get("trained")
    if trained is not None:
        key, setting = "families.trained", trained["setting"]
        yield from check_setting(experiment, f"{key}.setting", setting)
        yield from check_cell(experiment, f"{key}.base", setting, trained["base"], WITH_FEATURES)
        base = experiment.variants.get(trained["base"])
        for name in trained["variants"]:
            role = WITH_FEATURES if base is None or not WITH_FEATURES.fits(base) else like(base)
            yield from check_cell(experiment, f"{key}.variants", setting, name, role)
        for name, count in Counter([trained["base"], *trained["variants"]]).items():
            if count > 1:
                yield f"{key}.variants: {name!r} is compared with itself; must be another variant"


def _measured(experiment: Experiment, figure: str) -> Iterator[str]:
    """The figure's setting must be one in which the approximation is measured."""
    setting = experiment.figures[figure]["setting"]
    measured = experiment.approximation_settings
    if setting in experiment.settings and setting not in measured:
        yield (
            f"figures.{figure}.setting: {setting!r} is not in approximation.settings; must be "
            f"{one_of(measured)}"
        )


def _controls(experiment: Experiment) -> Iterator[str]:
    values = experiment.config["controls"]
    yield from _section(experiment, "controls", PLAIN)
    if "exact" in values:
        problems = [
            list(check_cell(experiment, "controls.exact", setting, values["exact"], EXACT))
            for setting in values["settings"]
        ]
        if all(problems):  # it need not be trained in every setting
            yield from problems[0]


def _training_length(experiment: Experiment) -> Iterator[str]:
    values = experiment.config["training_length"]
    yield from _section(experiment, "training_length", WITH_FEATURES)
    for setting, epochs in values["settings"].items():
        if min(values["checkpoints"]) > epochs:
            yield (
                f"training_length.checkpoints: {show(values['checkpoints'])} is not allowed; must "
                f"have an integer from 1 to {epochs} (training_length.settings.{setting})"
            )


def _network(key: str, source: dict[str, Any]) -> Iterator[str]:
    """Each kind of source has keys of its own."""
    kinds = {"package": (), "folder": ("texts",), "file": ("mask", "scale")}
    given = [kind for kind in kinds if kind in source]
    if len(given) != 1:
        there = listed(given) or "none"
        yield f"{key}: has {there} of {listed(kinds)}; must have one of them"
        return
    for other in source:
        if other != given[0] and other not in kinds[given[0]]:
            yield f"{key}.{other}: not allowed with {given[0]}; must be left out"


def _ablations(experiment: Experiment) -> Iterator[str]:
    setting, name = (experiment.config["ablations"][key] for key in ("setting", "variant"))
    yield from check_setting(experiment, "ablations.setting", setting)
    yield from check_cell(experiment, "ablations.variant", setting, name, WITH_FEATURES)
