"""What several keys of a config must agree on; the schema looks at one key at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import product
from typing import Any

from icl_contrastive.config.experiment import FIGURE_TABLES, FIGURES_WITH_D_R, Experiment
from icl_contrastive.config.families import Known, feature_problems
from icl_contrastive.config.schema import as_list, listed, meant, one_of, show


def disagreements(experiment: Experiment) -> Iterator[str]:
    """A line for each problem: the key, its value, and what is allowed there."""
    yield from _names(experiment)
    yield from feature_problems(experiment.config["features"], "features.{}".format, trained=True)
    for entry in experiment.entries:
        yield from _variant(experiment, entry)
    yield from _limit(experiment, "equivalence.prompts", 1, "test_prompts")
    for figure in experiment.figures:
        yield from _figure(experiment, figure)
    yield from _diagrams(experiment)
    measured = [
        figure
        for figure in experiment.figures
        if {"approximation", "matrices"} & set(FIGURE_TABLES[figure])
    ]
    if "approximation" in experiment.config:
        yield from _approximation(experiment, measured)
    elif measured:
        yield f"approximation: missing; must be there for figures {listed(measured)}"
    sections = {
        "families": _families,
        "controls": _controls,
        "training_length": _training_length,
    }
    for name, disagreements_of in sections.items():
        if name in experiment.config:
            yield from disagreements_of(experiment)
        elif name in experiment.figures:
            yield f"{name}: missing; must be there for the figure {name}"
    if "ablations" in experiment.config:
        yield from _ablations(experiment)


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
    for name in experiment.settings:
        other = name.removesuffix("_matrices").removesuffix("_closed_forms")
        if other != name and other in experiment.settings:
            yield f"settings.{name}: shares files with {other!r}; must have another name"


def _variant(experiment: Experiment, entry: str) -> Iterator[str]:
    key, values = f"variants.{entry}", experiment.config["variants"][entry]
    for setting in values["settings"]:
        yield from _setting(experiment, f"{key}.settings", setting)
    if "features" in values:
        if values.get("attention") == "exact":
            yield f"{key}.features: not allowed with attention: exact, which has no features"
        features = experiment.features(experiment.entries[entry][0].name)
        yield from feature_problems(features, f"{key}.features.{{}}".format, trained=True)
    if values["model"] == "augmented" and values["g1"] + values["g2"] == 0:
        yield f"{key}.g1: 0 is not allowed with g2: 0; one of them must be 1 or 2"
    if values.get("form") == "eq15" and 1 in as_list(values["alpha"]):
        yield (
            f"{key}.alpha: 1 is not allowed with form: eq15; must be another number, since the "
            "reference model's W_0 divides by 1 - alpha"
        )
    if values["model"] == "negative":
        for setting in filter(experiment.settings.__contains__, values["settings"]):
            n = experiment.settings[setting]["demonstrations"]
            # Eq. 18 chooses among the other demonstrations, section 5.5 among all N + 1 tokens.
            most = n - 1 if values["form"] == "eq18" else n
            for k in as_list(values["k"]):
                if k > most:
                    yield (
                        f"{key}.k: {k} is not allowed; must be an integer from 1 to {most} with "
                        f"form: {values['form']} in setting {setting!r} (N = {n})"
                    )


def _approximation(experiment: Experiment, measured: list[str]) -> Iterator[str]:
    """The figures in ``measured`` read the tables that the section ``approximation`` makes."""
    values = experiment.config["approximation"]
    for setting in values["settings"]:
        yield from _setting(experiment, "approximation.settings", setting)
        yield from _cell(experiment, "approximation.variant", setting, values["variant"])
    yield from _limit(experiment, "approximation.run", 0, "runs")
    yield from _limit(experiment, "approximation.prompt", 0, "test_prompts")
    yield from _limit(experiment, "approximation.prompts", 1, "test_prompts")
    for d_r in values["shown"]:
        if d_r not in values["d_r"]:
            yield f"approximation.shown: {d_r} is not in d_r; must be {one_of(values['d_r'])}"
    for figure in measured:
        yield from _measured(experiment, figure)
    d_r = experiment.config["features"]["d_r"]
    compared = [f for f in measured if f in FIGURES_WITH_D_R and "matrices" in FIGURE_TABLES[f]]
    if compared and d_r not in values["shown"]:
        yield (
            f"features.d_r: {d_r} is not in approximation.shown, as {listed(compared)} needs; must "
            f"be {one_of(values['shown'])}"
        )


def _families(experiment: Experiment) -> Iterator[str]:
    values = experiment.config["families"]
    for name, projections in values["compared"].items():
        keys = dict.fromkeys(("family", "projection"), f"families.compared.{name}")
        keys |= {"d_r": "families.d_r"}
        for projection, d_r in product(projections or [None], values["d_r"]):
            entry = {"family": name, "projection": projection, "d_r": d_r}
            yield from feature_problems(entry, keys.__getitem__, trained=False)
    if "approximation" not in experiment.config:
        yield "approximation: missing; must be there for the section families"
    elif experiment.approximation_variant in experiment.variants:
        features = experiment.features(experiment.approximation_variant)
        projections = values["compared"].get(features["family"])
        projection = features.get("projection", Known().projections[0])
        if projections is None or (projections and projection not in projections):
            yield (
                f"families.compared: {features['family']!r} with projection: {projection} is "
                "missing; must be there, since it is what the others are compared with"
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
        yield from _setting(experiment, f"{key}.setting", setting)
        for role in ("base", "variants"):
            for name in as_list(trained[role]):
                yield from _cell(experiment, f"{key}.{role}", setting, name)
                if name in experiment.variants and not experiment.has_features(name):
                    yield (
                        f"{key}.{role}: {name!r} is not allowed; must be a variant with "
                        "attention: kernel, since it has random features"
                    )


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
    for setting in values["settings"]:
        yield from _setting(experiment, "controls.settings", setting)
        yield from _cell(experiment, "controls.variant", setting, values["variant"])
    for key, attention in (("variant", "kernel"), ("exact", "exact")):
        name = values.get(key)
        if name is None or (name not in experiment.variants and key == "variant"):
            continue  # told by _cell
        plain = [
            one.name
            for one in experiment.variants.values()
            if one.model["model"] == "softmax" and one.model["attention"] == attention
        ]
        if name not in plain:
            yield (
                f"controls.{key}: {name!r} is not allowed; must be a variant with model: softmax "
                f"and attention: {attention}, {one_of(plain, name)}"
            )


def _training_length(experiment: Experiment) -> Iterator[str]:
    values = experiment.config["training_length"]
    name = values["variant"]
    for setting in values["settings"]:
        yield from _setting(experiment, "training_length.settings", setting)
        yield from _cell(experiment, "training_length.variant", setting, name)
    if name in experiment.variants and not experiment.has_features(name):
        yield (
            f"training_length.variant: {name!r} is not allowed; must be a variant with attention: "
            "kernel, since the estimate of the attention is looked at"
        )
    for setting, epochs in values["settings"].items():
        if min(values["checkpoints"]) > epochs:
            yield (
                f"training_length.checkpoints: {show(values['checkpoints'])} is not allowed; must "
                f"have an integer from 1 to {epochs} (training_length.settings.{setting})"
            )


def _ablations(experiment: Experiment) -> Iterator[str]:
    setting, name = (experiment.config["ablations"][key] for key in ("setting", "variant"))
    yield from _setting(experiment, "ablations.setting", setting)
    yield from _cell(experiment, "ablations.variant", setting, name)
    if name in experiment.variants and not experiment.has_features(name):
        yield (
            f"ablations.variant: {name!r} is not allowed; must be a variant with attention: "
            "kernel, since exact softmax has no reference model"
        )


def _figure(experiment: Experiment, name: str) -> Iterator[str]:
    key, figure = f"figures.{name}", experiment.figures[name]
    if "setting" not in figure:
        return  # it shows a whole table
    setting, tables = figure["setting"], FIGURE_TABLES[name]
    yield from _setting(experiment, f"{key}.setting", setting)
    if name == "figure_5":
        for panel in ("regularized", "augmented", "negative"):
            for role, names in figure[panel].items():
                for variant in as_list(names):
                    at = f"{key}.{panel}.{role}"
                    yield from _cell(experiment, at, setting, variant, grid=role != "base")
    if "variant" in figure:
        yield from _cell(experiment, f"{key}.variant", setting, figure["variant"])
    if name == "multitask":
        yield from _setting(experiment, f"{key}.base", figure["base"])
        yield from _cell(experiment, f"{key}.variant", figure["base"], figure["variant"])
    if "run" in figure:
        yield from _limit(experiment, f"{key}.run", 0, "runs")
    if "prompt" in figure:
        yield from _limit(experiment, f"{key}.prompt", 0, "test_prompts")
    if {"trajectory", "diagram"} & set(tables):
        yield from _kind(experiment, name, figure["variant"])


def _diagrams(experiment: Experiment) -> Iterator[str]:
    """All diagrams show one prompt, from one table."""
    shown = {name: experiment.figures[name] for name in experiment.diagrams}
    for name, figure in shown.items():
        first = next(iter(shown))
        if figure != shown[first]:
            yield (
                f"figures.{name}: {show(figure)} is not allowed; must be as figures.{first}, "
                "since both draw the matrices of one prompt"
            )


def _kind(experiment: Experiment, figure: str, variant: str) -> Iterator[str]:
    """The figure must be able to show this kind of layer."""
    if variant not in experiment.variants:
        return  # told by _cell
    key = f"figures.{figure}.variant: {variant!r} is not allowed; must be a variant with"
    if not experiment.has_features(variant):
        yield f"{key} attention: kernel, since exact softmax has no reference model"
    elif figure == "figure_10" and experiment.variants[variant].model.get("alpha", 0) == 0:
        yield f"{key} alpha other than 0, since the figure compares ways to share the decay"


def _setting(experiment: Experiment, key: str, setting: str) -> Iterator[str]:
    if setting not in experiment.settings:
        yield f"{key}: {setting!r} is not a setting; must be {one_of(experiment.settings, setting)}"


def _cell(
    experiment: Experiment, key: str, setting: str, variant: str, *, grid: bool = False
) -> Iterator[str]:
    """The variant must be there, in the setting, and must be a single one or a grid if allowed."""
    if setting not in experiment.settings:
        return  # told by _setting
    found = experiment.named(variant)
    inside = [entry for entry in experiment.entries.values() if setting in entry[0].settings]
    choices = one_of(
        entry[0].name if len(entry) == 1 else f"{entry[0].name} … {entry[-1].name}"
        for entry in inside
    )
    if not found:
        known = [*experiment.variants, *experiment.entries] if grid else experiment.variants
        yield f"{key}: {variant!r} is not a variant; must be {choices}{meant(variant, known)}"
    elif variant not in experiment.variants and not grid:
        yield f"{key}: {variant!r} is a grid; must be {one_of(v.name for v in found)}"
    elif setting not in found[0].settings:
        where = listed(found[0].settings)
        yield f"{key}: {variant!r} is trained in {where}, not in {setting!r}; must be {choices}"


def _limit(experiment: Experiment, key: str, least: int, count_key: str) -> Iterator[str]:
    """The value, which starts at ``least``, must be one of as many as another key counts."""
    value, count = _get(experiment, key), _get(experiment, count_key)
    most = least + count - 1
    if value > most:
        allowed = f"an integer from {least} to {most} ({count_key} is {count})"
        yield f"{key}: {value} is not allowed; must be {allowed}"


def _get(experiment: Experiment, key: str) -> Any:
    value: Any = experiment.config
    for part in key.split("."):
        value = value[part]
    return value
