"""What claims are judged by: the tables of a run, and which of its cells a claim speaks of."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from icl_contrastive.artifacts.tables import KIND_OF

Array = npt.NDArray[np.float64]
Query = Mapping[str, Any]
Scale = Literal["ratio", "number", "largest"]

_GRID_KEYS = ("alpha", "k", "beta")
_SIGNS = {"> 0": (0, math.inf), "< 0": (-math.inf, 0)}
_SYMBOLS = {"alpha": "α", "beta": "β"}


Over = Literal["trend", "mean"]
"""What is asked of a grid: the factor at the end of its trend, or the geometric mean."""

FLOOR = 1e-3
"""Of the variance of the labels: errors below it are alike, as they are in any figure."""

KERNEL_LAYER: Query = {"model": "softmax", "attention": "kernel", "features": {}}
"""The plain layer with the features of the whole experiment."""


class NotTestableError(LookupError):
    """The run lacks what a claim is about; the message is the reason."""


@dataclass(frozen=True)
class Effect:
    """A quantity that a claim, or one part of it, is about.

    Attributes:
        label: which part, such as ``epochs``.
        values: one for each run, in the order of the runs.
        scale: ``ratio``, positive and averaged in logarithms; ``number``, averaged as it is;
            ``largest``, of which the largest counts and for which there is neither interval nor
            test.
        role: ``tested``, what the criterion asks for; ``of the grid``, a single variant of a grid
            that is judged as a whole; ``beside``, told and not judged. The claim's number is that
            of its first tested part.
    """

    label: str
    values: Array
    scale: Scale = "number"
    role: Literal["tested", "of the grid", "beside"] = "tested"

    @property
    def on_scale(self) -> Array:
        """The values as they are averaged."""
        return np.log(self.values) if self.scale == "ratio" else self.values

    @property
    def mean(self) -> float:
        """Over the runs, of ratios the geometric one."""
        mean = float(self.on_scale.mean())
        return float(np.exp(mean)) if self.scale == "ratio" else mean


@dataclass(frozen=True)
class Model:
    """A variant of the config as a claim may ask for it."""

    name: str
    hyperparameters: dict[str, Any]
    learning_rate: float
    settings: tuple[str, ...]

    def matches(self, query: Query) -> bool:
        """Whether the hyperparameters are those asked for, or of the sign asked for."""
        for key, wanted in query.items():
            value = self.hyperparameters.get(key)
            if isinstance(wanted, str) and wanted in _SIGNS:
                low, high = _SIGNS[wanted]
                if value is None or not low < value < high:
                    return False
            elif value != wanted:
                return False
        return True

    @property
    def point(self) -> dict[str, Any]:
        """Where in a grid it lies."""
        return {key: self.hyperparameters.get(key) for key in _GRID_KEYS}

    @property
    def label(self) -> str:
        """Its place in a grid in words, or its name."""
        point = [(key, value) for key, value in self.point.items() if value is not None]
        return ", ".join(f"{_SYMBOLS.get(k, k)} = {v:g}" for k, v in point) or self.name


class Evidence:
    """The tables of a run and the part of its config that says what their rows are."""

    def __init__(self, config: Mapping[str, Any], tables: Mapping[str, pd.DataFrame]) -> None:
        """Take tables by name below their folder, all fields text; names as in the config.

        Args:
            config: ``settings`` by name, ``variants`` (a list of ``variant``, ``model``,
                ``learning_rate``, ``settings``, ``features`` where a variant has its own), and
                ``d_r``, that of the trained layers.
            tables: see ``load_table``.
        """
        self.d_r: int = config["d_r"]
        self._settings: dict[str, dict[str, Any]] = config["settings"]
        self._models = [
            Model(
                one["variant"],
                one["model"] | {"features": one.get("features", {})},
                one["learning_rate"],
                tuple(one["settings"]),
            )
            for one in config["variants"]
        ]
        self._tables = {name: _typed(table) for name, table in tables.items()}

    def has(self, name: str) -> bool:
        """Whether there is the table."""
        return name in self._tables

    def table(self, name: str, **where: object) -> pd.DataFrame:
        """Rows of a table whose columns have these values; NotTestableError if there are none."""
        if not self.has(name):
            raise NotTestableError(f"there is no table {name}")
        rows = self._tables[name]
        for column, value in where.items():
            rows = rows[rows[column] == value]
        if rows.empty:
            wanted = ", ".join(f"{column} = {value}" for column, value in where.items())
            raise NotTestableError(f"the table {name} has no row with {wanted}")
        return rows

    def setting(self, query: Query) -> str:
        """The first setting that has what is asked for; one shared task unless that is asked."""
        query = {**query, "tasks": query.get("tasks", "shared")}
        for name, shape in self._settings.items():
            if all(shape.get(key) == value for key, value in query.items()):
                return name
        raise NotTestableError(f"no setting has {describe(query)}")

    def models_if_any(self, query: Query, setting: str) -> list[Model]:
        """The variants of the setting that have the hyperparameters asked for."""
        return [m for m in self._models if setting in m.settings and m.matches(query)]

    def models(self, query: Query, setting: str) -> list[Model]:
        """The same, at least one; raises NotTestableError for none."""
        if not (found := self.models_if_any(query, setting)):
            raise NotTestableError(f"no variant of setting {setting} has {describe(query)}")
        return found

    def base(self, model: Model, query: Query, setting: str) -> Model:
        """What a model is compared with: a variant with its learning rate.

        Where several have what is asked for, the one at the same place in its grid.
        """
        found = [m for m in self.models(query, setting) if m.learning_rate == model.learning_rate]
        if len(found) > 1:
            found = [m for m in found if m.point == model.point]
        if not found:
            raise NotTestableError(
                f"{model.name} has no counterpart in setting {setting} with {describe(query)} and "
                f"learning rate {model.learning_rate:g}"
            )
        return found[0]


def of_grid(effects: Sequence[Effect], over: Over) -> Effect:
    """A grid's ratios as one, run by run.

    ``trend``: where the least-squares line log ratio = b · step through the plain layer, which is
    step 0, ends; the grid's sizes, whatever they are, are steps 1, 2, … ``mean``: the geometric
    mean.
    """
    logs = np.stack([effect.on_scale for effect in effects])  # (grid, runs)
    weights = np.arange(1, len(logs) + 1) if over == "trend" else np.ones(len(logs))
    label = "end of the grid's trend" if over == "trend" else "mean of the grid"
    return Effect(label, np.exp(weights[-1] * (weights @ logs) / (weights @ weights)), "ratio")


def by_run(rows: pd.DataFrame, value: str, statistic: str) -> Array:
    """One number for each run, in the order of the runs."""
    return np.asarray(rows.groupby("run", sort=True)[value].agg(statistic), np.float64)


def describe(query: Query) -> str:
    """A query in words: ``model regularized, form eq15, alpha > 0``."""
    if query == KERNEL_LAYER:
        return "the plain layer"
    return ", ".join(f"{key} {value}" for key, value in query.items())


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    """Numbers for the text of all columns that hold them; an empty field is NaN."""
    columns = {
        name: column if KIND_OF.get(str(name)) is str else pd.to_numeric(column)
        for name, column in table.items()
    }
    return pd.DataFrame(columns)
