"""The worked example of workflow/docs/reuse.md: another workflow takes this one in."""

from __future__ import annotations

import re

import pytest
import yaml

from ..project import NOTHING, ROOT, Project, block

PAGE = "workflow/docs/reuse.md"
SMOKE = yaml.safe_load((ROOT / "workflow/smoke.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def outer(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A workflow with this project as its module, in a folder below it."""
    outer = Project(tmp_path_factory.mktemp("outer"))
    Project.copy(outer.root / "icl")
    (outer.root / "Snakefile").write_text(block("module", PAGE), encoding="utf-8")
    (outer.root / "mine.yaml").write_text(block("module-config", PAGE), encoding="utf-8")
    return outer


def test_a_module_computes_what_the_project_does(outer: Project, smoke: Project) -> None:
    (outer.root / "mine.yaml").write_text(yaml.safe_dump({"icl": SMOKE}), encoding="utf-8")
    outer.make()
    made = Project(outer.root / "paper").artifacts()
    assert "figures/figure_8.pdf" in made
    theirs = smoke.artifacts()
    assert {name for name in made if made[name] != theirs[name]} == set()
    table = (outer.root / "paper/results/tables/trajectories/n31/softmax.csv").read_text()
    assert (outer.root / "last_predictions.csv").read_text() == table.splitlines()[-1] + "\n"
    assert not (outer.root / "results").exists()
    assert NOTHING in outer.make()
    with outer.appended("icl/src/icl_contrastive/figures/figure_8.py", "# an edit"):
        plan = outer.make("--dry-run", "--quiet", "rules")
    assert set(re.findall(r"^(icl_\w+) +\d+$", plan, re.MULTILINE)) == {"icl_figure_8"}


def test_the_outer_workflow_changes_config_and_rules(outer: Project) -> None:
    plan = outer.make("--dry-run", "--printshellcmds", "icl_figure_8", "icl_report_page")
    assert plan.count("mem_mb=3000") == plan.count("rule icl_pretrain:") > 0
    assert '"runs": 3' in plan
    assert re.search(r"output: paper/results/report.html", plan)
    outside = re.findall(r"^    (?:output|log|benchmark): (?!paper/)(.*)$", plan, re.MULTILINE)
    assert outside == []


def test_a_wrong_key_of_the_outer_workflow_is_told(outer: Project) -> None:
    (outer.root / "mine.yaml").write_text("icl: {rnus: 3}", encoding="utf-8")
    done = outer.snakemake()
    assert done.returncode != 0
    assert "  rnus: unknown key; must be one of seed, runs" in done.stdout
    assert "Traceback" not in done.stdout


def test_commands_of_other_rules_are_left_alone(outer: Project) -> None:
    (outer.root / "beside.py").write_text("print('found')", encoding="utf-8")
    (outer.root / "script.py").write_text("import beside", encoding="utf-8")
    rule = "rule own:\n    output: 'own.txt'\n    shell: 'python script.py > {output}'\n"
    with (outer.root / "Snakefile").open("a", encoding="utf-8") as file:
        file.write(rule)
    outer.make("own")
    assert (outer.root / "own.txt").read_text() == "found\n"
