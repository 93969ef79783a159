"""The verdicts of all universes on all claims, from which all else is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from icl_contrastive.artifacts.files import load_table
from icl_contrastive.multiverse.judge import HOLDS, NUMBERS, UNTESTED
from icl_contrastive.multiverse.space import Space, Value, changes, universe_name


@dataclass(frozen=True)
class Judged:
    """Universes and what they say.

    Attributes:
        space: what is decided in them.
        universes: the choices of each by name, those after training included.
        trained: which training each is read off.
        rows: universe, trained, id, ours, its interval, p_value, verdict, effects.
    """

    space: Space
    universes: Mapping[str, Mapping[str, Value]]
    trained: Mapping[str, str]
    rows: pd.DataFrame

    @classmethod
    def read(cls, path: Path, config: Mapping[str, Any]) -> Judged:
        """The table of a config with ``space``, the ``order`` of decisions, and ``universes``."""
        rows = load_table(path, ["universe", "trained", "id", *NUMBERS, "verdict", "effects"])
        for name in NUMBERS:
            rows[name] = pd.to_numeric(rows[name])
        space = Space.of(config["space"]).part(config["order"])
        universes, trained = {}, {}
        for choices in config["universes"]:
            for analysis in space.analyzed.universes():
                decided = choices | analysis
                name = universe_name(decided)
                universes[name] = {one: decided[one] for one in space.decisions}
                trained[name] = universe_name(choices)
        return cls(space, universes, trained, rows)

    @property
    def default(self) -> str:
        """The name of the universe of first values."""
        return universe_name(self.space.trained.default | self.space.analyzed.default)

    def verdicts(self) -> pd.DataFrame:
        """Of each universe (rows) on each claim (columns), both in their order."""
        grid = self.rows.pivot(index="universe", columns="id", values="verdict")
        return grid.loc[self.rows["universe"].unique(), self.rows["id"].unique()]

    def together(self) -> pd.DataFrame:
        """universe, trained, changes from the default one; how many claims are tested, and hold.

        A training that failed decides against a claim.
        """
        grid, default = self.verdicts(), self.universes[self.default]
        differ = [len(changes(self.universes[name], default)) for name in grid.index]
        counts = {"tested": (grid != UNTESTED).sum(axis=1), "holds": (grid == HOLDS).sum(axis=1)}
        about = {"trained": grid.index.map(self.trained), "changes": differ}
        return pd.DataFrame(about | counts, index=grid.index).reset_index()
