"""The report page, Snakemake's own report and the page of results of the smoke run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from snakemake.utils import update_config

from icl_contrastive.config import read_experiment
from icl_contrastive.report.reference import differences, subject
from icl_contrastive.report.results_page import PAGE, REFERENCE, quoted

from ..project import FIGURE_TABLES, ROOT, SMOKE, Project, block


@pytest.fixture(scope="module")
def project(smoke: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy of the smoke run, so that the others find it without what is made here."""
    copy = Project(tmp_path_factory.mktemp("report") / "project")
    shutil.copytree(smoke.root, copy.root)
    return copy


@pytest.fixture(scope="module")
def page(project: Project) -> str:
    project.make("report_page", *SMOKE)
    return (project.root / "results/report.html").read_text("utf-8")


def test_the_page_shows_every_figure_claim_and_contradiction(project: Project, page: str) -> None:
    claims = pd.read_csv(project.root / "results/tables/claims.csv")
    assert len(claims) >= 18
    assert re.findall(r'<tr role="row" id="claim-([^"]+)"', page) == list(claims["id"])
    assert set(re.findall(r'<article class="figure" id="(\w+)"', page)) == set(FIGURE_TABLES)
    contradictions = page[page.index('id="contradictions"') : page.index('id="provenance"')]
    assert contradictions.count("<li>") == 8
    assert "Not measured" not in contradictions


def test_the_page_is_made_once_and_changes_nothing_else(project: Project, page: str) -> None:
    assert page
    assert project.outdated("all", *SMOKE) == {}
    assert project.outdated("report_page", *SMOKE) == {}


def test_a_figure_of_ones_own_is_drawn_and_described(smoke: Project, tmp_path: Path) -> None:
    """The worked example of workflow/docs/extending.md."""
    own, page = Project(tmp_path / "project"), "workflow/docs/extending.md"
    shutil.copytree(smoke.root, own.root)
    module = own.root / "src/icl_contrastive/figures/shares.py"
    module.write_text(block("figure", page), encoding="utf-8")
    caption = own.root / "workflow/report/shares.rst"
    caption.write_text(block("caption", page), encoding="utf-8")
    with own.edited("config.yaml", "\n  figure_1:", "\n  shares: {}\n  figure_1:"):
        assert set(own.outdated("shares", *SMOKE)) == {"figures/shares"}
        own.make("shares", "report_page", *SMOKE)
    text = (own.root / "results/report.html").read_text("utf-8")
    described = text[text.index('<article class="figure" id="shares"') :].partition("</article>")[0]
    for words in ("Where the predictions come from", "in the median", "zero-shot case", "Dots in"):
        assert words in described


def test_an_edit_of_a_caption_makes_the_page_anew(project: Project, page: str) -> None:
    assert page
    with project.appended("workflow/report/figure_3.rst", "More words."):
        assert set(project.outdated("report_page", *SMOKE)) == {"report"}
        assert project.outdated("all", *SMOKE) == {}


@pytest.mark.parametrize("name", ["report.html", "report.zip"])
def test_snakemake_s_own_report_has_the_captions(project: Project, name: str) -> None:
    project.make("--report", name, *SMOKE)
    path = project.root / name
    if path.suffix == ".zip":
        shutil.unpack_archive(path, project.root / "unpacked")
        path = project.root / "unpacked/report/report.html"
    text = path.read_text("utf-8")
    for words in ("Figures of the paper", "Figures beyond the paper", "Verdicts", "Figure 10"):
        assert words in text
    assert "For the prompt that is shown, the layer predicts" in text
    assert re.search(r"over 8 prompts of 2 runs", text)


def test_the_page_of_results_is_written_from_a_run(project: Project, tmp_path: Path) -> None:
    project.make("report_page", *SMOKE)
    root = tmp_path / "project"
    shutil.copytree(project.root, root)
    config = yaml.safe_load((root / "config.yaml").read_text("utf-8"))
    update_config(config, yaml.safe_load((root / "workflow/smoke.yaml").read_text("utf-8")))
    (root / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), "utf-8")
    shutil.copy(ROOT / "README.md", root)
    before = (root / "README.md").read_text("utf-8")
    subprocess.run(
        [sys.executable, "-m", "icl_contrastive.report.results_page"],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root / "src")},
        check=True,
    )
    page, readme = ((root / name).read_text("utf-8") for name in (PAGE, "README.md"))
    assert readme == before.replace(quoted(before), quoted(page))
    (runs,) = re.findall(r"The (\d+) exploratory runs", quoted(page))
    assert int(runs) == config["runs"]
    times = re.findall(r"^\| [^|`]+ \| `(\w+)` \| .* \| (\d+) (?:s|min) \|$", page, re.MULTILINE)
    assert {figure for figure, _ in times} == set(FIGURE_TABLES)
    assert all(int(time) > 0 for _, time in times)
    experiment = read_experiment(
        config, yaml.safe_load((root / "workflow/schemas/config.schema.yaml").read_text("utf-8"))
    )
    reference = json.loads((root / REFERENCE).read_text("utf-8"))
    claims = yaml.safe_load((root / "workflow/claims.yaml").read_text("utf-8"))
    assert differences(subject(experiment.config, claims), reference) == []
