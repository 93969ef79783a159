"""workflow/docs/results.md, the lines that README.md quotes of it, and the jobs of a run."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from icl_contrastive.config import read_experiment
from icl_contrastive.report.jobs import Job, needed, recorded_jobs
from icl_contrastive.report.page import Results
from icl_contrastive.report.reference import differences, one_key_a_line, subject
from icl_contrastive.report.results_page import PAGE, REFERENCE, quoted, render

from .results import ROOT, write_results


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return write_results(tmp_path_factory.mktemp("results"))


@pytest.fixture
def page(results: Results, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(ROOT)
    return render(results, dict.fromkeys(results.figure_names, 61.0))


def test_the_page_of_this_project_is_about_its_config_and_claims() -> None:
    """After a change of either: make readme."""
    config, schema, claims = (
        yaml.safe_load(_text(name))
        for name in ("config.yaml", "workflow/schemas/config.schema.yaml", "workflow/claims.yaml")
    )
    run = subject(read_experiment(config, schema).config, claims)
    assert differences(run, json.loads(_text(REFERENCE))) == []
    shown = re.findall(
        r"^\| `(\S+)` \|.*\| (?:identity|measured|motivation) \|", _text(PAGE), re.MULTILINE
    )
    assert shown == [claim["id"] for claim in claims["claims"]]


def test_the_readme_quotes_the_page() -> None:
    assert quoted(_text("README.md")) == quoted(_text(PAGE))


def test_the_lines_that_are_quoted_count_the_verdicts(page: str) -> None:
    statements, identities, exploratory, other = quoted(page).splitlines()[1:-1]
    counts = "1 reproduced, 0 partly, 0 inconclusive, 1 contradicted"
    assert statements.endswith(f"in a confirmatory run with a fresh seed:** {counts}.")
    assert statements.startswith("- **2 statements that a run can measure,")
    assert identities.startswith("- **1 identity that algebra decides")
    assert identities.endswith(":** 1 holds to rounding.")
    counts = "0 reproduced, 1 partly, 0 inconclusive, 1 contradicted"
    assert exploratory.endswith(f"were settled: {counts}, 1 not tested.")
    counts = "0 reproduced, 0 partly, 1 inconclusive, 0 contradicted"
    assert other.endswith(f"multiplied by d^(−1/4): {counts}.")


@pytest.mark.slow
def test_without_a_confirmatory_run_its_own_verdicts_are_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    results = write_results(tmp_path / "results", "confirm")
    page = render(results, dict.fromkeys(results.figure_names, 61.0))
    statements, identities, other = quoted(page).splitlines()[1:-1]
    counts = "0 reproduced, 1 partly, 0 inconclusive, 1 contradicted, 1 not tested"
    assert statements == f"- **3 statements that a run can measure:** {counts}."
    assert identities.endswith(":** 1 holds to rounding.")
    assert other.startswith("- **The other reading of section 3.1,**")


def test_the_page_has_every_claim_figure_and_contradiction(results: Results, page: str) -> None:
    assert f"{'| --- ' * 7}|\n| `exact` | The layer is one step" in page
    assert (
        "| `faster` | With negatives the model converges faster. | measured | ✓ reproduced "
        "| ◐ partly | ○ inconclusive | ✗ not reproduced |"
    ) in page
    assert "| `rare` | What no run can tell. | measured |  | – not tested |  |  |" in page
    targets = re.findall(r"^\| [^|`]+ \| `(\w+)` \| .* \| 61 s \|$", page, re.MULTILINE)
    assert targets == results.figure_names
    assert "| Figure 10 | `figure_10` | The prediction of the reference model" in page
    assert len(page.partition("## Where the paper")[2].splitlines()) == 2 + 2 + 8


def test_a_text_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="no lines between <!-- verdicts:begin -->"):
        quoted("# Title\n<!-- verdicts:begin -->\n")


def test_a_difference_at_the_end_of_a_long_value_is_told() -> None:
    here, there = ({"d_r": [*range(10, 40), last]} for last in (1, 2))
    assert len(differences(here, there)) == 1
    assert differences(here, json.loads(one_key_a_line(here))) == []


def job(name: str, inputs: list[str]) -> Job:
    return Job("any", "", inputs, [f"results/{name}"], Path(f"results/logs/{name}.log"))


def test_a_figure_needs_all_that_its_jobs_read() -> None:
    jobs = [
        job("figure", ["results/table", "src/figure.py"]),
        job("table", ["results/data", "results/weights"]),
        job("weights", ["results/data"]),
        job("data", ["src/data.py"]),
        job("other", ["results/data"]),
    ]
    found = [one.outputs[0].removeprefix("results/") for one in needed("results/figure", jobs)]
    assert found[0] == "figure"
    assert sorted(found) == ["data", "figure", "table", "weights"]


def test_the_time_of_a_job_is_that_of_its_benchmark(tmp_path: Path) -> None:
    one = Job("any", "", [], [], tmp_path / "results/logs/tables/a.b.log")
    benchmark = tmp_path / "results/benchmarks/tables/a.b.tsv"
    benchmark.parent.mkdir(parents=True)
    benchmark.write_text("s\th:m:s\n1.5\t0:00:01\n")
    assert one.seconds == 1.5


def test_a_job_that_did_not_run_here_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    head = "output_file\tdate\trule\tlog-file(s)\tinput-file(s)\tshellcmd\tstatus\tplan\n"

    def say(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        row = "results/a.csv\t-\ta\t-\t-\t-\tmissing\tupdate pending\n"
        return subprocess.CompletedProcess([], 0, head + row, "")

    monkeypatch.setattr(subprocess, "run", say)
    with pytest.raises(ValueError, match=r"results/a\.csv has not been made here"):
        recorded_jobs("all")


def _text(name: str | Path) -> str:
    return (ROOT / name).read_text("utf-8")
