"""The parts of README.md that are taken from a run: scorecard, figures, contradictions.

    python -m icl_contrastive.report.readme            from results/ (make readme)
    python -m icl_contrastive.report.readme --check    whether they are up to date

A clone has no results. So what a run says is kept in ``workflow/report/summary.json``, with the
config and a digest of the claims that it is about; README.md is written, and checked, from that.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from icl_contrastive.artifacts.files import write_atomically
from icl_contrastive.config import Experiment, read_experiment
from icl_contrastive.figures.wording import many
from icl_contrastive.report.contradictions import read_contradictions
from icl_contrastive.report.page import VERDICTS, Results, label, tally
from icl_contrastive.report.provenance import job_seconds
from icl_contrastive.report.reference import differences, subject
from icl_contrastive.report.text import duration

Summary = dict[str, Any]

_CLAIMS = Path("workflow/claims.yaml")
_CONFIG = Path("config.yaml")
_SCHEMA = Path("workflow/schemas/config.schema.yaml")
_TEXTS = Path("workflow/report")
_SUMMARY = _TEXTS / "summary.json"
_README = Path("README.md")
_WIDTH = 120

_JOB = re.compile(
    r"^    input: (.+)\n    output: (.+)\n(?:    .*\n)*?    benchmark: (.+)$", re.MULTILINE
)
"""A job in what Snakemake prints of it: inputs, outputs, and the file that holds its cost."""


# From a run to its summary


def read_project(project: Path) -> tuple[Experiment, dict[str, Any]]:
    """The project's experiment, and what a run of it is about."""
    config, schema, claims = (
        yaml.safe_load((project / name).read_text("utf-8")) for name in (_CONFIG, _SCHEMA, _CLAIMS)
    )
    experiment = read_experiment(config, schema)
    return experiment, subject(experiment.config, claims)


def summarize(project: Path, jobs: str) -> Summary:
    """What README.md says of the run in ``results``.

    Args:
        project: folder of the project.
        jobs: what ``snakemake --dry-run --forceall`` prints.
    """
    experiment, about = read_project(project)
    results = Results(project / "results", experiment)
    texts = project / _TEXTS
    figures = results.figures(texts)
    seconds = seconds_by_figure(project, results.figure_names, jobs)
    contradictions = read_contradictions(
        texts / "contradictions.yaml", results.evidence(), results.experiment.config
    )
    return {
        **about,
        "claims": [
            {
                "id": one.id,
                "claim": one.claim,
                "kind": one.kind,
                "verdict": one.verdict.name,
                "first_verdict": one.first_verdict,
                "scaled": one.verdict_scaled.name if one.verdict_scaled else "",
            }
            for one in results.claims()
        ],
        "figures": [
            {"name": one.name, "title": one.caption.title, "seconds": round(seconds[one.name])}
            for one in figures
        ],
        "contradictions": [
            {"title": one.title, "handling": one.handling, "number": one.number}
            for one in contradictions
        ],
    }


def seconds_by_figure(project: Path, names: Iterable[str], jobs: str) -> dict[str, float]:
    """For each figure, the time of all jobs that it needs if there is nothing yet."""
    inputs: dict[str, list[str]] = {}
    benchmarks: dict[str, str] = {}
    for read, written, benchmark in _JOB.findall(jobs):
        for file in written.split(", "):
            inputs[file] = read.split(", ")
            benchmarks[file] = benchmark
    found = {}
    for figure in names:
        needed = _needed(f"results/figures/{figure}.png", inputs)
        paths = {benchmarks[file] for file in needed}
        found[figure] = sum(job_seconds(project / path) for path in paths)
    return found


def _needed(target: str, inputs: Mapping[str, Sequence[str]]) -> set[str]:
    """The artifacts that a target is made from, directly or not, with itself."""
    found: set[str] = set()
    waiting = [target]
    while waiting:
        file = waiting.pop()
        if file in inputs and file not in found:
            found.add(file)
            waiting.extend(inputs[file])
    return found


# From the summary to the blocks of README.md


def scorecard(summary: Summary) -> str:
    """How many claims are reproduced, and each claim's verdict."""
    claims = summary["claims"]
    counts, identities, exact = tally((claim["kind"], claim["verdict"]) for claim in claims)
    measured = [claim for claim in claims if claim["kind"] == "measured"]
    scaled = sum(claim["scaled"] == "reproduced" for claim in measured)
    changed = sum(bool(claim["first_verdict"]) for claim in claims)
    counted = ", ".join(f"{count} {name}" for name, count in counts.items())
    rows = (
        (
            f"`{one['id']}`",
            one["claim"],
            one["kind"],
            *(
                f"{VERDICTS[name].sign} {name}" if name else ""
                for name in (one["verdict"], one["scaled"])
            ),
        )
        for one in claims
    )
    paragraph = (
        f"Of {many(sum(counts.values()), 'statement')} of the paper that a run can measure: "
        f"**{counted}**. Apart from these, {exact} of "
        f"{many(identities, 'identity', 'identities')}, which algebra decides whatever the layers "
        f"have learned, {'holds' if exact == 1 else 'hold'} to rounding. This is with keys and "
        f"queries of unit norm; multiplied by d^(−1/4), **{scaled}** of the same {len(measured)} "
        f"are reproduced. The criteria are in `{_CLAIMS}`. They were written before unit norm was "
        f"tried, and have not been changed since; after the first full run, with d^(−1/4), they "
        f"had been for {many(changed, 'statement')}, where it is said how. "
        "The numbers behind the verdicts are in `results/tables/claims.csv`, and on one "
        "page with all figures in `results/report.html` (`make report`)."
    )
    return (
        f"{_wrap(paragraph)}\n\n"
        "<details>\n<summary>Verdict on each statement</summary>\n\n"
        f"{_table(('id', 'statement', 'kind', 'unit norm', 'd^(−1/4)'), rows)}\n\n</details>"
    )


def figures(summary: Summary) -> str:
    """The figures, their targets, what they show and how long they take."""
    rows = (
        (
            label(one["name"]),
            f"`{one['name']}`",
            re.sub(r"^Figure \d+\. ", "", one["title"]).rstrip("."),
            duration(one["seconds"]),
        )
        for one in summary["figures"]
    )
    note = (
        "Time: of all jobs that the figure needs from scratch, one after the other, in the last "
        "full run. Figures share most of their jobs."
    )
    table = _table(("figure", "target", "what it shows", "time"), rows)
    return f"{table}\n\n{_wrap(note)}"


def contradictions(summary: Summary) -> str:
    """The contradictions, what is done about them, and the number of the run."""
    rows = ((one["title"], one["handling"], one["number"]) for one in summary["contradictions"])
    return _table(("contradiction", "what is done here", "in the last full run"), rows)


def _wrap(paragraph: str) -> str:
    return textwrap.fill(paragraph, _WIDTH, break_long_words=False, break_on_hyphens=False)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines
    )


BLOCKS: dict[str, Callable[[Summary], str]] = {
    "scorecard": scorecard,
    "figures": figures,
    "contradictions": contradictions,
}
"""What stands between ``<!-- name:begin -->`` and ``<!-- name:end -->``."""


def fill_in(text: str, summary: Summary) -> str:
    """The text with every block renewed; raises ValueError if one is missing."""
    for name, block in BLOCKS.items():
        pattern = rf"(<!-- {name}:begin -->\n).*?(<!-- {name}:end -->)"
        parts = re.search(pattern, text, re.DOTALL)
        if parts is None:
            raise ValueError(f"no block <!-- {name}:begin --> … <!-- {name}:end -->")
        text = (
            text[: parts.start()] + f"{parts[1]}{block(summary)}\n{parts[2]}" + text[parts.end() :]
        )
    return text


def problems(project: Path) -> list[str]:
    """Why README.md is not up to date; empty if it is."""
    remedy = "run `make readme`"
    path = project / _SUMMARY
    if not path.exists():
        return [f"{_SUMMARY} does not exist: {remedy}"]
    summary = json.loads(path.read_text("utf-8"))
    if differences(read_project(project)[1], summary):
        return [f"{_SUMMARY} is about another {_CONFIG} or {_CLAIMS}: {remedy}"]
    found = []
    text = (project / _README).read_text("utf-8")
    try:
        if fill_in(text, summary) != text:
            found.append(f"{_README} does not say what {_SUMMARY} says: {remedy}")
    except ValueError as error:
        found.append(f"{_README}: {error}")
    return found


def renew(project: Path) -> None:
    """Write the summary of the results, and README.md from it."""
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--forceall", "report_page"]
    done = subprocess.run(  # noqa: S603  # fixed arguments
        command,
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stdout)
    summary = summarize(project, done.stdout)
    text = fill_in((project / _README).read_text("utf-8"), summary)
    _write(project / _SUMMARY, json.dumps(summary, indent=1, ensure_ascii=False) + "\n")
    _write(project / _README, text)


def _write(path: Path, text: str) -> None:
    write_atomically(path, partial(_put, text))


def _put(text: str, path: Path) -> None:
    path.write_text(text, encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> None:
    """Renew or check README.md; ends with the problems if it is not up to date."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, tell what is stale")
    parser.add_argument("--project", type=Path, default=Path(), help="folder of the project")
    arguments = parser.parse_args(argv)
    if not arguments.check:
        renew(arguments.project)
    elif found := problems(arguments.project):
        sys.exit("\n".join(found))


if __name__ == "__main__":
    main()
