"""What the jobs ask a cluster for, beside what they take."""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from typing import Any

import pandas as pd
import pytest
import yaml
from snakemake.utils import update_config

from icl_contrastive.config import Experiment, jobs, read_experiment, resources

from ..project import ROOT, SMOKE, Project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project.copy(tmp_path_factory.mktemp("resources") / "project")


@cache
def declared(project: Project, *arguments: str) -> pd.DataFrame:
    """Threads and resources of every job, by its benchmark file."""
    printed = project.make(
        "--dry-run", "--forceall", *SMOKE, *arguments, "--", "all", "ablations", "report_page"
    )
    jobs = {}
    for job in re.split(r"\n\n|\n(?=\[)", printed):
        said = dict(re.findall(r"^    (\w+): (.+)$", job, re.MULTILINE))
        if "benchmark" in said:
            given = dict(item.split("=") for item in said["resources"].split(", "))
            jobs[said["benchmark"]] = {"threads": int(said.get("threads", 1)), **given}
    return pd.DataFrame.from_dict(jobs, orient="index").sort_index()


def test_every_rule_declares_what_it_needs_and_where_it_tells() -> None:
    """Snakemake has defaults for what is left out, and does not show them."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "workflow/rules").glob("*.smk")]
    start = re.compile(r"^ *(?=rule |rule:|use rule )", re.MULTILINE)
    rules = [rule for text in texts for rule in start.split(text)[1:]]
    assert len(rules) > 15
    for rule in rules:
        if "output:" not in rule:
            continue  # a target
        keys = set(re.findall(r"^ +(\w+):", rule, re.MULTILINE))
        inherited = {"threads", "resources"} if rule.startswith("use rule ") else set()
        assert {"threads", "resources", "benchmark", "log"} - inherited <= keys, rule
        if "resources" in keys:
            assert re.search(r"resources:\n +\*\*(\w+_needs|needs\(.+\)),\n", rule), rule


def test_every_job_of_the_smoke_run_got_by_with_what_it_declares(smoke: Project) -> None:
    jobs = declared(smoke)
    assert (jobs["threads"] == 1).all()
    measured = {
        name: pd.read_csv(smoke.root / name, sep="\t").iloc[0]
        for name in jobs.index
        if (smoke.root / name).exists()
    }
    assert len(measured) > 80
    for name, job in jobs.iterrows():
        memory, runtime = int(job["mem_mb"]), 60 * int(job["runtime"])
        assert 500 <= memory <= 2000, name
        assert runtime <= 1200, name
        if name in measured:
            assert measured[name]["max_rss"] <= memory, name  # that is of the step alone
            # Of a processor: others use this machine, too.
            assert measured[name]["cpu_time"] <= runtime, name


def test_a_retry_asks_for_more(smoke: Project) -> None:
    first, second = declared(smoke), declared(smoke, "--attempt", "2")
    for name in ("mem_mb", "runtime"):
        assert (second[name].astype(int) == 2 * first[name].astype(int)).all()


def test_training_asks_for_a_gpu_where_it_uses_one(smoke: Project) -> None:
    assert "gpu" not in declared(smoke)
    jobs = declared(smoke, "--config", "execution={device: cuda}")
    trains = jobs.index.str.contains(r"/pretrained/|_pretrain\.tsv")
    assert (jobs["gpu"][trains] == "1").all()
    assert jobs["gpu"][~trains].isna().all()


def test_other_resources_rerun_nothing(smoke: Project) -> None:
    assert (
        smoke.outdated(
            *SMOKE, "--set-resources", "pretrain:mem_mb=9999", "--set-threads", "pretrain=2"
        )
        == {}
    )
    with smoke.edited(
        "src/icl_contrastive/config/resources.py", "MEMORY_MARGIN = 1.5", "MEMORY_MARGIN = 2.5"
    ):
        assert smoke.outdated(*SMOKE) == {}


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    return loaded | {"figures": {}}


def experiment(config: dict[str, Any]) -> Experiment:
    schema = ROOT / "workflow/schemas/config.schema.yaml"
    return read_experiment(config, yaml.safe_load(schema.read_text(encoding="utf-8")))


def need_of(one: Experiment, rule: str, job: str, *names: str) -> resources.Need:
    """What the rule's job asks for; what tables grow with, no step is told."""
    slice_of = getattr(jobs, job, None) or getattr(resources, job)
    return resources.need(one, rule, slice_of(one, *names))


DEFAULT = "7922a0eb"
"""The universe that has the config's own decisions."""


# Rule, job, and its seconds and MB in a full run, the slowest and the largest of its kind.
@pytest.mark.parametrize(
    ("rule", "job", "names", "seconds", "megabytes"),
    [
        ("pretrain", "pretrain", ("n15", "negative_eq18"), 43, 310),
        ("pretrain", "pretrain", ("n31", "softmax_lr0.005"), 187, 200),
        ("pretrain", "pretrain", ("n15", "softmax_elu"), 98, 270),
        ("pretrain", "long_training", ("n31",), 97, 200),
        ("pretrain", "ablation_training", ("omega-per_step",), 366, 190),
        ("equivalence", "equivalence", ("n15", "regularized_eq14_alpha0.05"), 9, 480),
        ("equivalence", "equivalence", ("n31", "softmax"), 10, 610),
        ("attention_errors", "attention_errors", ("n31",), 10, 370),
        ("families", "families", ("n31",), 14, 350),
        ("controls", "controls", ("n31",), 7, 450),
        ("training_length", "training_length", ("n31",), 13, 300),
        ("ablation", "ablation", ("runs-30",), 17, 450),
        ("tables", "all_rows", (), 6, 570),
        ("universe", "universe", ("", DEFAULT), 219, 230),
        ("universe_claims", "universe_claims", ("", DEFAULT), 44, 550),
    ],
)
def test_the_estimates_fit_the_paper_s_scale(
    config: dict[str, Any],
    rule: str,
    job: str,
    names: tuple[str, ...],
    seconds: float,
    megabytes: float,
) -> None:
    one = experiment(config)
    need = need_of(one, rule, job, *names)
    assert resources.SNAKEMAKE_MB + megabytes <= need.mem_mb <= 2000
    assert 2 * seconds <= 60 * need.runtime <= 120 + 20 * seconds


def larger(key: str) -> Callable[[dict[str, Any]], None]:
    """An edit that makes a number or a list of the config eight times as large."""

    def edit(config: dict[str, Any]) -> None:
        *path, last = key.split(".")
        for part in path:
            config = config[part]
        value = config[last]
        config[last] = [8 * v for v in value] if isinstance(value, list) else 8 * value

    return edit


@pytest.mark.parametrize(
    ("key", "rule", "job", "more"),
    [
        ("runs", "pretrain", "pretrain", {"runtime", "mem_mb"}),
        ("settings.n15.epochs", "pretrain", "pretrain", {"runtime"}),
        ("settings.n15.prompts", "pretrain", "pretrain", {"runtime", "mem_mb"}),
        ("settings.n15.demonstrations", "pretrain", "pretrain", {"runtime", "mem_mb"}),
        ("task.d_x", "pretrain", "pretrain", {"runtime", "mem_mb"}),
        ("runs", "equivalence", "equivalence", {"runtime"}),
        ("equivalence.prompts", "equivalence", "equivalence", {"runtime", "mem_mb"}),
        ("equivalence.epochs", "equivalence", "equivalence", {"runtime", "mem_mb"}),
        ("settings.n15.demonstrations", "equivalence", "equivalence", {"runtime", "mem_mb"}),
        ("test_prompts", "controls", "controls", {"runtime", "mem_mb"}),
        ("approximation.repeats", "families", "families", {"runtime"}),
        ("approximation.prompts", "attention_errors", "attention_errors", {"runtime", "mem_mb"}),
        ("approximation.draws", "attention_errors", "attention_errors", {"runtime", "mem_mb"}),
        ("runs", "tables", "all_rows", {"runtime", "mem_mb"}),
        ("settings.n15.epochs", "tables", "all_rows", {"mem_mb"}),
        ("equivalence.prompts", "tables", "all_rows", {"mem_mb"}),
        ("test_prompts", "tables", "all_rows", {"mem_mb"}),
        ("approximation.draws", "tables", "all_rows", {"mem_mb"}),
        ("approximation.repeats", "tables", "all_rows", {"mem_mb"}),
    ],
)
def test_larger_experiments_ask_for_more(
    config: dict[str, Any], key: str, rule: str, job: str, more: set[str]
) -> None:
    names = ("n15", "softmax")[: {"pretrain": 2, "equivalence": 2, "tables": 0}.get(rule, 1)]
    base = deepcopy(config)
    base["test_prompts"] *= 8  # that more of them can be compared
    changed = deepcopy(base)
    larger(key)(changed)
    before, after = (need_of(experiment(one), rule, job, *names) for one in (base, changed))
    assert {name for name in more if getattr(after, name) > getattr(before, name)} == more


def test_every_job_of_the_workflow_is_weighed(smoke: Project) -> None:
    """Before a run, by what the rules ask for."""
    asked = declared(smoke)["mem_mb"].astype(int)
    merged, over = (
        yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
        for name in ("config.yaml", SMOKE[1])
    )
    update_config(merged, over)
    weighed = [need.mem_mb for _, need in resources.every_job(experiment(merged))]
    assert set(weighed) == set(asked)


HUGE = 1_000_000_000


@pytest.mark.parametrize(
    "key",
    [
        *("runs", "test_prompts", "task.d_x", "settings.n15.prompts", "settings.n15.epochs"),
        *("settings.n31.demonstrations", "equivalence.epochs", "approximation.repeats"),
        *("approximation.draws", "approximation.d_r", "families.d_r", "ablations.runs"),
    ],
)
def test_a_config_that_no_machine_has_the_memory_for_is_refused_by_its_key(
    config: dict[str, Any], key: str
) -> None:
    *above, last = key.split(".")
    part = changed = deepcopy(config)
    for name in above:
        part = part[name]
    part[last] = [*part[last], HUGE] if isinstance(part[last], list) else HUGE
    told = resources.size_problem(experiment(changed), memory_mb=24_000)
    assert told is not None
    assert told.startswith(f"{key}: {HUGE} is not allowed; must be less")
    assert "GB of memory, and this machine has 24" in told


def test_what_takes_days_or_much_memory_is_told(config: dict[str, Any]) -> None:
    one = experiment(config)
    assert resources.size_problem(one, memory_mb=1000) is None
    assert resources.size_warning(one, memory_mb=1000) is None
    assert resources.size_warning(one, memory_mb=400) is not None
    longer = deepcopy(config)
    longer["settings"]["n15"]["epochs"] = 20_000
    told = resources.size_warning(experiment(longer), memory_mb=24_000)
    assert told is not None
    assert re.fullmatch(r"This config asks for some \d\.\d days of processor time, .*", told)


def test_a_run_that_cannot_fit_ends_before_any_job(project: Project) -> None:
    huge = ("--dry-run", "--config", f"runs={HUGE}")
    done = project.snakemake(*huge)
    assert done.returncode != 0
    assert f"error: the config is not valid\n  runs: {HUGE} is not allowed" in done.stdout
    # Elsewhere there may be the memory for it.
    elsewhere = project.snakemake(
        *huge, "--executor", "cluster-generic", "--cluster-generic-submit-cmd", "x", "--jobs", "1"
    )
    assert "is not allowed" not in elsewhere.stdout
    assert "days of processor time" in elsewhere.stdout
