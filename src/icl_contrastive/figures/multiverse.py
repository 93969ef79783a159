"""The verdict on every claim in every universe, and what is decided in each.

Config: empty. Tables: ``multiverse``, ``universes``, ``multiverse_decisions``.
"""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from icl_contrastive.artifacts.tables import Table
from icl_contrastive.command import Config
from icl_contrastive.figures import style
from icl_contrastive.figures.universes import (
    LOOKS,
    Choices,
    color_of,
    decided_claims,
    draw_no_claim,
    label,
    read_choices,
    read_values,
)
from icl_contrastive.figures.wording import Numbers, percent

_ROW, _VALUE = 0.155, 0.105  # inches
_SIGNED = 40  # columns, at most, that are wide enough for signs

Verdicts = dict[tuple[str, str], str]
"""By universe and claim."""


def draw(
    config: Config, multiverse: Table, universes: Table, multiverse_decisions: Table
) -> Figure:
    """Claims by trained universes, as read off by default; below, a dot for each decision."""
    choices, claims, rows = read_choices(universes), decided_claims(multiverse), multiverse.rows
    if not claims:
        return draw_no_claim()
    keys = zip(rows["universe"], rows["id"], strict=True)
    verdicts: Verdicts = dict(zip(keys, rows["verdict"], strict=True))
    columns = _columns(universes, verdicts, claims)
    decisions = {
        name: values
        for name, values in read_values(multiverse_decisions).items()
        if len({choices[one][name] for one in columns}) > 1
    }
    heights = [_ROW * len(claims), _VALUE * max(1, sum(map(len, decisions.values())))]
    figure = Figure(figsize=(style.PAGE_WIDTH, sum(heights) + 0.6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=heights)
    _draw_verdicts(above, verdicts, claims, columns, _turned_by_reading(multiverse))
    _draw_decisions(below, choices, decisions, columns)
    default = columns.index(next(iter(choices)))
    for axes in (above, below):
        axes.axvspan(
            default - 0.5, default + 0.5, fill=False, linewidth=1.0, zorder=5, clip_on=False
        )
    looks = {name: look for name, look in LOOKS.items() if name in set(rows["verdict"])}
    handles = [
        Patch(facecolor=look.color, edgecolor="black", linewidth=0.4) for look in looks.values()
    ]
    names = [f"{name} ({look.sign})" if look.sign else name for name, look in looks.items()]
    figure.legend(handles, names, loc="outside upper center", ncols=len(names), handlelength=1.2)
    return figure


def _columns(universes: Table, verdicts: Verdicts, claims: list[str]) -> list[str]:
    """The trained universes as read off by default, those first in which most claims hold."""
    first: dict[str, str] = {}
    for name, trained in zip(universes.rows["universe"], universes.rows["trained"], strict=True):
        first.setdefault(trained, name)
    return sorted(
        first.values(),
        key=lambda name: -sum(verdicts[name, claim] == "reproduced" for claim in claims),
    )


def _turned_by_reading(multiverse: Table) -> set[tuple[str, str]]:
    """Universes and claims of trainings in which the claim holds in some readings alone."""
    rows = multiverse.rows.assign(holds=multiverse.rows["verdict"] == "reproduced")
    turned = rows[rows.groupby(["trained", "id"])["holds"].transform("nunique") > 1]
    return set(zip(turned["universe"], turned["id"], strict=True))


def _draw_verdicts(
    axes: Axes,
    verdicts: Verdicts,
    claims: list[str],
    columns: list[str],
    turned: set[tuple[str, str]],
) -> None:
    """A sign on each cell, and a dot where another reading of the same training turns it."""
    for y, claim in enumerate(claims):
        for x, name in enumerate(columns):
            look, corner = LOOKS[verdicts[name, claim]], (x - 0.5, y - 0.5)
            axes.add_patch(
                Rectangle(corner, 1, 1, facecolor=look.color, edgecolor="white", linewidth=0.6)
            )
            if len(columns) <= _SIGNED:
                axes.text(x, y, look.sign, color=look.ink, ha="center", va="center", **style.SMALL)
                if (name, claim) in turned:
                    axes.plot(x + 0.38, y - 0.25, ".", color=look.ink, markersize=2)
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.set_ylim(len(claims) - 0.5, -0.5)
    axes.set_yticks(range(len(claims)), list(map(label, claims)))
    axes.tick_params(length=0, labelbottom=False)
    axes.spines[:].set_visible(False)


def _draw_decisions(
    axes: Axes, choices: Choices, decisions: dict[str, list[str]], columns: list[str]
) -> None:
    labels: list[str] = []
    for decision, values in decisions.items():
        for index, value in enumerate(values):
            having = [x for x, name in enumerate(columns) if choices[name][decision] == value]
            color = style.DARK_GREY if index == 0 else color_of(index)
            axes.plot(having, [len(labels)] * len(having), "o", color=color, markersize=3.2)
            labels.append(f"{decision}: {value}" if index == 0 else value)
        axes.axhline(len(labels) - 0.5, color=style.GREY, linewidth=0.4)
    axes.set_ylim(max(1, len(labels)) - 0.5, -0.5)
    axes.set_yticks(range(len(labels)), labels, fontsize=6)
    axes.tick_params(length=0, labelbottom=False)
    axes.spines[:].set_visible(False)


def caption_numbers(
    config: Config, multiverse: Table, universes: Table, multiverse_decisions: Table
) -> Numbers:
    """In how many universes the claims hold."""
    rows, claims = multiverse.rows, decided_claims(multiverse)
    holds = rows.assign(holds=rows["verdict"] == "reproduced")
    shares = holds.groupby("id", sort=False)["holds"].mean()[claims]
    together = holds.groupby("universe")["holds"].sum()
    return {
        "universes": str(len(universes.rows)),
        "trained": str(universes.rows["trained"].nunique()),
        "claims": str(len(claims)),
        "everywhere": str(int((shares == 1).sum())),
        "somewhere": str(int(((shares > 0) & (shares < 1)).sum())),
        "nowhere": str(int((shares == 0).sum())),
        "most": str(int(together.max())),
        "failed": percent(float((rows["verdict"] == "failed").mean())),
    }
