"""What runs again after a change, and what does not."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from icl_contrastive.closure import import_closure

from ..project import FIGURE_TABLES, NOTHING, ROOT, SMOKE, Project

Outdated = Callable[..., dict[str, str]]

FAMILY_TABLES = ("tables/families", "tables/family_closed_forms", "tables/family_requirements")
DATA = "results/data/n31.safetensors"
LAST = {"tables/effects", "tables/claims", "manifest"}
"""What hangs on nearly everything."""


@pytest.fixture
def outdated(smoke: Project) -> Outdated:
    """The jobs that would run under the smoke configuration, with the reason."""
    return partial(smoke.outdated, *SMOKE)


@pytest.fixture
def with_config(outdated: Outdated, tmp_path: Path) -> Callable[[str], set[str]]:
    """The jobs that would run after an edit of the config, given as YAML that overrides it."""

    def run(text: str) -> set[str]:
        override = tmp_path / "override.yaml"
        override.write_text(text, encoding="utf-8")
        return set(outdated(override)) - LAST

    return run


FIGURE_5 = {"tables/pretraining/figure_5", "figures/figure_5"}


def inside(jobs: set[str], folder: str) -> set[str]:
    """Those of the jobs whose results are in a folder."""
    return {job for job in jobs if job.startswith(f"{folder}/")}


def drawn_from(*tables: str) -> set[str]:
    """The figures that read one of the tables."""
    return {f"figures/{name}" for name, read in FIGURE_TABLES.items() if set(tables) & set(read)}


def made(smoke: Project, folder: str) -> set[str]:
    """The jobs whose results are in a folder."""
    results = smoke.root / "results"
    return {
        str(path.relative_to(results).with_suffix(""))
        for path in (results / folder).rglob("*.*")
        if not path.stem.endswith("_matrices")
    } - LAST


def test_a_second_run_does_nothing(outdated: Outdated) -> None:
    assert outdated() == {}


def test_a_touch_reruns_nothing(smoke: Project, outdated: Outdated) -> None:
    for name in ("Snakefile", "config.yaml", "workflow", "src", "results"):
        for path in [smoke.root / name, *(smoke.root / name).rglob("*")]:
            path.touch()
    assert outdated() == {}
    # Snakemake by itself takes no checksum of a file above the limit: here, of any.
    assert outdated("--max-checksum-file-size", "1") == {}


def test_a_move_reruns_nothing(smoke: Project, tmp_path: Path) -> None:
    moved = Project(tmp_path / "elsewhere")
    shutil.copytree(smoke.root, moved.root)
    assert moved.outdated(*SMOKE) == {}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (("project", "project/results/smoke"), ("a/b/project", "a/b/project/results/smoke")),
        (("project", "disk/work"), ("a/b/project", "disk/work")),
        (("project", "disk/work"), ("project", "a/b/work")),
    ],
    ids=["as make smoke has them", "the project", "the results"],
)
def test_a_move_reruns_nothing_of_results_that_lie_apart(
    tmp_path: Path, before: tuple[str, str], after: tuple[str, str]
) -> None:
    """Another mount of a folder shows as a move of it."""
    old, new = ([tmp_path / name for name in names] for names in (before, after))
    Project.copy(old[0]).make(DATA, *SMOKE, "--directory", old[1])
    for source, target in zip(old, new, strict=True):
        if not target.exists():
            target.parent.mkdir(parents=True)
            source.rename(target)
    moved, there = Project(new[0]), (DATA, *SMOKE, "--directory", new[1])
    assert moved.outdated(*there) == {}
    with moved.appended("src/icl_contrastive/tasks.py", "# an edit"):
        assert set(moved.outdated(*there)) == {"data/n31"}


def test_results_that_are_put_apart_are_not_made_again(smoke: Project, tmp_path: Path) -> None:
    apart = tmp_path / "disk/work"
    for name in ("results", ".snakemake"):
        shutil.copytree(smoke.root / name, apart / name)
    there = (*SMOKE, "--directory", apart)
    assert smoke.outdated(*there) == {}
    with smoke.appended("src/icl_contrastive/figures/figure_5.py", "# an edit"):
        assert set(smoke.outdated(*there)) == {"figures/figure_5", "manifest"}


def test_a_restriction_to_times_is_warned_of(smoke: Project) -> None:
    warning = "a changed config or program is not noticed"
    output = smoke.make("--dry-run", *SMOKE, "--config", "seed=1", "--rerun-triggers", "mtime")
    assert NOTHING in output
    assert output.count(warning) == 1
    assert warning not in smoke.make("--dry-run", *SMOKE)


DELETED = (
    *("data/n15_multitask.safetensors", "pretrained/n15/augmented_g2.safetensors"),
    *("equivalence/n15/augmented_g1.safetensors", "equivalence/n15/softmax_elu.csv"),
    *("approximation/n31_matrices.csv", "attention_errors/n31.csv"),
    *("families/n31_closed_forms.csv", "controls/n31.csv", "training_length/n31.safetensors"),
    *("tables/trajectories/n31/softmax.csv", "figures/figure_1.png"),
)
"""None is made from another, whose job would ask for it."""


def test_an_input_that_one_rule_takes_for_ancient_is_not_to_others(
    smoke: Project, outdated: Outdated
) -> None:
    with smoke.appended("workflow/claims.yaml", "# another line"):
        assert "tables/effects" in outdated("--consider-ancient", "report_page=claims")


def test_deleted_artifacts_are_made_again(smoke: Project) -> None:
    paths = [smoke.root / "results" / name for name in DELETED]
    aways = [path.rename(path.with_name(f"{path.name}.away")) for path in paths]
    try:
        plan = smoke.make("--dry-run", *SMOKE)
    finally:
        for path, away in zip(paths, aways, strict=True):
            away.rename(path)
    reasons = "\n".join(re.findall(r"reason: Missing output files: (.+)", plan))
    for name in DELETED:
        assert f"results/{name}" in re.split("[,;\n] ?", reasons)


def rules() -> dict[str, str]:
    """The module of the package that each rule runs, but for targets that are no part of `all`."""
    apart = ("ablations", "networks", "multiverse", "report")
    files = [p for p in (ROOT / "workflow/rules").glob("*.smk") if p.stem not in apart]
    text = "\n".join(p.read_text(encoding="utf-8") for p in files)
    written = re.findall(
        r"rule (?:\w+ as )?(\w+)(?: with)?:\n.*?code\(\"([\w.]+)\"\)", text, re.DOTALL
    )
    return dict(written) | {figure: f"figures.{figure}" for figure in FIGURE_TABLES}


@pytest.mark.parametrize(
    "module",
    ["artifacts.files", "figures.trajectory", "steps.layer", "streams"],
)
def test_an_edit_reruns_exactly_what_imports_it(
    smoke: Project, outdated: Outdated, module: str
) -> None:
    package = smoke.root / "src/icl_contrastive"
    file = package / module.replace(".", "/")
    file = file / "__init__.py" if file.is_dir() else file.with_suffix(".py")
    importing = [
        rule
        for rule, run in rules().items()
        if file in import_closure(f"icl_contrastive.{run}", package.parent)
    ]
    assert importing
    with smoke.appended(str(file.relative_to(smoke.root)), "# an edit"):
        jobs = set(outdated())
    assert jobs == set(outdated("--forcerun", *importing))


def test_an_edit_of_the_descent_spares_the_training(smoke: Project, outdated: Outdated) -> None:
    with smoke.appended("src/icl_contrastive/dual.py", "UNUSED = 0"):
        jobs = set(outdated())
    assert not inside(jobs, "data") | inside(jobs, "pretrained")
    assert inside(jobs, "equivalence") == made(smoke, "equivalence")
    assert inside(jobs, "figures") >= drawn_from("trajectory")
    assert not inside(jobs, "figures") & drawn_from("pretraining")


def test_an_edit_of_the_training_spares_the_data(smoke: Project, outdated: Outdated) -> None:
    with smoke.appended("src/icl_contrastive/training/__init__.py", "UNUSED = 0"):
        jobs = set(outdated())
    assert inside(jobs, "pretrained") == made(smoke, "pretrained")
    assert inside(jobs, "figures") == made(smoke, "figures")
    assert not inside(jobs, "data")


def test_an_edit_of_a_model_trains_its_own_variants(smoke: Project, outdated: Outdated) -> None:
    with smoke.appended("src/icl_contrastive/variants/negative.py", "UNUSED = 0"):
        jobs = set(outdated())
    for folder in ("pretrained", "equivalence"):
        own = {job for job in made(smoke, folder) if Path(job).name.startswith("negative")}
        assert inside(jobs, folder) == own
    assert not inside(jobs, "data")
    assert not inside(jobs, "training_length")


def test_a_new_model_reruns_nothing(smoke: Project, outdated: Outdated) -> None:
    source = smoke.root / "src/icl_contrastive/variants"
    new = source / "damped.py"
    shutil.copy(source / "softmax.py", new)
    try:
        assert outdated() == {}
    finally:
        new.unlink()


def test_an_edit_of_a_figure_draws_that_figure(smoke: Project, outdated: Outdated) -> None:
    with smoke.appended("src/icl_contrastive/figures/figure_5.py", "# an edit"):
        assert set(outdated()) == {"figures/figure_5", "manifest"}


def test_an_edit_of_the_style_draws_all_figures(smoke: Project, outdated: Outdated) -> None:
    with smoke.appended("src/icl_contrastive/figures/style.py", "# an edit"):
        assert set(outdated()) == made(smoke, "figures") | {"manifest"}


@pytest.mark.parametrize(
    ("edit", "cell", "drawn"),
    [
        ("regularized_eq15: {alpha: [-0.3, 0.01]}", "n15/regularized_eq15_alpha-0.3", FIGURE_5),
        ("slow: {model: softmax, learning_rate: 0.0001, settings: [n31]}", "n31/slow", set()),
        ("augmented_g1: {learning_rate: 0.004}", "n15/augmented_g1", FIGURE_5),
    ],
    ids=["one alpha", "a new variant", "a learning rate"],
)
def test_an_edit_of_a_variant_trains_one_job(
    with_config: Callable[[str], set[str]], edit: str, cell: str, drawn: set[str]
) -> None:
    jobs = with_config(f"variants: {{{edit}}}")
    assert (
        jobs
        == {
            f"pretrained/{cell}",
            f"equivalence/{cell}",
            "tables/pretraining",
            "tables/equivalence",
        }
        | drawn
    )


def test_the_seed_reruns_everything(smoke: Project, with_config: Callable[[str], set[str]]) -> None:
    jobs = with_config("seed: 1")
    for folder in ("data", "pretrained", "equivalence", "approximation", "tables", "figures"):
        assert inside(jobs, folder) == made(smoke, folder)


@pytest.mark.parametrize(
    ("edit", "jobs"),
    [
        ("figures: {figure_3: {run: 1}}", {"figures/figure_3"}),
        (
            "figures: {figure_10: {variant: regularized_eq14_alpha-0.2}}",
            {"tables/trajectories/n15/regularized_eq14_alpha-0.2", "figures/figure_10"},
        ),
        (
            "figures: {figure_1: {prompt: 1}, figure_2: {prompt: 1}}",
            {"tables/diagram", "figures/figure_1", "figures/figure_2"},
        ),
        (
            "approximation: {repeats: 3}",
            {"approximation/n15", "approximation/n31", "tables/approximation", "tables/matrices"}
            | {"families/n15", "families/n31", *FAMILY_TABLES}
            | drawn_from("approximation", "matrices", "families"),
        ),
        (
            "approximation: {draws: 3}",
            {"attention_errors/n15", "attention_errors/n31"}
            | {"tables/attention_errors", "tables/attention_bias"}
            | drawn_from("attention_bias"),
        ),
        (
            "families: {compared: {sderf: [simplex]}}",
            {"families/n15", "families/n31", *FAMILY_TABLES} | drawn_from("families"),
        ),
        (
            "variants: {softmax_oprf: {features: {projection: simplex}}}",
            {"pretrained/n15/softmax_oprf", "equivalence/n15/softmax_oprf"}
            | {"tables/pretraining", "tables/equivalence", "tables/family_training"},
        ),
        (  # rows are in this order, and the caption quotes the first setting
            "controls: {settings: [n31, n15, n15_multitask]}",
            {"tables/controls", "tables/solutions"} | drawn_from("controls", "solutions"),
        ),
        ("features: {projection: independent}", set()),
        ("pretraining: {init_scale: 1.0}", set()),
        ("execution: {device: cpu}", set()),
        ("variants: {softmax: {attention: kernel}}", set()),
    ],
)
def test_an_edit_of_the_config_reruns_what_uses_it(
    with_config: Callable[[str], set[str]], edit: str, jobs: set[str]
) -> None:
    assert with_config(edit) == jobs


def test_the_order_of_keys_changes_nothing(smoke: Project, outdated: Outdated) -> None:
    old = "{model: negative, form: eq18, k: 3, beta: 0.1, learning_rate: 0.005, settings: [n15]}"
    new = "{settings: [n15], beta: 0.1, form: eq18, learning_rate: 0.005, k: 3, model: negative}"
    with smoke.edited("config.yaml", old, new):
        assert outdated() == {}


def test_each_figure_is_a_target(smoke: Project) -> None:
    jobs = set(smoke.outdated("figure_8", "--forceall", *SMOKE))
    assert jobs == {
        "data/n31",
        "pretrained/n31/softmax",
        "equivalence/n31/softmax",
        "tables/trajectories/n31/softmax",
        "figures/figure_8",
    }
