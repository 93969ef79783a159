"""The parts of README.md that come from a run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from icl_contrastive.report import readme
from icl_contrastive.report.readme import BLOCKS, Summary, fill_in, problems, seconds_by_figure

from .results import ROOT, read_config

SUMMARY: Summary = {
    "claims": [
        {
            "id": "one",
            "claim": "|a| is exact.",
            "kind": "identity",
            "verdict": "reproduced",
            "first_verdict": "partly",
            "scaled": "",
        },
        {
            "id": "two",
            "claim": "It is fast.",
            "kind": "measured",
            "verdict": "not reproduced",
            "first_verdict": "",
            "scaled": "reproduced",
        },
    ],
    "figures": [
        {"name": "figure_1", "title": "Figure 1. What it is.", "seconds": 61},
        {"name": "cosine", "title": "Cosines.", "seconds": 600},
    ],
    "contradictions": [{"title": "A is B", "handling": "`a: b`", "number": "It is 2."}],
}
EMPTY = "".join(f"# {name}\n<!-- {name}:begin -->\n<!-- {name}:end -->\n" for name in BLOCKS)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose README.md is up to date."""
    for name in ("config.yaml", "workflow/claims.yaml", "workflow/schemas/config.schema.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    summary = readme.read_project(tmp_path)[1] | SUMMARY
    (tmp_path / "workflow/report").mkdir()
    (tmp_path / "workflow/report/summary.json").write_text(json.dumps(summary))
    (tmp_path / "README.md").write_text(fill_in(EMPTY, summary))
    return tmp_path


def test_the_readme_of_this_project_is_up_to_date() -> None:
    assert problems(ROOT) == []


def test_blocks_hold_what_the_summary_says() -> None:
    text = fill_in(EMPTY, SUMMARY)
    words = " ".join(text.split())
    assert (
        "Of 1 statement of the paper that a run can measure: **0 reproduced, 0 partly, 1 not "
        "reproduced**. Apart from these, 1 of 1 identity, which algebra" in words
    )
    assert (
        "multiplied by d^(−1/4), **1** of the same 1 are reproduced. The criteria are in "
        "`workflow/claims.yaml`. They were written before unit norm was tried" in words
    )
    assert "| `one` | \\|a\\| is exact. | identity | ✓ reproduced |  |" in text
    assert "| `two` | It is fast. | measured | ✗ not reproduced | ✓ reproduced |" in text
    assert "| Figure 1 | `figure_1` | What it is | 61 s |" in text
    assert "| Cosine | `cosine` | Cosines | 10 min |" in text
    assert "| A is B | `a: b` | It is 2. |" in text
    assert fill_in(text, SUMMARY) == text


def test_what_is_around_the_blocks_stays() -> None:
    text = fill_in(f"before\n{EMPTY}after\n", SUMMARY)
    assert text.startswith("before\n# scorecard\n")
    assert text.endswith("<!-- contradictions:end -->\nafter\n")


def test_a_missing_block_is_named() -> None:
    with pytest.raises(ValueError, match="no block <!-- figures:begin -->"):
        fill_in(EMPTY.replace("figures:end", "figure:end"), SUMMARY)


def test_an_up_to_date_readme_has_no_problems(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert problems(project) == []
    readme.main(["--check", "--project", str(project)])
    assert capsys.readouterr().out == ""


def test_a_comment_in_the_config_changes_nothing(project: Path) -> None:
    with (project / "config.yaml").open("a") as file:
        file.write("\n# a comment\n")
    assert problems(project) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "complaint"),
    [
        ("config.yaml", "seed: 2023", "seed: 2024", "about another config.yaml"),
        ("workflow/claims.yaml", "level: 0.05", "level: 0.01", "about another config.yaml"),
        ("README.md", "0 reproduced", "2 reproduced", "README.md does not say"),
        ("workflow/report/summary.json", "It is fast", "It is slow", "README.md does not say"),
        ("README.md", "scorecard:begin", "score:begin", "no block <!-- scorecard:begin"),
    ],
)
def test_what_is_stale_is_told(
    project: Path, file: str, old: str, new: str, complaint: str
) -> None:
    text = (project / file).read_text()
    assert old in text
    (project / file).write_text(text.replace(old, new))
    (found,) = problems(project)
    assert complaint in found
    with pytest.raises(SystemExit, match=complaint):
        readme.main(["--check", "--project", str(project)])


def test_a_project_without_summary_is_told_how_to_get_one(project: Path) -> None:
    (project / "workflow/report/summary.json").unlink()
    (found,) = problems(project)
    assert "make readme" in found


def test_the_time_of_a_figure_is_that_of_all_it_needs(tmp_path: Path) -> None:
    names = list(read_config().figures)
    printed = ["Building DAG of jobs..."]
    for written, read in (
        ("data/n15.safetensors", "src/a.py"),
        ("tables/other.csv", "results/data/n15.safetensors"),
        ("tables/curves.csv", "results/data/n15.safetensors, src/a.py"),
        *((f"figures/{name}.png", "results/tables/curves.csv") for name in names),
    ):
        benchmark = f"results/benchmarks/{written.partition('.')[0]}.tsv"
        printed += [
            "rule any:",
            f"    input: {read}",
            f"    output: results/{written}, results/also/{written}",
            "    log: results/logs/any.log",
            "    jobid: 1",
            f"    benchmark: {benchmark}",
            "    reason: Forced execution\n",
        ]
        (tmp_path / benchmark).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / benchmark).write_text("s\n10\n" if "tables" in benchmark else "s\n1.5\n")
    found = seconds_by_figure(tmp_path, names, "\n".join(printed))
    assert found == dict.fromkeys(names, 1.5 + 10 + 1.5)
