"""Verdicts and decisions as the figures of the multiverse draw them."""

from typing import NamedTuple

from matplotlib.figure import Figure

from icl_contrastive.artifacts.tables import Table
from icl_contrastive.figures import style


class Look(NamedTuple):
    """How a verdict is drawn: its color, and a sign on it for grey print."""

    color: str
    sign: str
    ink: str


LOOKS = {
    "reproduced": Look(style.BLUE, "+", "white"),
    "partly": Look(style.SKY, "±", "black"),
    "inconclusive": Look("#D9D9D9", "?", "black"),
    "contradicted": Look(style.VERMILLION, "−", "white"),
    "failed": Look(style.BLACK, "×", "white"),
    "not tested": Look("#FFFFFF", "", "black"),
}
"""By verdict, the best first."""

VALUE_COLORS = ("#C8C8C8", style.BLUE, style.VERMILLION, style.GREEN, style.PURPLE, style.ORANGE)
"""Of the values of a decision, the default first."""


Choices = dict[str, dict[str, str]]
"""The value of each decision, by universe."""


def read_choices(universes: Table) -> Choices:
    """What is decided in each universe, the default universe first."""
    rows = zip(universes.rows["universe"], universes.rows["choices"], strict=True)
    return {name: dict(one.split(" = ") for one in text.split("; ")) for name, text in rows}


def read_values(multiverse_decisions: Table) -> dict[str, list[str]]:
    """The values of each decision that has several, in the order of the config."""
    rows = multiverse_decisions.rows.drop_duplicates(["decision", "value"])
    values = {str(name): list(one["value"]) for name, one in rows.groupby("decision", sort=False)}
    return {name: several for name, several in values.items() if len(several) > 1}


def color_of(index: int) -> str:
    """Of a value by its place among those of its decision."""
    return VALUE_COLORS[index % len(VALUE_COLORS)]


def label(claim: str) -> str:
    """A claim's name in words."""
    return claim.replace("_", " ")


def decided_claims(multiverse: Table) -> list[str]:
    """The claims that are tested in some universe, in the order of the table."""
    rows = multiverse.rows
    return list(rows.loc[rows["verdict"] != "not tested", "id"].unique())


def draw_no_claim() -> Figure:
    """What stands for a figure whose claims are none."""
    figure = Figure(figsize=(style.PAGE_WIDTH, 0.4), layout="constrained")
    text = "none of the claims has a number in these universes: their variants are others"
    figure.text(0.5, 0.5, text, ha="center", va="center")
    return figure
