"""workflow/docs/results.md, written from a finished run, and the lines of it that README.md quotes.

    python -m icl_contrastive.report.results_page     in the project's folder (make readme)

A clone has no results, so what a full run says is kept in that page, and what it was about in
``workflow/report/reference.json``, which the report of another run compares itself with.
"""

import re
import shutil
import sys
from pathlib import Path

import yaml
from jinja2 import Environment

from icl_contrastive.config import read_experiment
from icl_contrastive.figures.wording import many, percent
from icl_contrastive.report.jobs import needed, recorded_jobs
from icl_contrastive.report.page import Results, tallies, templates
from icl_contrastive.report.reference import one_key_a_line, subject
from icl_contrastive.report.text import duration
from icl_contrastive.report.universes import Multiverse, read_multiverse

PAGE = Path("workflow/docs/results.md")
REFERENCE = Path("workflow/report/reference.json")
_TEXTS = Path("workflow/report")


def _templates() -> Environment:
    environment = templates(keep_trailing_newline=True)
    environment.filters |= {"cell": _cell, "duration": duration, "subject": _subject}
    environment.globals |= {"many": many, "percent": percent}
    return environment


def universes(multiverse: Multiverse) -> str:
    """The lines of README.md on the multiverse, with their markers."""
    lines = _templates().get_template("multiverse.md.jinja").render(multiverse=multiverse)
    return lines.rstrip("\n")


def render(results: Results, seconds: dict[str, float]) -> str:
    """The page, in Markdown.

    Args:
        results: the finished run.
        seconds: of each figure, the time of all jobs that it needs.
    """
    claims = results.claims()
    return (
        _templates()
        .get_template("results.md.jinja")
        .render(
            claims=claims,
            tallies=tallies(claims),
            runs=results.experiment.config["runs"],
            figures=results.figures(_TEXTS),
            seconds=seconds,
            contradictions=results.contradictions(_TEXTS),
        )
    )


def quoted(text: str, lines: str = "verdicts") -> str:
    """The lines between the markers, with these; raises ValueError if there are none."""
    begin, end = f"<!-- {lines}:begin -->", f"<!-- {lines}:end -->"
    found = re.search(f"{begin}\n.*?{end}", text, re.DOTALL)
    if found is None:
        raise ValueError(f"no lines between {begin} and {end}")
    return found[0]


def main() -> None:
    """Write the page, README.md and the reference from ``results``."""
    config, schema, claims = (
        yaml.safe_load(Path(name).read_text("utf-8"))
        for name in ("config.yaml", "workflow/schemas/config.schema.yaml", "workflow/claims.yaml")
    )
    results = Results(Path("results"), read_experiment(config, schema))
    try:
        jobs = recorded_jobs("report_page")
    except ValueError as error:
        sys.exit(str(error))
    seconds = {
        name: sum(job.seconds for job in needed(f"results/figures/{name}.png", jobs))
        for name in results.figure_names
    }
    page, readme = render(results, seconds), Path("README.md")
    text = readme.read_text("utf-8")
    PAGE.write_text(page, "utf-8")
    text = text.replace(quoted(text), quoted(page))
    if multiverse := read_multiverse(results.folder / "tables"):
        text = text.replace(quoted(text, "multiverse"), universes(multiverse))
        shutil.copy(results.folder / "figures/multiverse.png", _TEXTS)
    readme.write_text(text, "utf-8")
    REFERENCE.write_text(one_key_a_line(subject(results.experiment.config, claims)), "utf-8")


def _cell(text: str) -> str:
    """As it stands in a table's cell."""
    return text.replace("|", r"\|")


def _subject(title: str) -> str:
    """A figure's title without its number and period."""
    return re.sub(r"^Figure \d+\. ", "", title).rstrip(".")


if __name__ == "__main__":
    main()
