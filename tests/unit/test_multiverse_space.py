"""The multiverse's space: what is in it, what is left out, and which universes are trained."""

from __future__ import annotations

import copy
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from icl_contrastive.config import ConfigError, Experiment, jobs, read_experiment
from icl_contrastive.config.multiverse import (
    cells_of,
    checkpoints,
    list_analyses,
    list_universes,
    space_of,
    universe_experiment,
)
from icl_contrastive.multiverse.design import design
from icl_contrastive.multiverse.space import (
    ANALYZED,
    TRAINED,
    Decision,
    Space,
    Value,
    changes,
    read_initialization,
    universe_name,
)

ROOT = Path(__file__).parents[2]
SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text(encoding="utf-8"))
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))


def experiment(path: str = "", value: Any = None) -> Experiment:
    """That of the config, with another value at a path below ``multiverse``."""
    config = copy.deepcopy(CONFIG)
    if path:
        *keys, last = path.split("/")
        part = config["multiverse"]
        for key in keys:
            part = part[key]
        part[last] = value
    return read_experiment(config, SCHEMA)


def space(**more: Any) -> Space:
    """Three decisions of 4, 3 and 2 values."""
    values: dict[str, tuple[Value, ...]] = {
        "initialization": ("uniform", "normal", "uniform x 2", "uniform x 3"),
        "projection": ("independent", "orthogonal", "simplex"),
        "order": ("fixed", "shuffled"),
    }
    added = more.pop("added", {})
    decisions = {name: Decision(name, values[name], added=added.get(name, ())) for name in values}
    return Space(decisions, more.pop("rules", ()))


# What is in the space


def test_the_default_universe_is_the_experiment_itself() -> None:
    one = experiment()
    default = space_of(one).default
    pretraining, law = CONFIG["pretraining"], read_initialization(default["initialization"])
    assert law == (pretraining["init"], pretraining["init_scale"])
    for name in ("normalization", "omega", "prompts", "order"):
        assert default[name] == pretraining[name]
    assert (default["projection"], default["epochs"]) == ("independent", 1)
    inside = universe_experiment(one, space_of(one).trained.default)
    job, own = (jobs.pretrain(e, "n15", "augmented_g2") for e in (one, inside))
    assert own.pop("features") == job.pop("features") | {"projection": "independent"}
    assert own == job | {"runs": CONFIG["multiverse"]["runs"]}


def test_every_decision_is_declared_with_its_values() -> None:
    declared = CONFIG["multiverse"]["decisions"]
    assert list(declared) == [*TRAINED, *ANALYZED]
    assert not any("added" in one for one in declared.values())
    assert len(declared["initialization"]["values"]) == 6
    assert len(space_of(experiment()).trained.universes()) == 324  # as a comment in it says


def test_a_rule_leaves_out_what_has_all_its_values() -> None:
    rules = ({"order": ("shuffled",), "projection": ("simplex", "orthogonal")},)
    left = space(rules=rules).universes()
    assert len(left) == 4 * (6 - 2)
    assert all(one["order"] == "fixed" or one["projection"] == "independent" for one in left)
    # One that names a decision which is not there says nothing.
    assert len(space(rules=({"omega": ("kept",)},)).universes()) == 24


def test_a_universe_is_named_by_what_is_decided() -> None:
    every = space().universes()
    names = [universe_name(one) for one in every]
    assert len(set(names)) == len(every) == 24
    assert universe_name(dict(reversed(every[5].items()))) == names[5]
    assert universe_name({"order": "fixed"}) == "d906074a"  # as it was ever


def test_changes_are_those_from_the_default() -> None:
    one = space()
    assert changes(one.default, one.default) == {}
    other = one.default | {"order": "shuffled"}
    assert changes(other, one.default) == {"order": "shuffled"}


@pytest.mark.parametrize(
    ("value", "law"),
    [
        ("uniform", ("uniform", 1.0)),
        ("uniform x 0.05", ("uniform", 0.05)),
        ("standard_normal x 2", ("standard_normal", 2.0)),
        ("uniform x", None),
        ("unif", None),
        (3, None),
    ],
)
def test_an_initialization_is_a_law_and_a_factor(value: Value, law: Any) -> None:
    assert read_initialization(value) == law


# Which of it is trained


def pair_counts(universes: list[dict[str, Value]]) -> Counter[Any]:
    """How often each pair of values of two decisions is met."""
    return Counter(pair for one in universes for pair in combinations(one.items(), 2))


def test_the_default_design_meets_every_pair_about_equally_often() -> None:
    one = space_of(experiment()).trained
    chosen = design(one, 18)
    assert chosen[0] == one.default
    counts = pair_counts(chosen)
    for a, b in combinations(one.decisions.values(), 2):
        pairs = [((a.name, x), (b.name, y)) for x in a.values for y in b.values]
        found = [counts[pair] for pair in pairs]
        if {a.name, b.name} <= {"normalization", "initialization", "omega", "projection"}:
            assert max(found) - min(found) <= 1
        elif (a.name, b.name) == ("prompts", "order"):
            assert counts[("prompts", "fresh"), ("order", "shuffled")] == 0
        else:  # the rule makes fresh prompts rarer
            assert min(found) >= 1 or "initialization" in (a.name, b.name)


def test_a_full_factorial_is_reached_value_by_value() -> None:
    one = space()
    assert design(one, "all") == one.universes()
    every = {universe_name(choices) for choices in one.universes()}
    assert {universe_name(choices) for choices in design(one, 24)} == every
    counts = pair_counts(design(one, 12))
    for a, b in combinations(one.declared, 2):
        found = [n for ((first, _), (other, _)), n in counts.items() if (first, other) == (a, b)]
        assert max(found) - min(found) <= 1


def test_a_larger_design_begins_with_the_smaller_one() -> None:
    one = space_of(experiment()).trained
    assert design(one, 30)[:18] == design(one, 18)


def test_an_added_value_adds_universes_and_changes_none() -> None:
    before = design(space(), 12)
    grown = design(space(added={"order": ("other",)}), 12)
    assert grown[:12] == before
    assert [one["order"] for one in grown[12:]] == ["other"] * 6  # as many as of the other two
    counts = pair_counts(grown[12:])
    assert {
        counts[("projection", p), ("order", "other")]
        for p in space().decisions["projection"].values
    } == {2}
    twice = design(space(added={"order": ("other",), "projection": ("third",)}), 12)
    assert len({universe_name(one) for one in twice}) == len(twice)


def test_the_design_is_the_same_on_every_machine() -> None:
    names = [universe_name(one) for one in design(space_of(experiment()).trained, 18)]
    assert names == list(list_universes(experiment()))
    assert names[:3] == ["7922a0eb", "121d3527", names[2]]


# What becomes of it in the config


def test_a_universe_has_the_cells_that_the_claims_need() -> None:
    one = experiment()
    names = {setting: [v.name for v in named] for setting, named in cells_of(one).items()}
    assert names["n31"] == ["softmax"]
    assert "negative_k3_beta0.1" in names["n15"]
    assert [name for name in names["n15"] if "alpha" in name] == [
        f"regularized_eq15_alpha{alpha:g}" for alpha in (-0.2, -0.1, -0.05, 0.05, 0.1, 0.2)
    ]
    inside = universe_experiment(one, {"normalization": "none", "initialization": "normal x 3"})
    assert [str(cell) for cell in inside.cells if cell.setting == "n31"] == ["n31/softmax"]
    job = jobs.pretrain(inside, "n31", "softmax")
    assert (job["normalization"], job["init"], job["init_scale"]) == ("none", "normal", 3.0)
    assert (job["omega"], job["order"], job["runs"]) == ("kept", "fixed", 5)


def test_fresh_runs_have_another_seed_and_nothing_else() -> None:
    one = experiment()
    choices = space_of(one).trained.default
    usual, fresh = (universe_experiment(one, choices, fresh=f).config for f in (False, True))
    assert {key for key in usual if usual[key] != fresh[key]} == {"seed"}


def test_without_the_section_there_are_no_universes() -> None:
    config = copy.deepcopy(CONFIG)
    del config["multiverse"]
    assert list_universes(read_experiment(config, SCHEMA)) == {}


def test_a_decision_that_is_left_out_is_as_in_the_rest_of_the_config() -> None:
    config = copy.deepcopy(CONFIG)
    config["pretraining"]["omega"] = "per_epoch"
    for name in ("omega", "epochs", "initialization"):
        del config["multiverse"]["decisions"][name]
    one = read_experiment(config, SCHEMA)
    inside = universe_experiment(one, space_of(one).trained.default)
    job = jobs.pretrain(inside, "n15", "softmax")
    assert (job["omega"], job["init"]) == ("per_epoch", "uniform")
    assert checkpoints(one, "n15") == {1: 150}
    assert len(list_analyses(one)) == 8


def test_epochs_are_shares_of_the_setting_s() -> None:
    assert checkpoints(experiment(), "n15") == {1: 150, 0.33: 50}
    assert checkpoints(experiment(), "n31") == {1: 1400, 0.33: 462}


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("size", "most", "size: 'most' is not allowed; must be all or an integer from 1 to 324"),
        ("size", "18", "must be all or an integer from 1 to 324, not text: write it in a file"),
        ("size", 325, "size: 325 is not allowed; must be all or an integer from 1 to 324"),
        ("decisions/omega/values", ["seldom"], r"omega.values\[0\]: 'seldom' is not allowed; must"),
        ("decisions/initialization/values", ["big"], "'big' is not allowed; must be uniform,"),
        ("decisions/epochs/values", [2], "must be a number from 0.01 to 1"),
        ("decisions/omega/added", ["kept"], "omega: 'kept' is there twice, in values or added"),
        ("decisions/omgea", {}, "omgea: unknown key; must be one of normalization"),
        ("settings/n16", {"softmax": {}}, r"'n16' is not a setting; must be one of n15, n31"),
        ("settings/n15/softmx", {}, r"softmx: no such entry of variants; .* mean 'softmax'\?"),
        ("settings/n15/negative", {"kk": 3}, r"kk: no key of variants.negative; .* mean 'k'\?"),
        ("settings/n15/negative", {"k": 40}, r"negative\.k: 40 is not allowed"),
        (
            "exclude",
            [{"where": {"omega": ["kept"]}, "reason": ""}],
            "a rule leaves out the default universe",
        ),
        (
            "exclude",
            [{"where": {"omega": ["per_epoch"], "matrix": ["normalized"]}, "reason": ""}],
            r"exclude\[0\].where: mixes decisions on training and on analysis",
        ),
        ("exclude", [{"where": {"omge": ["x"]}, "reason": ""}], "omge: no such decision; must be"),
        ("exclude", [{"where": {"omega": ["x"]}, "reason": ""}], "'x' is no value of it; must be"),
        ("exclude", [{"where": {"omega": ["kept"]}}], r"exclude\[0\].reason: missing"),
    ],
)
def test_a_mistake_is_named_with_what_is_allowed(path: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        experiment(path, value)
