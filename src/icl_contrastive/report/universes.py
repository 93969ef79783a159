"""The multiverse on the report page, and in the lines that README.md quotes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from icl_contrastive.artifacts.files import load_table
from icl_contrastive.figures.wording import number
from icl_contrastive.multiverse import TABLES

LISTED = 600
"""Universes, at most, that are listed one by one; of more, only those read off by default."""


@dataclass(frozen=True)
class ClaimAcross:
    """A claim in all universes.

    Attributes:
        holds, universes: in how many of how many it holds.
        turns: the fewest changes of the default universe that turn its verdict, each in words.
        p_joint: of the joint test, or nothing.
    """

    id: str
    holds: int
    universes: int
    default: str
    turns: list[str]
    p_joint: str


@dataclass(frozen=True)
class UniverseRow:
    """A universe: what is decided, and the place of each claim's verdict among all verdicts."""

    choices: dict[str, str]
    verdicts: list[int]
    holds: int
    command: str


@dataclass(frozen=True)
class Multiverse:
    """What the page shows.

    Attributes:
        claims: those that some universe decides.
        decisions: values by decision, the default first.
        verdicts: their names, which universes refer to by place.
        universes: see `LISTED`.
        trained, total: how many trainings there were, and how many universes.
        matters: the decision that explains most of a claim's number on average, and its share.
        most: how many claims hold together where most do, of how many that are decided.
        best: what is decided there otherwise than by default.
        fresh: how many hold there on fresh runs, and how many of those that held before.
    """

    claims: list[ClaimAcross]
    decisions: dict[str, list[str]]
    verdicts: list[str]
    universes: list[UniverseRow]
    trained: int
    total: int
    matters: tuple[str, float] | None
    most: tuple[int, int]
    best: str
    fresh: tuple[int, int] | None

    @property
    def counts(self) -> tuple[int, int, int]:
        """How many claims hold in all universes, in some, in none."""
        everywhere = sum(one.holds == one.universes for one in self.claims)
        nowhere = sum(one.holds == 0 for one in self.claims)
        return everywhere, len(self.claims) - everywhere - nowhere, nowhere


def read_multiverse(folder: Path) -> Multiverse | None:
    """From the tables in a folder; None as long as they are not all there."""
    paths = {name: folder / f"{name}.csv" for name in (*TABLES, "multiverse_joint")}
    if not all(path.exists() for path in paths.values()):
        return None
    tables = {name: load_table(path) for name, path in paths.items()}
    grid = tables["multiverse"].pivot(index="universe", columns="id", values="verdict")
    names = [name for name in tables["multiverse_tests"]["id"] if set(grid[name]) != {"not tested"}]
    values = tables["multiverse_decisions"].drop_duplicates(["decision", "value"])
    decisions = {
        str(name): list(rows["value"]) for name, rows in values.groupby("decision", sort=False)
    }
    verdicts = list(dict.fromkeys(tables["multiverse"]["verdict"]))
    universes, joint = tables["universes"], tables["multiverse_joint"]
    listed = universes.drop_duplicates("trained") if len(universes) > LISTED else universes
    chosen = joint[joint["fresh_holds"] != ""]
    best = (chosen if len(chosen) else joint).to_dict("records")[0]
    return Multiverse(
        claims=_claims(tables, names),
        decisions=decisions,
        verdicts=verdicts,
        universes=[
            UniverseRow(
                choices={name: row[name] for name in decisions},
                verdicts=[verdicts.index(grid.loc[row["universe"], name]) for name in names],
                holds=int((grid.loc[row["universe"], names] == "reproduced").sum()),
                command=row["command"],
            )
            for row in listed.to_dict("records")
        ],
        trained=universes["trained"].nunique(),
        total=len(universes),
        matters=_what_matters(tables["multiverse_decisions"]),
        most=(int(best["holds"]), int(best["tested"])),
        best=_changes(universes, best["universe"]),
        fresh=(
            None
            if chosen.empty
            else (int(float(best["fresh_holds"])), int(float(best["hold_again"])))
        ),
    )


def _claims(tables: Mapping[str, pd.DataFrame], names: list[str]) -> list[ClaimAcross]:
    flips = dict(iter(tables["multiverse_flips"].groupby("id")))
    return [
        ClaimAcross(
            id=row["id"],
            holds=int(row["holds"]),
            universes=int(row["universes"]) - int(row["not_tested"]),
            default=flips[row["id"]]["default_verdict"].iloc[0],
            turns=[which for which in flips[row["id"]]["which"] if which],
            p_joint=number(float(row["p_joint"])) if row["p_joint"] else "",
        )
        for row in tables["multiverse_tests"].to_dict("records")
        if row["id"] in names
    ]


def _what_matters(decisions: pd.DataFrame) -> tuple[str, float] | None:
    rows = decisions[decisions["total"] != ""].drop_duplicates(["id", "decision"])
    if rows.empty:
        return None
    means = rows["total"].astype(float).groupby(rows["decision"], sort=False).mean()
    return str(means.idxmax()), float(means.max())


def _changes(universes: pd.DataFrame, name: str) -> str:
    """What is decided otherwise than in the first universe, the default one, in words."""
    choices = universes.set_index("universe")["choices"]
    own = str(choices.iloc[0]).split("; ")
    other = [one for one in str(choices[name]).split("; ") if one not in own]
    return "; ".join(other) or "the default universe"
