"""The report page: one HTML file that needs nothing else, for one who has not read the code."""

import base64
import hashlib
import struct
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from icl_contrastive.artifacts.files import load_table
from icl_contrastive.claims import OTHER_RUNS, combined
from icl_contrastive.config import FIGURES, Experiment, jobs
from icl_contrastive.figures.wording import many, number
from icl_contrastive.report.captions import Caption, caption_numbers, read_claimed, write_caption
from icl_contrastive.report.contradictions import Contradiction, read_contradictions
from icl_contrastive.report.provenance import Provenance
from icl_contrastive.report.text import duration, mathematical, moment
from icl_contrastive.report.universes import read_multiverse


@dataclass(frozen=True)
class Mark:
    """How readers see a verdict: never by its color alone."""

    name: str
    word: str
    sign: str
    meaning: str

    @property
    def css(self) -> str:
        """Name of its class in the style sheet."""
        return self.name.replace(" ", "-")


VERDICTS = {
    verdict.name: verdict
    for verdict in (
        Mark("reproduced", "Reproduced", "✓", "shown to be as the criterion asks"),
        Mark(
            "partly", "Partly", "◐", "shown in part, in a weaker form, or with a negligible effect"
        ),
        Mark("inconclusive", "Inconclusive", "○", "neither it nor its opposite is shown"),
        Mark("contradicted", "Contradicted", "✗", "shown not to be so"),
        Mark("not tested", "Not tested", "–", "this run lacks what the test needs"),
    )
}
"""In the order in which they are counted."""


@dataclass(frozen=True)
class Beside:
    """Number and verdict of another run; one by earlier criteria may have a word of its own."""

    ours: str
    verdict: str

    @property
    def mark(self) -> Mark:
        """How the verdict is seen."""
        return VERDICTS.get(self.verdict, Mark(self.verdict, self.verdict.capitalize(), "✗", ""))


@dataclass(frozen=True)
class Place:
    """Where to look: a figure of the page, or a table."""

    text: str
    figure: str | None


@dataclass(frozen=True)
class ClaimRow:
    """A row of the scorecard, ready to be shown."""

    id: str
    statement: str
    section: str
    claim: str
    kind: str
    paper: str
    measure: str
    criterion: str
    ours: str
    interval: str
    p_value: str
    verdict: Mark
    places: list[Place]
    note: str
    changed: str
    first_verdict: str
    beside: dict[str, Beside]


@dataclass(frozen=True)
class FigureEntry:
    """A figure of the page: image, caption, and the claims that point to it."""

    name: str
    label: str
    caption: Caption
    source: str
    width: int
    height: int
    claims: list[ClaimRow]


@dataclass(frozen=True)
class Results:
    """A run's folder of results and the experiment that it belongs to."""

    folder: Path
    experiment: Experiment

    def table(self, name: str) -> Path:
        """Path of a table by its name below their folder."""
        return self.folder / "tables" / f"{name}.csv"

    def contradictions(self, texts: Path) -> list[Contradiction]:
        """Those listed in a folder, with this run's numbers."""
        path = texts / "contradictions.yaml"
        return read_contradictions(path, read_claimed(self.table("claims")), self.experiment.config)

    def claims(self) -> list[ClaimRow]:
        """The scorecard; empty where the run has none."""
        path = self.table("claims")
        if not path.exists():
            return []
        return [_claim_row(row, self.experiment) for row in load_table(path).to_dict("records")]

    @property
    def figure_names(self) -> list[str]:
        """The figures of the config, in its order, and those apart that have been made."""
        made = [name for name in _APART if self._image(name).exists()]
        return [*self.experiment.figures, *made]

    def figures(self, captions: Path) -> list[FigureEntry]:
        """What the page shows of each figure."""
        claims = self.claims()
        return [self._figure(name, captions, claims) for name in self.figure_names]

    def _image(self, figure: str) -> Path:
        return self.folder / "figures" / f"{figure}.png"

    def _figure(self, name: str, captions: Path, claims: Sequence[ClaimRow]) -> FigureEntry:
        experiment = self.experiment
        config = jobs.as_json(jobs.figure(experiment, name))
        tables = {
            option: self.table(experiment.figure_table(name, option))
            for option in FIGURES[name].tables
        }
        if FIGURES[name].quotes_claims:
            tables["claims"] = self.table("claims")
        template = captions / f"{name}.rst"
        image = self._image(name).read_bytes()
        width, height = struct.unpack(">II", image[16:24])  # of the PNG's header
        return FigureEntry(
            name=name,
            label=label(name),
            caption=write_caption(
                template.read_text(encoding="utf-8") if template.exists() else "",
                name,
                experiment.config,
                caption_numbers(name, config, tables),
            ),
            source=f"data:image/png;base64,{base64.b64encode(image).decode()}",
            width=width,
            height=height,
            claims=[row for row in claims if name in {place.figure for place in row.places}],
        )


_APART = (
    *("ablations", "heads", "heads_share"),
    *("multiverse", "multiverse_decisions", "multiverse_curves"),
)
"""Figures that are no part of the whole run."""


def label(figure: str) -> str:
    """A figure's name as it is spoken of: ``Figure 3``, ``Training length``."""
    return figure.replace("_", " ").capitalize()


def _claim_row(row: Mapping[Any, str], experiment: Experiment) -> ClaimRow:
    ours, low, high, p_value, corrected, opposite = (
        number(float(row[name] or "nan"))
        for name in (
            *("ours", "interval_low", "interval_high"),
            *("p_value", "p_corrected", "p_opposite"),
        )
    )
    texts = ("id", "statement", "section", "claim", "kind", "paper", "measure", "criterion")
    may_be_absent = ("note", "changed", "first_verdict")
    p_values = f"{p_value}, corrected {corrected}; of the opposite, corrected {opposite}"
    return ClaimRow(
        **{name: row[name] for name in texts},
        **{name: row.get(name, "") for name in may_be_absent},
        ours=ours if row["ours"] else "",
        beside={
            run: Beside(number(float(row[f"ours_{run}"] or "nan")), verdict)
            for run in OTHER_RUNS
            if (verdict := row.get(f"verdict_{run}"))
        },
        interval=f"{low} to {high}" if row["interval_low"] else "",
        p_value=p_values if row["p_value"] else "",
        verdict=VERDICTS[row["verdict"]],
        places=[_place(text, experiment) for text in row["where"].split(", ") if text],
    )


def _place(text: str, experiment: Experiment) -> Place:
    name, _, part = text.partition(" ")
    if name not in experiment.figures:
        return Place(text, None)
    return Place(f"{label(name)} {part}".strip(), name)


def count_verdicts(names: Iterable[str]) -> dict[str, int]:
    """How many there are of each verdict, none left out but ``not tested`` if there is none."""
    counts = Counter(names)
    return {name: counts[name] for name in VERDICTS if counts[name] or name != "not tested"}


class Tally(NamedTuple):
    """The verdicts of a scorecard, counted by the paper's statements.

    Algebra decides an identity, whatever the layers have learned, so these are counted apart.

    Attributes:
        measured: how many there are of each verdict on what is measured.
        identities: how many identities were tested.
        exact: how many of these hold to rounding.
    """

    measured: dict[str, int]
    identities: int
    exact: int


def tally(verdicts: Iterable[tuple[str, str, str]]) -> Tally:
    """Count statements; each claim is given by its kind, its statement and its verdict's name."""
    kinds: dict[str, dict[str, list[str]]] = {"measured": {}, "identity": {}}
    for kind, statement, verdict in verdicts:
        if kind in kinds:
            kinds[kind].setdefault(statement, []).append(verdict)
    measured, identities = ([combined(one) for one in kinds[kind].values()] for kind in kinds)
    tested = [verdict for verdict in identities if verdict != "not tested"]
    return Tally(count_verdicts(measured), len(tested), tested.count("reproduced"))


def tallies(claims: Sequence[ClaimRow]) -> dict[str, Tally]:
    """That of this run, ``here``, and of those whose verdicts stand beside it."""
    counted = {"here": tally((one.kind, one.statement, one.verdict.name) for one in claims)}
    for run in OTHER_RUNS:
        rows = [one for one in claims if run in one.beside]
        if rows and run != "before":  # which had other criteria, and was counted otherwise
            counted[run] = tally((one.kind, one.statement, one.beside[run].verdict) for one in rows)
    return counted


def render(
    results: Results,
    texts: Path,
    statistics: Mapping[str, float],
    provenance: Provenance,
    differences: Sequence[str],
) -> str:
    """The page as HTML.

    Args:
        results: the finished run.
        texts: the folder of the captions' templates and of the list of contradictions.
        statistics: how the claims were tested, from their list.
        provenance: see `trace`.
        differences: in what the run differs from the full one; none if it is that one.
    """
    environment = templates(autoescape=True)
    environment.filters |= {"mathematical": mathematical, "duration": duration, "moment": moment}
    environment.globals |= {"many": many}
    style, script = (_inline(name) for name in ("style.css", "script.js"))
    claims = results.claims()
    figures = results.figures(texts)
    return environment.get_template("page.html.jinja").render(
        style=style,
        script=script,
        policy=_policy(style, script),
        statistics=statistics,
        verdicts=VERDICTS,
        claims=claims,
        tallies=tallies(claims),
        changed=sum(bool(claim.changed) for claim in claims),
        counts=count_verdicts(claim.verdict.name for claim in claims),
        of_the_paper=[one for one in figures if one.name.startswith("figure_")],
        others=[one for one in figures if not one.name.startswith("figure_")],
        contradictions=results.contradictions(texts),
        multiverse=read_multiverse(results.folder / "tables"),
        provenance=provenance,
        differences=differences,
        experiment=results.experiment,
    )


def templates(**settings: Any) -> Environment:
    """Those beside this module, of both pages."""
    return Environment(  # noqa: S701  # Markdown needs no escapes
        loader=FileSystemLoader(Path(__file__).with_name("page")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        **settings,
    )


def _inline(name: str) -> Markup:
    path = Path(__file__).with_name("page") / name
    return Markup(path.read_text(encoding="utf-8"))  # noqa: S704  # our own file


def _policy(style: str, script: str) -> str:
    """Content security policy: nothing is loaded, and nothing runs but the page's own code."""
    digests = {
        name: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for name, text in (("style-src", style), ("script-src", script))
    }
    own = "; ".join(f"{name} 'sha256-{digest}'" for name, digest in digests.items())
    return f"default-src 'none'; img-src data:; {own}; base-uri 'none'; form-action 'none'"
