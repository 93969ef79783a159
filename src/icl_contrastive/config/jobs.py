"""What each job needs to know: its slice of the config; when that changes, the job runs again.

The arguments are the wildcards of its rule.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from icl_contrastive.config.ablations import list_ablations
from icl_contrastive.config.experiment import Cell, Experiment
from icl_contrastive.config.figure_files import ELSEWHERE, FIGURES
from icl_contrastive.config.multiverse import (
    checkpoints,
    list_analyses,
    list_universes,
    universe_experiment,
)
from icl_contrastive.config.schema import as_list
from icl_contrastive.features import build_family
from icl_contrastive.plug_ins import plug_in_module

Job = dict[str, Any]


def as_json(job: Job) -> str:
    """A job's slice as its step takes it; in whatever order the config has its keys.

    Whatever way it has its numbers, too: 1.0 and 1 are one experiment.
    """

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: plain(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [plain(inner) for inner in value]
        whole = isinstance(value, float) and value.is_integer() and abs(value) < 2**53
        return int(value) if whole else value

    return json.dumps(plain(job), sort_keys=True)


def data(experiment: Experiment, setting: str) -> Job:
    """Of ``steps.data``."""
    shape, config = experiment.settings[setting], experiment.config
    return {
        **_pick(config, "seed", "runs", "test_prompts"),
        "setting": setting,
        **_pick(shape, "demonstrations", "prompts", "tasks"),
        **config["task"],
    }


def pretrain(experiment: Experiment, setting: str, variant: str) -> Job:
    """Of ``steps.pretrain``."""
    epochs = experiment.settings[setting]["epochs"]
    goes_on = (
        setting in experiment.long_settings
        and variant == experiment.config["training_length"]["variant"]
    )
    return {
        **_layer(experiment, setting, variant),
        **_pick(experiment.config, "seed", "runs"),
        "learning_rate": experiment.variants[variant].learning_rate,
        "epochs": epochs,
        "checkpoints": _until(experiment, epochs) if goes_on else [],
        **experiment.config["pretraining"],
    }


def _until(experiment: Experiment, epochs: int) -> list[int]:
    """The epochs, up to these, after which a variant's weights are kept while it is trained."""
    kept = experiment.config["training_length"]["checkpoints"]
    return sorted(epoch for epoch in kept if epoch <= epochs)


def long_training(experiment: Experiment, setting: str) -> Job:
    """Of ``steps.pretrain``, which goes on with the pretrained variant."""
    length = experiment.config["training_length"]
    job = pretrain(experiment, setting, length["variant"])
    epochs = max(length["settings"][setting], job["epochs"])
    return job | {"epochs": epochs, "checkpoints": _until(experiment, epochs)}


def training_length(experiment: Experiment, setting: str) -> Job:
    """Of ``steps.training_length``."""
    return {"setting": setting, "runs": experiment.config["runs"]}


def ablation_data(experiment: Experiment, runs: str) -> Job:
    """Of ``steps.data``, for more runs."""
    return data(experiment, experiment.config["ablations"]["setting"]) | {"runs": int(runs)}


def ablation_training(experiment: Experiment, name: str) -> Job:
    """Of ``steps.pretrain``, with another decision."""
    ablation = list_ablations(experiment)[name]
    job = pretrain(experiment, experiment.config["ablations"]["setting"], ablation.variant)
    return job | ablation.pretraining | {"runs": ablation.runs, "checkpoints": []}


def ablation(experiment: Experiment, name: str) -> Job:
    """Of ``steps.ablation``."""
    one = list_ablations(experiment)[name]
    return {
        **_pick(vars(one), "decision", "value", "default", "runs", "scheme"),
        **_pick(experiment.config["equivalence"], "prompts", "epochs"),
    }


def network(experiment: Experiment, name: str) -> Job:
    """Of ``steps.record_network``."""
    source = experiment.config["networks"]["read"][name]
    return {**_pick(experiment.config, "seed"), "network": name, "source": source}


def heads(experiment: Experiment, name: str) -> Job:
    """Of ``steps.heads``."""
    tolerance = experiment.config["networks"]["tolerance"]
    return {**_pick(experiment.config, "seed"), "network": name, "tolerance": tolerance}


def universe(experiment: Experiment, fresh: str, name: str) -> Job:
    """Of ``steps.universe``; on fresh runs, unless ``fresh`` is empty."""
    one = _of_universe(experiment, fresh, name)
    cells = []
    for cell in one.cells:
        job = pretrain(one, cell.setting, cell.variant)
        if cell in looked_at(one):
            job["checkpoints"] = sorted({*checkpoints(experiment, cell.setting).values()})
        cells.append(job)
    return {
        "universe": name,
        "data": [data(one, setting) for setting in one.settings],
        "cells": cells,
    }


def _of_universe(experiment: Experiment, fresh: str, name: str) -> Experiment:
    return universe_experiment(experiment, list_universes(experiment)[name], fresh=bool(fresh))


def looked_at(universe: Experiment) -> set[Cell]:
    """The cells of which more than the learning curves are read off."""
    variant = universe.config.get("approximation", {}).get("variant")
    measured = [Cell(setting, variant) for setting in universe.approximation_settings]
    controls = [universe.control_cells(setting) for setting in universe.control_settings]
    return {*measured, *(cell for cells in controls for cell in cells)}


def universe_claims(experiment: Experiment, fresh: str, name: str) -> Job:
    """Of ``steps.universe_claims``, likewise."""
    one = _of_universe(experiment, fresh, name)
    return {
        "universe": name,
        "choices": list_universes(experiment)[name],
        "analyses": list_analyses(experiment),
        "epochs": [
            [share, {setting: checkpoints(experiment, setting)[share] for setting in one.settings}]
            for share in checkpoints(experiment, next(iter(one.settings)))
        ],
        "controls": [controls(one, setting) for setting in one.control_settings],
        "attention_errors": [
            attention_errors(one, setting) for setting in one.approximation_settings
        ],
        "claims": claims(one),
    }


def multiverse(experiment: Experiment) -> Job:
    """Of the steps that make tables of all universes."""
    section = experiment.config["multiverse"]
    return {
        "seed": experiment.config["seed"],
        "space": _pick(section, "decisions", "exclude"),
        "order": list(section["decisions"]),
        "universes": list(list_universes(experiment).values()),
        "confirmed": section["confirmed"],
    }


def equivalence(experiment: Experiment, setting: str, variant: str) -> Job:
    """Of ``steps.equivalence``."""
    return {
        **_layer(experiment, setting, variant),
        **_pick(experiment.config, "seed", "runs"),
        **experiment.config["equivalence"],
    }


def approximation(experiment: Experiment, setting: str) -> Job:
    """Of ``steps.approximation``."""
    return {
        **_layer(experiment, setting, experiment.approximation_variant),
        "seed": experiment.config["seed"],
        **_pick(experiment.config["approximation"], "run", "prompt", "repeats", "d_r", "shown"),
    }


def attention_errors(experiment: Experiment, setting: str) -> Job:
    """Of ``steps.attention_errors``."""
    return {
        **_layer(experiment, setting, experiment.approximation_variant),
        **_pick(experiment.config, "seed", "runs"),
        **_pick(experiment.config["approximation"], "prompts", "draws", "d_r"),
    }


def families(experiment: Experiment, setting: str) -> Job:
    """Of ``steps.families``."""
    return {
        **_layer(experiment, setting, experiment.approximation_variant),
        "seed": experiment.config["seed"],
        **_pick(experiment.config["approximation"], "run", "prompt", "repeats"),
        "d_r": experiment.config["families"]["d_r"],
        "compared": experiment.compared_families,
    }


def family_requirements(experiment: Experiment) -> Job:
    """Of ``steps.family_requirements``."""
    settings = experiment.family_settings
    return {
        "seed": experiment.config["seed"],
        "d": sum(experiment.config["task"].values()),
        "tokens": {name: experiment.settings[name]["demonstrations"] + 1 for name in settings},
        "features": experiment.features(experiment.approximation_variant),
    }


def trajectory(experiment: Experiment, setting: str, variant: str) -> Job:
    """Of ``steps.trajectory``."""
    return {"setting": setting, "variant": variant}


def controls(experiment: Experiment, setting: str) -> Job:
    """Of ``steps.controls``."""
    section = experiment.config["controls"]
    return {
        **_layer(experiment, setting, section["variant"]),
        **_pick(experiment.config, "seed", "runs"),
        "ridge": section["ridge"],
    }


def claims(experiment: Experiment) -> Job:
    """Of ``steps.claims``."""
    variants = [
        {
            "variant": variant.name,
            **_pick(vars(variant), "model", "learning_rate", "settings", "features"),
        }
        for variant in experiment.variants.values()
    ]
    return {
        "d_r": experiment.layers_d_r,
        "settings": experiment.settings,
        "variants": variants,
        "tables": experiment.claim_tables,
    }


def diagram(experiment: Experiment) -> Job:
    """Of ``steps.diagram``."""
    figure = experiment.figures[experiment.diagrams[0]]
    return {
        **_layer(experiment, figure["setting"], figure["variant"]),
        **_pick(figure, "run", "prompt"),
    }


def figure(experiment: Experiment, name: str) -> Job:
    """The figure's own part of the config, and what else its module says that it needs."""
    part = dict(experiment.figures.get(name, {}))
    for key in filter(FIGURES[name].needs, ELSEWHERE):
        part[key] = _elsewhere(experiment, key)
    if name == "figure_5":
        for panel in ("regularized", "augmented", "negative"):
            places = {key: as_list(names) for key, names in part[panel].items()}
            part[panel] = {key: _compared(experiment, names) for key, names in places.items()}
    return part


def _elsewhere(experiment: Experiment, key: str) -> Any:
    """What a figure needs of other parts of the config."""
    if key == "d_r":
        return experiment.layers_d_r
    if key == "features":
        features = experiment.features(experiment.approximation_variant)
        if plug_in_module(features["family"]):  # of one's own, only the table has the default
            return features
        return {"projection": build_family(features).projection} | features
    if key == "epochs":
        return {name: experiment.settings[name]["epochs"] for name in experiment.long_settings}
    return experiment.config[key]


def _layer(experiment: Experiment, setting: str, variant: str) -> Job:
    return {
        "setting": setting,
        "variant": variant,
        "model": experiment.variants[variant].model,
        "features": experiment.features(variant),
    }


def _compared(experiment: Experiment, names: Iterable[str]) -> list[Job]:
    return [
        {
            "variant": one.name,
            **_pick(vars(one), "model", "learning_rate"),
            "features": experiment.features(one.name),
        }
        for name in names
        for one in experiment.named(name)
    ]


def _pick(mapping: Mapping[str, Any], *keys: str) -> Job:
    return {key: mapping[key] for key in keys}
