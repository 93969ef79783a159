"""Names, values and paths that a shell, a template or a terminal would take for something else."""

from __future__ import annotations

import ast
import copy
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from icl_contrastive.config import ConfigError, check_file, read_experiment

from ..project import ROOT, SMOKE, Project

SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text(encoding="utf-8"))
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))

HOSTILE = [
    *("$(touch pwned)", "`touch pwned`", "a;touch pwned", "a&&touch pwned", "a|touch pwned"),
    *(
        "a\ntouch pwned",
        "a' touch pwned '",
        'a" touch pwned "',
        "a > pwned",
        "$PWD",
        "~",
        "!!",
        "a*",
    ),
    *("../pwned", "/pwned", "..", ".", "a/b", "a\\b", "-rf", "--config", "@pwned", "#a", "a b"),
    *("{input}", "{wildcards.setting}", "{__import__('os').system('touch pwned')}", "{{a}}", "%s"),
    *("é", "名前", "\u202egnp", "a\x00b", "\x1b[2J", "a\tb", "", " "),
]

UNQUOTED = {"params.module", "params.device", "params.tables", "params.packages"}
"""A figure's name, one of three words, and options and paths that are quoted already."""


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize(
    "place",
    [
        *("variants/{}", "settings/{}", "figures/{}", "{}", "pretraining/{}"),
        *("execution/device", "features/family", "features/projection", "pretraining/init"),
        *("variants/softmax/model", "variants/softmax/settings", "figures/figure_8/variant"),
        *("approximation/settings", "seed", "families/trained/base", "families/compared/{}"),
    ],
)
def test_a_hostile_word_is_refused_wherever_it_stands(place: str, text: str) -> None:
    config: Any = copy.deepcopy(CONFIG)
    above, _, last = place.rpartition("/")
    part = config
    for key in filter(None, above.split("/")):
        part = part[key]
    entry = {"variants": CONFIG["variants"]["softmax"], "settings": CONFIG["settings"]["n15"]}
    last = last.replace("{}", text)
    part[last] = [text] if last == "settings" else copy.deepcopy(entry.get(above, text))
    with pytest.raises(ConfigError):
        read_experiment(config, SCHEMA)


def test_a_config_file_is_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Snakemake runs values that begin with a question mark as Python, if a file asks for it."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "config.yaml"
    for text in (
        "__use_yte__: true\nseed: ?__import__('os').system('touch pwned')\n",
        "seed: !!python/object/apply:os.system ['touch pwned']\n",
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError):
            check_file(path)
    assert not (tmp_path / "pwned").exists()


def test_snakemake_runs_nothing_that_a_config_says(tmp_path: Path) -> None:
    project = Project.copy(tmp_path / "project")
    with (
        project.appended("config.yaml", "__use_yte__: true"),
        project.edited(
            "config.yaml", "seed: 2023", "seed: ?__import__('os').system('touch pwned')"
        ),
    ):
        done = project.snakemake()
    assert done.returncode != 0
    assert "__use_yte__: not allowed in config.yaml" in done.stdout
    device = "execution={device: $(touch pwned)}"
    done = project.snakemake("--config", device)
    assert done.returncode != 0
    assert "execution.device: '$(touch pwned)' is not allowed; must be one of" in done.stdout
    assert not list(tmp_path.rglob("pwned"))


def test_a_hostile_path_is_a_path(smoke: Project, tmp_path: Path) -> None:
    """Of the project and of the results: a figure is drawn again, and data are drawn anew."""
    name = "a $(touch pwned) `touch pwned` 'b' \"c\" & ; # é 名前 -rf"
    project = Project(tmp_path / name)
    shutil.copytree(smoke.root, project.root)
    figure = project.root / "results/figures/figure_8.png"
    before = figure.read_bytes()
    figure.unlink()
    project.make("figure_8", *SMOKE)
    assert figure.read_bytes() == before
    folder = tmp_path / f"{name} too"
    project.make("results/data/n31.safetensors", *SMOKE, "--directory", folder)
    data = "results/data/n31.safetensors"
    assert (folder / data).read_bytes() == (smoke.root / data).read_bytes()
    assert not list(tmp_path.rglob("pwned"))


def test_a_path_that_snakemake_cannot_format_is_told(tmp_path: Path) -> None:
    done = Project.copy(tmp_path / "{d}").snakemake("--dry-run")
    assert done.returncode != 0
    assert re.fullmatch(r"error: the project lies in '.*\{d\}'; .*\n", done.stdout)


# The sources


def calls(path: Path) -> Iterator[str]:
    """Each function that a file calls and each module that it imports, as they are written."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)
            yield from (f"{word.arg}={ast.unparse(word.value)}" for word in node.keywords)
        elif isinstance(node, ast.Import):
            yield from (f"import {alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield f"import {node.module}"


def test_no_source_runs_text_or_unpickles() -> None:
    forbidden = re.compile(
        r"(eval|exec|compile|__import__)|.*\.(eval|query)"
        r"|import (pickle|marshal|shelve|dill|joblib)"
        r"|(torch|yaml|marshal|pickle|joblib)\.(load|unsafe_load|full_load|load_all)"
        r"|(np|torch)\.(load|save\w*)|.*\.(read|to)_pickle|os\.(system|popen|exec\w+|spawn\w+)|shell=True|allow_pickle=True"
    )
    files = sorted((ROOT / "src").rglob("*.py"))
    assert len(files) > 50
    found = {
        f"{path.name}: {call}"
        for path in files
        for call in calls(path)
        if forbidden.fullmatch(call)
    }
    assert found == set()


def test_rules_run_no_text_as_python_and_quote_what_they_insert() -> None:
    files = [ROOT / "Snakefile", *sorted((ROOT / "workflow/rules").glob("*.smk"))]
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\b(eval|exec|pickle|os\.system|unsafe_load|yaml\.load)\b", text), (
            path
        )
        assert not re.search(r"^ +(script|notebook|wrapper):", text, re.MULTILINE), path
        inserted = re.findall(r"\{((?:input|output|params|log|wildcards|resources)[^{}]*)\}", text)
        unquoted = {field for field in inserted if not field.endswith(":q")} - UNQUOTED
        assert unquoted == set(), path
