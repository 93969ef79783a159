"""From a valid config to what there is to compute: grids become variants, variants cells."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from icl_contrastive.config.figure_files import FIGURES
from icl_contrastive.config.schema import as_list


@dataclass(frozen=True)
class NamedVariant:
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
    """What a config asks for."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Take a config that the schema allows, complete with its defaults."""
        self.config = config
        self.settings: dict[str, dict[str, Any]] = self.config["settings"]
        self.entries = {
            name: expand(name, entry) for name, entry in self.config["variants"].items()
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
    def trajectory_cells(self) -> list[Cell]:
        """The cells whose descent a figure shows."""
        shown = {
            self.figure_cell(name) for name in self.figures if "trajectory" in FIGURES[name].tables
        }
        return [cell for cell in self.cells if cell in shown]

    @property
    def diagram_cell(self) -> Cell | None:
        """The cell whose matrices the diagrams show, if one is drawn."""
        return next(map(self.figure_cell, self.diagrams), None)

    @property
    def approximation_variant(self) -> str:
        """The variant whose weights the estimated attention is measured with."""
        return str(self.config["approximation"]["variant"])

    @property
    def layers_d_r(self) -> int:
        """The d_r of the layers whose estimated attention is measured, or else of all layers."""
        if self.approximation_settings:
            return int(self.features(self.approximation_variant)["d_r"])
        return int(self.config["features"]["d_r"])

    @property
    def approximation_settings(self) -> list[str]:
        """The settings in which the estimated attention is measured."""
        return list(self.config.get("approximation", {}).get("settings", ()))

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
        return list(self.config.get("controls", {}).get("settings", ()))

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
    def networks(self) -> dict[str, dict[str, Any]]:
        """The networks whose heads are looked at, by name; none without the section."""
        read: dict[str, dict[str, Any]] = self.config.get("networks", {}).get("read", {})
        return read

    @property
    def claim_tables(self) -> list[str]:
        """The tables that the claims are judged by."""
        cosine = [f"trajectories/{self.figure_cell('cosine')}"] if "cosine" in self.figures else []
        used = {"pretraining", "equivalence", "attention_errors", "attention_bias"}
        used |= {"controls", "solutions"}
        return [table for table in self.tables if table in {*used, *cosine}]

    @property
    def tables(self) -> list[str]:
        """The tables, by name below their folder."""
        of_sections = [
            (self.approximation_settings, ("approximation", "matrices")),
            (self.approximation_settings, ("attention_errors", "attention_bias")),
            (self.family_settings, ("families", "family_closed_forms", "family_requirements")),
            (self.trained_family_cells, ("family_training",)),
            (self.diagrams, ("diagram",)),
            (self.control_settings, ("controls", "solutions")),
            (self.long_settings, ("training_length",)),
        ]
        return [
            *("pretraining", "equivalence"),
            *(name for asked_for, names in of_sections if asked_for for name in names),
            *(f"pretraining/{one}" for one in self.figures if "pretraining" in FIGURES[one].tables),
            *(f"trajectories/{cell}" for cell in self.trajectory_cells),
        ]

    def figure_table(self, figure: str, table: str) -> str:
        """Name of the table, below the folder of tables, that the figure reads as ``table``."""
        if table == "trajectory":
            return f"trajectories/{self.figure_cell(figure)}"
        return f"pretraining/{figure}" if table == "pretraining" else table

    def curve_cells(self, figure: str) -> list[Cell]:
        """The cells whose learning curves a figure shows."""
        part = self.figures[figure]
        if figure == "multitask":
            return [Cell(part[key], part["variant"]) for key in ("setting", "base")]
        shown = {one.name for one in self.figure_variants(figure)}
        return [
            cell for cell in self.cells if cell.setting == part["setting"] and cell.variant in shown
        ]

    def figure_variants(self, name: str) -> list[NamedVariant]:
        """The variants that a figure compares, and calls by their labels."""
        if name != "figure_5":
            return []
        panels = [self.figures[name][key] for key in ("regularized", "augmented", "negative")]
        names = [one for panel in panels for place in panel.values() for one in as_list(place)]
        return [one for name in names for one in self.named(name)]

    def named(self, name: str) -> list[NamedVariant]:
        """The variants that a name stands for: those of an entry, or one; empty if unknown."""
        if name in self.entries:
            return self.entries[name]
        return [self.variants[name]] if name in self.variants else []

    def figure_cell(self, figure: str) -> Cell:
        """The cell of a figure that shows a single one."""
        return Cell(self.figures[figure]["setting"], self.figures[figure]["variant"])

    @property
    def diagrams(self) -> list[str]:
        """The figures that show the matrices of one prompt."""
        return [name for name in self.figures if "diagram" in FIGURES[name].tables]


def expand(name: str, entry: Mapping[str, Any]) -> list[NamedVariant]:
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
        variants.append(
            NamedVariant(full, model | values, entry["learning_rate"], settings, features)
        )
    return variants
