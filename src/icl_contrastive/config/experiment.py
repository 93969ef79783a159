"""From a valid config to what there is to compute, and what each job needs to know.

Grids become variants, and each step and figure gets the part of the config that it uses, so that a
job runs again only when its own part changes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from icl_contrastive.config.ablations import Ablation, list_ablations
from icl_contrastive.config.families import FAMILIES
from icl_contrastive.config.schema import as_list

FIGURE_TABLES: dict[str, tuple[str, ...]] = {
    "figure_1": ("diagram",),
    "figure_2": ("diagram",),
    "figure_3": ("trajectory", "approximation"),
    "figure_4": ("matrices",),
    "figure_5": ("pretraining",),
    "figure_6": ("matrices",),
    "figure_7": ("matrices",),
    "figure_8": ("trajectory",),
    "figure_9": ("matrices",),
    "figure_10": ("trajectory",),
    "multitask": ("pretraining",),
    "cosine": ("trajectory",),
    "families": ("families", "family_closed_forms", "family_requirements"),
    "controls": ("controls",),
    "training_length": ("training_length",),
}
"""The tables that each figure is drawn from."""

FIGURES_WITH_CLAIMS = ("figure_3", "figure_8")
"""The figures whose captions quote numbers of the scorecard."""

FIGURES_WITH_D_R = ("figure_3", "figure_4", "figure_9")
"""The figures that point out the d_r that the layers are trained with."""


@dataclass(frozen=True)
class Variant:
    """One model with all its hyperparameters fixed.

    Attributes:
        model: the hyperparameters, with the kind of layer under ``model``.
        settings: the settings in which it is trained.
        features: keys of the random features that are its own.
    """

    name: str
    model: dict[str, Any]
    learning_rate: float
    settings: tuple[str, ...]
    features: dict[str, Any]

    @property
    def has_features(self) -> bool:
        """Whether it estimates the kernel by random features."""
        return self.model.get("attention") != "exact"


@dataclass(frozen=True)
class Cell:
    """A variant in a setting: one pretraining job."""

    setting: str
    variant: str

    def __str__(self) -> str:
        return f"{self.setting}/{self.variant}"


class Experiment:
    """The jobs that a config asks for, and the part of the config that each of them uses."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Take a config that the schema allows, complete with its defaults."""
        self.config = config
        self.settings: dict[str, dict[str, Any]] = self.config["settings"]
        self.entries = {
            name: _expand(name, entry) for name, entry in self.config["variants"].items()
        }
        self.variants = {v.name: v for entry in self.entries.values() for v in entry}
        self.figures: dict[str, dict[str, Any]] = self.config["figures"]

    # What there is to compute

    @property
    def cells(self) -> list[Cell]:
        """Every variant in every setting that it lists."""
        return [
            Cell(setting, variant.name)
            for setting in self.settings
            for variant in self.variants.values()
            if setting in variant.settings
        ]

    @property
    def dual_cells(self) -> list[Cell]:
        """The cells that have a reference model: exact softmax has no finite φ."""
        return [cell for cell in self.cells if self.has_features(cell.variant)]

    @property
    def trajectory_cells(self) -> list[Cell]:
        """The cells whose descent a figure shows."""
        shown = {
            self.figure_cell(name) for name in self.figures if "trajectory" in FIGURE_TABLES[name]
        }
        return [cell for cell in self.cells if cell in shown]

    @property
    def diagram_cell(self) -> Cell | None:
        """The cell whose matrices the diagrams show, if one is drawn."""
        return next(map(self.figure_cell, self.diagrams), None)

    @property
    def approximation_variant(self) -> str:
        """The variant whose weights the estimated attention is measured with."""
        variant: str = self.config["approximation"]["variant"]
        return variant

    @property
    def layers_d_r(self) -> int:
        """The d_r of the layers whose estimated attention is measured, or else of all layers."""
        if self.approximation_settings:
            d_r: int = self.features(self.approximation_variant)["d_r"]
        else:
            d_r = self.config["features"]["d_r"]
        return d_r

    @property
    def approximation_settings(self) -> list[str]:
        """The settings in which the estimated attention is measured."""
        settings: list[str] = self.config.get("approximation", {}).get("settings", [])
        return settings

    @property
    def family_settings(self) -> list[str]:
        """The settings in which random-feature families are compared."""
        return self.approximation_settings if "families" in self.config else []

    @property
    def trained_family_cells(self) -> list[Cell]:
        """The cells that differ in their random features and are compared, the base first."""
        trained = self.config.get("families", {}).get("trained")
        if trained is None:
            return []
        return [Cell(trained["setting"], name) for name in (trained["base"], *trained["variants"])]

    @property
    def compared_families(self) -> list[dict[str, Any]]:
        """The families that are compared, as entries of features."""
        return [
            {"family": name} | ({} if projection is None else {"projection": projection})
            for name, projections in self.config["families"]["compared"].items()
            for projection in projections or [None]
        ]

    def features(self, variant: str) -> dict[str, Any]:
        """The random features of a variant: its own keys, and otherwise those of all."""
        own, shared = self.variants[variant].features, dict(self.config["features"])
        if own.get("family", shared["family"]) != shared["family"]:
            shared.pop("projection", None)
        return shared | own

    @property
    def control_settings(self) -> list[str]:
        """The settings in which the layer is compared with its controls."""
        settings: list[str] = self.config.get("controls", {}).get("settings", [])
        return settings

    def control_cells(self, setting: str) -> list[Cell]:
        """The cell that the controls look at, and the one with exact softmax if there is one."""
        controls = self.config["controls"]
        names = [controls[key] for key in ("variant", "exact") if key in controls]
        return [Cell(setting, name) for name in names if setting in self.variants[name].settings]

    @property
    def long_settings(self) -> list[str]:
        """The settings in which a variant is trained for long."""
        return list(self.config.get("training_length", {}).get("settings", ()))

    @property
    def ablations(self) -> dict[str, Ablation]:
        """The ablations by name; none without the section."""
        found = list_ablations(self) if "ablations" in self.config else ()
        return {ablation.name: ablation for ablation in found}

    def ablation_paths(self, name: str) -> tuple[str, str]:
        """Data and pretrained file of an ablation; those of the experiment where they serve."""
        ablation, setting = self.ablations[name], self.config["ablations"]["setting"]
        data, pretrained = f"data/{setting}", f"pretrained/{setting}/{ablation.variant}"
        if ablation.data_runs is not None:
            data = f"ablations/data/{ablation.data_runs}_runs"
        if ablation.is_trained:
            pretrained = f"ablations/{name}"
        return f"results/{data}.safetensors", f"results/{pretrained}.safetensors"

    @property
    def claim_tables(self) -> list[str]:
        """The tables that the claims are judged by."""
        cosine = [f"trajectories/{self.figure_cell('cosine')}"] if "cosine" in self.figures else []
        used = {"pretraining", "equivalence", "attention_errors", "controls"}
        return [table for table in self.tables if table in {*used, *cosine}]

    @property
    def tables(self) -> list[str]:
        """The tables, by name below their folder."""
        measured = (
            ["approximation", "matrices", "attention_errors"] if self.approximation_settings else []
        )
        families = ["families", "family_closed_forms", "family_requirements"]
        families = families if self.family_settings else []
        trained = ["family_training"] if self.trained_family_cells else []
        diagram = ["diagram"] if self.diagrams else []
        compared = ["controls"] if self.control_settings else []
        longer = ["training_length"] if self.long_settings else []
        trajectories = [f"trajectories/{cell}" for cell in self.trajectory_cells]
        optional = [*measured, *families, *trained, *diagram, *compared, *longer, *trajectories]
        return ["pretraining", "equivalence", *optional]

    def figure_table(self, figure: str, table: str) -> str:
        """Name of the table, below the folder of tables, that the figure reads as ``table``."""
        return f"trajectories/{self.figure_cell(figure)}" if table == "trajectory" else table

    # What each step needs, as JSON

    def data(self, setting: str) -> str:
        shape = self.settings[setting]
        return _json(
            {
                "seed": self.config["seed"],
                "runs": self.config["runs"],
                "setting": setting,
                "test_prompts": self.config["test_prompts"],
                **{key: shape[key] for key in ("demonstrations", "prompts", "tasks")},
                **self.config["task"],
            }
        )

    def pretrain(self, setting: str, variant: str) -> str:
        return _json(
            {
                **self._layer(setting, variant),
                "seed": self.config["seed"],
                "runs": self.config["runs"],
                "learning_rate": self.variants[variant].learning_rate,
                "epochs": self.settings[setting]["epochs"],
                "checkpoints": self._checkpoints(setting, variant),
                **self.config["pretraining"],
            }
        )

    def _checkpoints(self, setting: str, variant: str) -> list[int]:
        """The epochs after which a variant's weights are kept while it is pretrained."""
        if (
            setting not in self.long_settings
            or variant != self.config["training_length"]["variant"]
        ):
            return []
        kept = self.config["training_length"]["checkpoints"]
        return sorted(epoch for epoch in kept if epoch <= self.settings[setting]["epochs"])

    def long_training(self, setting: str) -> str:
        """That of the pretrained variant, which it goes on with."""
        length = self.config["training_length"]
        job = json.loads(self.pretrain(setting, length["variant"]))
        epochs = max(length["settings"][setting], job["epochs"])
        kept = sorted(epoch for epoch in length["checkpoints"] if epoch <= epochs)
        return _json(job | {"epochs": epochs, "checkpoints": kept})

    def training_length(self, setting: str) -> str:
        return _json({"setting": setting, "runs": self.config["runs"]})

    def ablation_data(self, runs: int) -> str:
        job = json.loads(self.data(self.config["ablations"]["setting"]))
        return _json(job | {"runs": runs})

    def ablation_training(self, name: str) -> str:
        ablation = self.ablations[name]
        job = json.loads(self.pretrain(self.config["ablations"]["setting"], ablation.variant))
        return _json(job | ablation.pretraining | {"runs": ablation.runs, "checkpoints": []})

    def ablation(self, name: str) -> str:
        ablation = self.ablations[name]
        return _json(
            {
                **{key: getattr(ablation, key) for key in ("decision", "value", "default")},
                "runs": ablation.runs,
                "scheme": ablation.scheme,
                **{key: self.config["equivalence"][key] for key in ("prompts", "epochs")},
            }
        )

    def equivalence(self, setting: str, variant: str) -> str:
        return _json(
            {
                **self._layer(setting, variant),
                "seed": self.config["seed"],
                "runs": self.config["runs"],
                **self.config["equivalence"],
            }
        )

    def approximation(self, setting: str) -> str:
        approximation = self.config["approximation"]
        return _json(
            {
                **self._layer(setting, self.approximation_variant),
                "seed": self.config["seed"],
                **{key: approximation[key] for key in ("run", "prompt", "repeats", "d_r", "shown")},
            }
        )

    def attention_errors(self, setting: str) -> str:
        approximation = self.config["approximation"]
        return _json(
            {
                **self._layer(setting, self.approximation_variant),
                "seed": self.config["seed"],
                "runs": self.config["runs"],
                **{key: approximation[key] for key in ("prompts", "draws", "d_r")},
            }
        )

    def families(self, setting: str) -> str:
        approximation = self.config["approximation"]
        return _json(
            {
                **self._layer(setting, self.approximation_variant),
                "seed": self.config["seed"],
                **{key: approximation[key] for key in ("run", "prompt", "repeats")},
                "d_r": self.config["families"]["d_r"],
                "compared": self.compared_families,
            }
        )

    def family_requirements(self) -> str:
        tokens = {name: self.settings[name]["demonstrations"] + 1 for name in self.family_settings}
        return _json(
            {
                "seed": self.config["seed"],
                "d": sum(self.config["task"].values()),
                "tokens": tokens,
                "features": self.features(self.approximation_variant),
            }
        )

    def family_training(self) -> str:
        return _json({"seed": self.config["seed"]})

    def trajectory(self, setting: str, variant: str) -> str:
        return _json({"setting": setting, "variant": variant})

    def controls(self, setting: str) -> str:
        controls = self.config["controls"]
        return _json(
            {
                **self._layer(setting, controls["variant"]),
                "seed": self.config["seed"],
                "runs": self.config["runs"],
                "ridge": controls["ridge"],
            }
        )

    def claims(self) -> str:
        variants = [
            {
                "variant": variant.name,
                "model": variant.model,
                "learning_rate": variant.learning_rate,
                "settings": variant.settings,
                "features": variant.features,
            }
            for variant in self.variants.values()
        ]
        return _json(
            {
                "seed": self.config["seed"],
                "d_r": self.layers_d_r,
                "settings": self.settings,
                "variants": variants,
                "tables": self.claim_tables,
            }
        )

    def diagram(self) -> str:
        figure = self.figures[self.diagrams[0]]
        return _json(
            {
                **self._layer(figure["setting"], figure["variant"]),
                "run": figure["run"],
                "prompt": figure["prompt"],
            }
        )

    def figure_models(self, name: str) -> set[str]:
        """The kinds of model that a figure compares, and calls by their labels."""
        if name != "figure_5":
            return set()
        panels = [self.figures[name][key] for key in ("regularized", "augmented", "negative")]
        names = [one for panel in panels for place in panel.values() for one in as_list(place)]
        return {one.model["model"] for name in names for one in self.named(name)}

    def figure(self, name: str) -> str:
        figure = dict(self.figures[name])
        if name in FIGURES_WITH_D_R:
            figure["d_r"] = self.layers_d_r
        if name == "families":
            features = self.features(self.approximation_variant)
            if features["family"] in FAMILIES:  # of one's own, only the table has the default
                features = {"projection": FAMILIES[features["family"]].projections[0]} | features
            figure["features"] = features
        if name == "multitask":
            figure["task"] = self.config["task"]
        if name == "training_length":
            figure["epochs"] = {name: self.settings[name]["epochs"] for name in self.long_settings}
        if name == "figure_5":
            for panel in ("regularized", "augmented", "negative"):
                places = {key: as_list(names) for key, names in figure[panel].items()}
                figure[panel] = {key: self._compared(names) for key, names in places.items()}
        return _json(figure)

    def _layer(self, setting: str, variant: str) -> dict[str, Any]:
        return {
            "setting": setting,
            "variant": variant,
            "model": self.variants[variant].model,
            "features": self.features(variant),
        }

    def _compared(self, names: Iterable[str]) -> list[dict[str, Any]]:
        return [
            {
                "variant": one.name,
                "model": one.model,
                "learning_rate": one.learning_rate,
                "features": self.features(one.name),
            }
            for name in names
            for one in self.named(name)
        ]

    def named(self, name: str) -> list[Variant]:
        """The variants that a name stands for: those of an entry, or one; empty if unknown."""
        if name in self.entries:
            return self.entries[name]
        return [self.variants[name]] if name in self.variants else []

    def has_features(self, variant: str) -> bool:
        """Whether the variant estimates the kernel by random features."""
        return self.variants[variant].has_features

    def figure_cell(self, figure: str) -> Cell:
        """The cell of a figure that shows a single one."""
        return Cell(self.figures[figure]["setting"], self.figures[figure]["variant"])

    @property
    def diagrams(self) -> list[str]:
        """The figures that show the matrices of one prompt."""
        return [name for name in self.figures if "diagram" in FIGURE_TABLES[name]]


def _expand(name: str, entry: Mapping[str, Any]) -> list[Variant]:
    """The variants of a config entry: one for each point of the grid of its lists."""
    about_training = ("learning_rate", "settings", "features")
    model = {k: v for k, v in entry.items() if k not in about_training}
    grid = {key: value for key, value in model.items() if isinstance(value, list)}
    variants = []
    for point in product(*grid.values()):
        values = dict(zip(grid, point, strict=True))
        suffix = "".join(f"_{key}{value:g}" for key, value in values.items())
        settings, features = tuple(entry["settings"]), entry.get("features", {})
        full = name + suffix
        variants.append(Variant(full, model | values, entry["learning_rate"], settings, features))
    return variants


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True)
