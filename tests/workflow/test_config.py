"""What a config may say, and what a user is told who says something else."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from icl_contrastive.artifacts.tables import columns_of
from icl_contrastive.config import ConfigError, check_file, jobs, read_experiment
from icl_contrastive.config.complete import complete
from icl_contrastive.features import Family
from icl_contrastive.variants import models

from ..project import FIGURE_TABLES, ROOT, Project

Config = dict[str, Any]

SCHEMA = complete(
    yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text(encoding="utf-8"))
)
TEXT = (ROOT / "config.yaml").read_text(encoding="utf-8")
CONFIG: Config = yaml.safe_load(TEXT)


@pytest.fixture
def config() -> Config:
    """The project's own config, free to be changed."""
    return copy.deepcopy(CONFIG)


def change(config: Config, edits: Config) -> None:
    """Set values by dotted key; None deletes."""
    for key, value in edits.items():
        *above, last = key.split("/")
        part = config
        for name in above:
            part = part[name]
        if value is None:
            del part[last]
        else:
            part[last] = value


def problems(config: Config) -> list[str]:
    with pytest.raises(ConfigError) as error:
        read_experiment(config, SCHEMA)
    return error.value.problems


SHAPE = {"demonstrations": 2, "prompts": 1, "epochs": 1}
SLOW = {"model": "softmax", "learning_rate": 0.001, "settings": ["n15"]}

# What is changed; the keys that the message must name, one line each; what the first must say.
BROKEN: list[tuple[Config, list[str], str]] = [
    # one key
    ({"runs": "ten"}, ["runs"], "'ten' is not allowed; must be an integer of at least 1"),
    ({"runs": 0}, ["runs"], "0 is not allowed"),
    ({"runs": 2.0}, ["runs"], "must be an integer"),
    ({"runs": True}, ["runs"], "must be an integer"),
    ({"runs": [1, 2]}, ["runs"], "[1, 2] is not allowed"),
    ({"seed": -1}, ["seed"], "must be an integer of at least 0"),
    ({"sed": 1}, ["sed"], "unknown key; must be one of seed, runs"),
    ({"pretraining/inits": 3}, ["pretraining.inits"], "did you mean 'init'?"),
    ({"features/d_r": 0}, ["features.d_r"], "0 is not allowed; must be an integer of at least 1"),
    ({"features/family": "cosine"}, ["features.family"], "'cosine' is not allowed"),
    ({"task/d_y": 2}, ["task.d_y"], "2 is not allowed; must be 1"),
    ({"task/d_y": 1.0}, ["task.d_y"], "1.0 is not allowed; must be 1"),
    ({"task/d_y": True}, ["task.d_y"], "True is not allowed; must be 1"),
    ({"task": 11}, ["task"], "11 is not allowed; must be a mapping"),
    ({"settings": {}, "variants": None}, ["settings", "variants"], "at least one"),
    ({"settings/n15/demonstrations": 1}, ["settings.n15.demonstrations"], "of at least 2"),
    ({"settings/n15/tasks": "own"}, ["settings.n15.tasks"], "one of shared, per_prompt"),
    ({"settings/n15/prompts": None}, ["settings.n15.prompts"], "missing; must be there"),
    ({"variants": None}, ["variants"], "missing"),
    ({"variants/softmax": None, "figures": {}}, ["approximation.variant"], "not a variant"),
    ({"variants/softmax/model": "linear"}, ["variants.softmax.model"], "one of augmented, negat"),
    ({"variants/softmax/alpha": 0.1}, ["variants.softmax.alpha"], "unknown key"),
    ({"variants/softmax/learning_rate": 0}, ["variants.softmax.learning_rate"], "above 0"),
    ({"variants/softmax/learning_rate": "3e-3"}, ["variants.softmax.learning_rate"], "3.0e-3)"),
    ({"equivalence/tolerance": "1.5E10"}, ["equivalence.tolerance"], "write 1.5e+10)"),
    ({"variants/softmax/settings": []}, ["variants.softmax.settings"], "at least one"),
    ({"variants/softmax/attention": "soft"}, ["variants.softmax.attention"], "kernel, exact"),
    ({"variants/negative/k": 0}, ["variants.negative.k"], "0 is not allowed"),
    ({"variants/negative/k": [1, 0]}, ["variants.negative.k[1]"], "0 is not allowed"),
    ({"variants/negative/k": [1, 1]}, ["variants.negative.k"], "none twice"),
    ({"variants/negative/k": 1.5}, ["variants.negative.k"], "1.5 is not allowed"),
    ({"variants/negative/beta": -0.1}, ["variants.negative.beta"], "-0.1 is not allowed"),
    ({"variants/negative/beta": None}, ["variants.negative.beta"], "missing"),
    ({"variants/negative/form": "eq17"}, ["variants.negative.form"], "section_5.5, eq18"),
    ({"variants/augmented_g1/g1": 3}, ["variants.augmented_g1.g1"], "from 0 to 2"),
    ({"variants/regularized_eq15/alpha": []}, ["variants.regularized_eq15.alpha"], "[] is not"),
    ({"equivalence/tolerance": "1e-10"}, ["equivalence.tolerance"], "write 1.0e-10"),
    ({"equivalence/tolerance": 0}, ["equivalence.tolerance"], "above 0"),
    ({"approximation/d_r": [12, 12]}, ["approximation.d_r"], "none twice"),
    ({"approximation/draws": 0}, ["approximation.draws"], "of at least 1"),
    ({"figures/figure_11": {}}, ["figures.figure_11"], "unknown key; must be one of figure_1"),
    ({"figures/figure_8/run": -1}, ["figures.figure_8.run"], "of at least 0"),
    ({"figures/figure_8/setting": None}, ["figures.figure_8.setting"], "must be there, text"),
    ({"execution/device": "gpu"}, ["execution.device"], "one of auto, cpu, cuda"),
    # random features
    *(
        ({"features/family": name}, ["features.family"], "or module:Class for one of your own")
        for name in ("", "a:b:c", "../evil:Class", "os:system('true')", "a;b:C", "a:b.c")
    ),
    ({"features/family": "orpf"}, ["features.family"], "did you mean 'oprf'?"),
    ({"features/projection": "hadamard"}, ["features.projection"], "independent, orthogonal"),
    ({"features/family": "trigonometric"}, ["features.family"], "can be negative; must be one of"),
    (
        {"features": {"family": "elu+1", "projection": "simplex", "d_r": 1200}},
        ["features.projection"],
        "'simplex' is not allowed with family: elu+1; must be left out",
    ),
    (
        {"features": {"family": "hyperbolic", "d_r": 75}},
        ["features.d_r"],
        "75 is not allowed with family: hyperbolic; must be a multiple of 2",
    ),
    (
        {"variants/softmax_oprf/features": {"family": "trigonometric"}},
        ["variants.softmax_oprf.features.family"],
        "not allowed in training",
    ),
    (
        {"variants/softmax_hyperbolic/features": {"family": "hyperbolic", "d_r": 25}},
        ["variants.softmax_hyperbolic.features.d_r"],
        "must be a multiple of 2",
    ),
    (
        {"variants/softmax_elu/features": {"family": "elu+1", "projection": "simplex"}},
        ["variants.softmax_elu.features.projection"],
        "must be left out",
    ),
    (
        {"variants/exact_softmax/features": {"d_r": 12}},
        ["variants.exact_softmax.features"],
        "not allowed with attention: exact",
    ),
    (
        {"variants/softmax_oprf/features/famly": "oprf"},
        ["variants.softmax_oprf.features.famly"],
        "did you mean 'family'?",
    ),
    ({"families/compared": {}}, ["families.compared"], "at least one"),
    ({"families/compared/cosine": []}, ["families.compared.cosine"], "'cosine' is not allowed"),
    ({"families/compared/elu+1": ["simplex"]}, ["families.compared.elu+1"], "must be left out"),
    ({"families/compared/oprf": ["none"]}, ["families.compared.oprf[0]"], "independent"),
    ({"families/compared/positive": ["simplex"]}, ["families.compared"], "is missing"),
    ({"families/compared/positive": None}, ["families.compared"], "is missing"),
    ({"families/compared/oprf": "simplex"}, ["families.compared.oprf"], "each one of independent"),
    ({"families/compared/oprf": {}}, ["families.compared.oprf"], "a list, none twice, each"),
    (
        {"families/compared/positive": [], "features/projection": "orthogonal"},
        ["families.compared"],
        "'positive' with projection: orthogonal is missing",
    ),
    (
        {"features/family": "my:Family", "families/compared": {"my:Family": ["independent"]}},
        ["families.compared"],
        "'my:Family' with an empty list of projections is missing",
    ),
    (
        {
            "features/family": "hyperbolic",
            "families/compared": {"hyperbolic": []},
            "approximation/d_r": [13, 1200],
            "approximation/shown": [1200],
        },
        ["approximation.d_r"],
        "13 is not allowed with family: hyperbolic; must be a multiple of 2",
    ),
    ({"figures/controls": {"setting": "n15"}}, ["figures.controls.setting"], "must be left out"),
    (
        {"networks/read": {"a": {"file": "x"}, "A": {"file": "x"}, "a_record": {"file": "x"}}},
        ["networks.read.A", "networks.read.a_record"],
        "differs from 'a' in capitals alone",
    ),
    ({"networks/read": {"a": {"file": ""}}}, ["networks.read.a.file"], "text of at least one"),
    ({"families/d_r": [12, 25]}, ["families.d_r"], "25 is not allowed with family: hyperbolic"),
    ({"families/d_r": [12, 24]}, ["families.d_r"], "1200 is missing; must be there"),
    ({"families": None}, ["families"], "must be there for the figure families"),
    ({"approximation": None, "figures": {}}, ["approximation"], "for the section families"),
    ({"figures/families/setting": "n16"}, ["figures.families.setting"], "'n16' is not a setting"),
    (
        {"figures/families/setting": "n15_multitask"},
        ["figures.families.setting"],
        "is not in approximation.settings",
    ),
    ({"families/trained/base": "softmx"}, ["families.trained.base"], "mean 'softmax'?"),
    ({"families/trained/setting": "n31"}, ["families.trained.variants"], "is trained in n15"),
    (
        {"families/trained/variants": ["exact_softmax"]},
        ["families.trained.variants"],
        "attention: kernel",
    ),
    # numbers and keys that JSON does not have
    ({"variants/negative/beta": float("inf")}, ["variants.negative.beta"], "a finite number"),
    ({"variants/softmax/learning_rate": float("nan")}, ["variants.softmax.learning_rate"], "nan"),
    ({"settings": {15: {"demonstrations": 15, "prompts": 1}}}, ["settings.15"], "must be text"),
    (
        {"runs": 10**400},
        ["runs"],
        "an integer of 1329 bits is not allowed; must be an integer below",
    ),
    ({"variants/negative/beta": [10**400]}, ["variants.negative.beta[0]"], "below 2^63"),
    # names, which become files
    *(
        ({f"variants/{name}": SLOW}, [f"variants.{name}"], "digits or _ . + -")
        for name in ("a b", "..", "-x", "", "a'b", "$(touch here)", "a;b", "é", "a\n", "x" * 65)
    ),
    ({"settings/a*": {"demonstrations": 2, "prompts": 1}}, ["settings.a*"], "letters"),
    # keys that do not agree
    (
        {"variants/negative/k": [3, 16]},
        ["variants.negative.k"],
        "16 is not allowed; must be an integer from 1 to 15",
    ),
    (
        {"variants/negative_eq18/k": 15},
        ["variants.negative_eq18.k"],
        "15 is not allowed; must be an integer from 1 to 14",
    ),
    (
        {"variants/regularized_eq15/alpha": [0.5, 1], "figures": {}},
        ["variants.regularized_eq15.alpha"],
        "1 is not allowed with form: eq15",
    ),
    ({"variants/augmented_g1/g1": 0}, ["variants.augmented_g1.g1"], "must be 1 or 2"),
    ({"variants/exact_softmax/settings": ["n16"]}, ["variants.exact_softmax.settings"], "'n16'"),
    (
        {"variants/regularized_eq15_alpha0.1": SLOW},
        ["variants.regularized_eq15"],
        "2 variants are named 'regularized_eq15_alpha0.1'",
    ),
    (
        {"variants/regularized_eq15/alpha": [0.10000001, 0.1]},
        ["variants.regularized_eq15"],
        "2 variants are named 'regularized_eq15_alpha0.1'",
    ),
    (
        {"settings/n15_matrices": SHAPE, "settings/n15_bias": SHAPE},
        ["settings.n15_matrices", "settings.n15_bias"],
        "shares files with 'n15'",
    ),
    ({"equivalence/prompts": 257}, ["equivalence.prompts"], "from 1 to 256"),
    ({"approximation": None}, ["approximation"], "must be there for figures figure_3, figure_4"),
    ({"approximation/run": 10}, ["approximation.run"], "from 0 to 9 (runs is 10)"),
    ({"approximation/prompt": 256}, ["approximation.prompt"], "from 0 to 255"),
    ({"approximation/draws": 1}, ["approximation.draws"], "must be at least 2"),
    ({"approximation/prompts": 257}, ["approximation.prompts"], "from 1 to 256"),
    ({"approximation/shown": [1200, 13]}, ["approximation.shown"], "13 is not in d_r"),
    (
        {"approximation/settings": ["n15"]},
        ["figures.figure_9.setting"],
        "'n31' is not in approximation.settings; must be one of n15",
    ),
    ({"features/d_r": 100}, ["features.d_r"], "100 is not in approximation.shown"),
    ({"figures/figure_3/run": 10}, ["figures.figure_3.run"], "from 0 to 9"),
    (
        {"figures/figure_3/prompt": 0},
        ["figures.figure_3.prompt"],
        "no longer a key; must be left out",
    ),
    ({"figures/figure_6/setting": "n16"}, ["figures.figure_6.setting"], "'n16' is not a setting"),
    ({"figures/figure_8/variant": "softmx"}, ["figures.figure_8.variant"], "mean 'softmax'?"),
    ({"figures/figure_8/variant": "negative_eq18"}, ["figures.figure_8.variant"], "not in 'n31'"),
    ({"figures/figure_10/variant": "negative"}, ["figures.figure_10.variant"], "is a grid"),
    ({"figures/figure_10/variant": "softmax"}, ["figures.figure_10.variant"], "alpha other than"),
    (
        {"figures/figure_5/negative/variants": ["negativ"]},
        ["figures.figure_5.negative.variants"],
        "'negativ' is not a variant",
    ),
    ({"figures/figure_5/augmented/base": "negative"}, ["figures.figure_5.augmented.base"], "grid"),
    ({"figures/multitask/base": "n1"}, ["figures.multitask.base"], "is not a setting"),
    ({"figures/figure_2/prompt": 1}, ["figures.figure_2"], "must be as figures.figure_1"),
    # the kind of model that a role needs
    (
        {
            "figures/figure_5/regularized/eq15": "regularized_eq14",
            "figures/figure_5/regularized/eq14": "regularized_eq15",
        },
        ["figures.figure_5.regularized.eq15", "figures.figure_5.regularized.eq14"],
        "must be a variant with model: regularized and form: eq15: one of regularized_eq15_alpha-0",
    ),
    (
        {"figures/figure_5/regularized/base": "augmented_g1"},
        ["figures.figure_5.regularized.base"],
        "'augmented_g1' is not allowed; must be the plain layer",
    ),
    (
        {"figures/figure_5/negative/base": "negative_eq18"},
        ["figures.figure_5.negative.base"],
        "must be the plain layer, a variant with model: softmax and attention: kernel: one of soft",
    ),
    (
        {"figures/figure_5/augmented/base": "exact_softmax"},
        ["figures.figure_5.augmented.base"],
        "attention: kernel: one of softmax, softmax_lr0.005",
    ),
    (
        {"figures/figure_5/negative/variants": ["negative", "softmax_elu"]},
        ["figures.figure_5.negative.variants"],
        "'softmax_elu' is not allowed; must be a variant with model: negative",
    ),
    (
        {"figures/figure_5/augmented/variants": ["negative_eq18"]},
        ["figures.figure_5.augmented.variants"],
        "model: augmented, or with a model of your own",
    ),
    (
        {"figures/figure_5/negative/variants": ["negative", "negative_k3_beta0.1"]},
        ["figures.figure_5.negative.variants"],
        "'negative_k3_beta0.1' is there as 'negative' and as 'negative_k3_beta0.1'; must be once",
    ),
    (
        {f"figures/{name}/variant": "augmented_g1" for name in ("figure_1", "figure_2")},
        ["figures.figure_1.variant", "figures.figure_2.variant"],
        "must be the plain layer",
    ),
    (
        {"figures/figure_3/variant": "regularized_eq14_alpha0.01"},
        ["figures.figure_3.variant"],
        "whose descent ends elsewhere and is what figure_10 shows",
    ),
    (
        {"figures/multitask/setting": "n15", "figures/multitask/base": "n15_multitask"},
        ["figures.multitask.setting", "figures.multitask.base"],
        "'n15' is not allowed; must be a setting with tasks: per_prompt, one of n15_multitask",
    ),
    (
        {"approximation/variant": "negative_eq18", "approximation/settings": ["n15"]},
        ["approximation.variant"],
        "whose output is that of the attention matrix alone",
    ),
    ({"approximation/variant": "exact_softmax"}, ["approximation.variant"], "attention: kernel"),
    (
        {"features": {"family": "elu+1"}},
        ["approximation.variant"],
        "'softmax' has the family 'elu+1', which draws nothing at random",
    ),
    (
        {"variants/softmax/features": {"d_r": 48}},
        ["variants.softmax.features.d_r"],
        "48 is not in approximation.shown, as figure_4, figure_9 needs",
    ),
    (
        {"families/trained/variants": ["softmax_oprf", "augmented_g2"]},
        ["families.trained.variants"],
        "'augmented_g2' is not allowed; must be a variant with model: softmax, attention: kernel",
    ),
    ({"controls/variant": "augmented_g2"}, ["controls.variant"], "must be the plain layer"),
    ({"controls/exact": "softmax"}, ["controls.exact"], "attention: exact: one of exact_softmax"),
    (
        {"controls/settings": ["n15_multitask"]},
        ["controls.exact"],
        "'exact_softmax' is trained in n15, n31, not in 'n15_multitask'",
    ),
    (
        {"training_length/variant": "exact_softmax"},
        ["training_length.variant"],
        "which has random features",
    ),
    # text that looks like what is allowed, as all that is nested in --config is
    ({"settings/n15/epochs": "4"}, ["settings.n15.epochs"], "'4' is not allowed; must be an int"),
    ({"settings/n15/epochs": "4"}, ["settings.n15.epochs"], "in a file (--configfile) rather than"),
    ({"variants/negative/k": ["1"]}, ["variants.negative.k[0]"], "write it without quotes"),
    ({"variants/negative/beta": "0.1"}, ["variants.negative.beta"], "write it without quotes"),
    ({"pretraining/omega": "4"}, ["pretraining.omega"], "kept, per_epoch, per_step"),
    ({"task/d_y": "1"}, ["task.d_y"], "must be 1, not text: write it without quotes"),
    ({"variants/softmax": "null"}, ["variants.softmax"], "write it without quotes"),
    # names that Snakemake takes for a rule that feeds itself
    ({f"variants/{'a' * 20}": SLOW}, [f"variants.{'a' * 20}"], "must not end in the same letters"),
    (
        {f"settings/b{'ab' * 25}": SHAPE},
        [f"settings.b{'ab' * 25}"],
        "20 times",
    ),
    # names that some file systems do not tell apart
    ({"variants/Softmax": SLOW}, ["variants.Softmax"], "differs from 'softmax' in capitals alone"),
    ({"settings/N15": SHAPE}, ["settings.N15"], "one file on some"),
    # what is compared with itself
    (
        {"families/trained/variants": ["softmax", "softmax_oprf"]},
        ["families.trained.variants"],
        "'softmax' is compared with itself; must be another variant",
    ),
    # dates, as YAML has them
    ({"seed": date(2001, 1, 1)}, ["seed"], "2001-01-01 is not allowed; must be an integer"),
    # several at once
    (
        {"runs": 0, "features/d_r": 0, "variants/negative/beta": -1},
        ["runs", "features.d_r", "variants.negative.beta"],
        "0 is not allowed",
    ),
    (
        {"variants/negative/k": 99, "figures/figure_8/run": 99},
        ["variants.negative.k", "figures.figure_8.run"],
        "99 is not allowed",
    ),
]


@pytest.mark.parametrize(("edits", "keys", "says"), BROKEN, ids=lambda value: str(value)[:60])
def test_a_broken_config_is_told_by_key_value_and_what_is_allowed(
    config: Config, edits: Config, keys: list[str], says: str
) -> None:
    change(config, edits)
    found = problems(config)
    for key in keys:
        written = key.replace("\n", "\\x0a")
        assert any(line.startswith((f"{written}:", f"{written},")) for line in found), found
    assert says in "\n".join(found)


def test_what_is_text_only_is_not_told_to_be_written_without_quotes(config: Config) -> None:
    change(config, {"pretraining": "5", "runs": "true", "seed": "ten", "test_prompts": ""})
    assert not re.search("quotes|YAML", "\n".join(problems(config)))


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("variants/softmax/settings", "null is not allowed; must be a list of at least one value"),
        ("settings", "null is not allowed; must be a mapping of keys to values, at least one"),
        ("settings/n15/prompts", "null is not allowed; must be an integer of at least 1"),
        ("pretraining/batch", "null is not allowed; must be an integer of at least 1"),
        ("features", "null is not allowed; must be a mapping of keys to values"),
        ("figures/figure_8/variant", "null is not allowed; must be text"),
        ("variants/another", "null is not allowed; must be a mapping of keys to values"),
    ],
)
def test_a_null_is_told_in_one_line_where_it_takes_nothing_away(
    config: Config, key: str, says: str
) -> None:
    base = copy.deepcopy(config)
    *above, last = key.split("/")
    part = config
    for name in above:
        part = part[name]
    part[last] = None
    with pytest.raises(ConfigError) as error:
        read_experiment(config, SCHEMA, base)
    assert error.value.problems == [
        f"{key.replace('/', '.')}: {error.value.problems[0].partition(': ')[2]}"
    ]
    assert says in error.value.problems[0]


def test_a_null_takes_away_what_may_be_missing(config: Config) -> None:
    base = copy.deepcopy(config)
    taken = [
        *("variants/softmax_elu", "figures/families", "controls", "figures/controls"),
        *(
            "families/trained",
            "families/compared/sderf",
            "variants/softmax_oprf/features/projection",
        ),
    ]
    without = copy.deepcopy(config)
    change(without, dict.fromkeys(taken))
    for key in taken:
        *above, last = key.split("/")
        part = config
        for name in above:
            part = part[name]
        part[last] = None
    experiment = read_experiment(config, SCHEMA, base)
    assert experiment.config == read_experiment(without, SCHEMA).config
    assert "softmax_elu" not in experiment.variants
    assert len(problems(config)) == len(taken)  # in config.yaml itself it may be a slip


def test_a_sound_config_has_no_problem(config: Config) -> None:
    before = copy.deepcopy(config)
    experiment = read_experiment(config, SCHEMA)
    assert config == before
    names = [cell.variant for cell in experiment.cells]
    assert {"regularized_eq15_alpha-0.2", "negative_k3_beta0.1", "negative_eq18"} <= set(names)


def test_the_columns_of_what_claims_are_judged_by_are_known(config: Config) -> None:
    assert all(columns_of(name) for name in read_experiment(config, SCHEMA).claim_tables)


def test_figures_and_their_data_can_be_left_out(config: Config) -> None:
    config["figures"] = {"figure_8": config["figures"]["figure_8"]}
    del config["approximation"], config["families"]
    experiment = read_experiment(config, SCHEMA)
    assert "trajectories/n31/softmax" in experiment.tables
    assert {"approximation", "matrices", "attention_errors", "diagram"}.isdisjoint(
        experiment.tables
    )


def test_what_a_job_uses_does_not_depend_on_the_order_of_keys(config: Config) -> None:
    config["variants"]["negative"] = dict(reversed(config["variants"]["negative"].items()))
    config = dict(reversed(config.items()))
    ours = read_experiment(config, SCHEMA)
    theirs = read_experiment(CONFIG, SCHEMA)
    assert ours.cells == theirs.cells
    for cell in ours.cells:
        slices = (jobs.pretrain(one, cell.setting, cell.variant) for one in (ours, theirs))
        assert len(set(map(jobs.as_json, slices))) == 1


def test_a_variant_has_the_features_of_all_but_for_its_own(config: Config) -> None:
    config["features"] = {"family": "oprf", "projection": "simplex", "d_r": 1200}
    config["families"]["compared"] = {"oprf": ["simplex"]}
    own = {
        "softmax": None,
        "softmax_orthogonal": {"projection": "orthogonal"},
        "softmax_simplex": {"d_r": 600},
        "softmax_sderf": {"family": "sderf"},
        "softmax_elu": {"family": "elu+1"},
        "softmax_oprf": {"family": "my_features:Halton", "d_r": 7},
    }
    change(config, {f"variants/{name}/features": value for name, value in own.items() if value})
    experiment = read_experiment(config, SCHEMA)
    assert [experiment.features(name) for name in own] == [
        {"family": "oprf", "projection": "simplex", "d_r": 1200},
        {"family": "oprf", "projection": "orthogonal", "d_r": 1200},
        {"family": "oprf", "projection": "simplex", "d_r": 600},
        {"family": "sderf", "d_r": 1200},
        {"family": "elu+1", "d_r": 1200},
        {"family": "my_features:Halton", "d_r": 7},
    ]
    assert jobs.pretrain(experiment, "n15", "softmax_elu")["features"]["family"] == "elu+1"


# The schema


def resolved(part: Config) -> Config:
    """The part with what it refers to."""
    if "$ref" not in part:
        return part
    inner = {key: value for key, value in part.items() if key != "$ref"}
    definition: Config = SCHEMA["$defs"][part["$ref"].split("/")[-1]]
    return definition | inner


def parts(schema: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every key that the schema knows, with what it says of it."""
    for name, part in schema.get("properties", {}).items():
        if part is not True:
            yield f"{key}{name}", resolved(part)
            yield from parts(resolved(part), f"{key}{name}.")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from parts(schema["additionalProperties"], f"{key}*.")


ALL_PARTS = [
    *parts(SCHEMA),
    *(part for model in models() for part in parts(SCHEMA["$defs"][model], f"variants.{model}.")),
]


def test_every_key_is_described_and_no_other_allowed() -> None:
    assert SCHEMA["additionalProperties"] is False
    for key, part in ALL_PARTS:
        assert part.get("description"), key
        if "properties" in part:
            assert part["additionalProperties"] is False, key
    for model in models():
        assert SCHEMA["$defs"][model]["additionalProperties"] is False


def test_the_schema_and_the_config_have_the_same_defaults(config: Config) -> None:
    bare = copy.deepcopy(config)
    left_out = 0
    for key, part in ALL_PARTS:
        *above, last = key.split(".")
        section: Any = bare
        for name in above:
            section = section.get(name, {})
        if part.get("default") == []:
            continue  # what a section is asked to vary: nothing, unless it says so
        if last in section and "default" in part and not isinstance(section[last], dict):
            assert section.pop(last) == part["default"], key
            left_out += 1
    assert left_out > 10
    assert read_experiment(bare, SCHEMA).config == read_experiment(config, SCHEMA).config


def test_the_schema_and_the_package_know_the_same_things() -> None:
    entry = SCHEMA["properties"]["variants"]["additionalProperties"]
    assert set(entry["properties"]["model"]["enum"]) == set(models())
    assert set(SCHEMA["properties"]["figures"]["properties"]) == set(FIGURE_TABLES)
    assert tuple(SCHEMA["$defs"]["projection"]["enum"]) == Family.projections


def test_the_config_names_its_schema() -> None:
    path = TEXT.split("\n")[0].split("$schema=")[1]
    assert (ROOT / path).read_text(encoding="utf-8").startswith("$schema:")


def test_a_message_is_one_line_of_printable_text_however_long_the_names(config: Config) -> None:
    long = "\x1b[31m" + "n" * 100_000
    change(config, {f"settings/{long}": 3, f"variants/{long}": SLOW, long: 3})
    change(config, {"features/family": long, "figures/figure_3/variant": "x " * 10_000})
    found = problems(config)
    change(config, {f"settings/{long}": None, f"variants/{long}": None, long: None})
    change(config, {"features/family": "positive"})
    found += problems(config)
    assert len(found) == 5
    assert all(line.isprintable() and len(line) < 2100 for line in found)


# Whatever else a user may write

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 2000)
    | st.floats()
    | st.sampled_from(["n15", "softmax", "negative", "eq15", "..", "1e-3", ""])
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["model", "n15", "k", "figure_1"]), inner, max_size=3)
    ),
    max_leaves=5,
)


def paths(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield (*above, key)
        if isinstance(inner, dict | list):
            yield from paths(inner, (*above, key))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    edits=st.lists(st.tuples(st.sampled_from(list(paths(CONFIG))), JSON), min_size=1, max_size=3)
)
def test_any_config_is_accepted_or_refused_in_words(edits: list[tuple[Any, Any]]) -> None:
    config = copy.deepcopy(CONFIG)
    for path, value in edits:
        part = config
        for key in path[:-1]:
            part = part[key] if isinstance(part, dict) and key in part else {}
        if isinstance(part, dict):
            part[path[-1]] = value
    found: list[str] = []
    try:
        experiment = read_experiment(config, SCHEMA)
    except ConfigError as error:
        found = error.problems
    else:
        for cell in experiment.cells:
            json.loads(
                jobs.as_json(jobs.pretrain(experiment, cell.setting, cell.variant)),
                parse_constant=pytest.fail,
            )
        for figure in experiment.figures:
            json.loads(jobs.as_json(jobs.figure(experiment, figure)), parse_constant=pytest.fail)
    assert all(": " in line and "\n" not in line for line in found)


# Whatever the schema knows

Place = tuple[tuple[str | int, ...], Config]
"""A key's path, and what the schema says of its value."""

NEW = "another"


def places(part: Any, here: Any, path: tuple[str | int, ...] = ()) -> Iterator[Place]:
    """Every place of the schema, with names of the config, one for each kind, and a new one.

    Args:
        part: of the schema.
        here: what the config says there, if it does.
        path: of that part.
    """
    part = resolved(part)
    if path:
        yield path, part
    named = here if isinstance(here, dict) else {}
    for name, inner in part.get("properties", {}).items():
        if inner is not True:
            yield from places(inner, named.get(name), (*path, name))
    if isinstance(part.get("additionalProperties"), dict):
        kinds = {
            one["model"]: name
            for name, one in named.items()
            if isinstance(one, dict) and "model" in one
        }
        for name in [*(kinds.values() or list(named)[:1]), NEW]:
            yield from places(part["additionalProperties"], named.get(name), (*path, name))
    for branch in part.get("allOf", []):
        if named and Draft202012Validator(branch["if"]).is_valid(named):
            then = resolved(branch["then"])
            yield from (place for place in places(then, here, path) if place[0] != path)
    if "items" in part:
        yield (*path, 0), resolved(part["items"])


PLACES = list(places(SCHEMA, CONFIG))


def test_every_key_of_the_schema_has_a_place() -> None:
    known = {part.get("description") for _, part in PLACES}
    assert known >= {part["description"] for _, part in ALL_PARTS}


FINITE = JSON.filter(lambda value: "nan" not in repr(value) and "inf" not in repr(value))


def values(part: Config) -> st.SearchStrategy[Any]:
    """What a part of the schema allows, what it just does not, and anything else."""
    part = resolved(part)
    drawn = [FINITE]
    if "enum" in part:
        drawn += [st.sampled_from(part["enum"]), st.sampled_from(part["enum"]).map(lambda v: [v])]
        drawn += [st.sampled_from(part["enum"]).map(lambda v: f"{v} ")]
    limits = [
        part[key] for key in ("const", "minimum", "exclusiveMinimum", "maximum") if key in part
    ]
    drawn += [st.sampled_from([v - 1, v - 0.5, v, v + 0.5, v + 1, f"{v}"]) for v in limits]
    types = part["type"] if isinstance(part.get("type"), list) else [part.get("type")]
    if "integer" in types:
        drawn += [st.integers(part.get("minimum", 0), part.get("maximum", 3000))]
        drawn += [st.just(2**63 - 1)]
    if "number" in types:
        drawn += [st.floats(allow_nan=False, allow_infinity=False), st.sampled_from([0, -0.0])]
    if "string" in types:
        drawn += [st.sampled_from(["n15", "n31", "softmax", "negative", "exact_softmax", "oprf"])]
    if "boolean" in types:
        drawn += [st.booleans(), st.sampled_from([0, 1, "true"])]
    if "array" in types:
        lists = st.lists(values(part["items"]), max_size=3)
        drawn += [lists, lists.map(lambda several: 2 * several)]
    if "object" in types:
        keys = {
            name: values(inner)
            for name, inner in part.get("properties", {}).items()
            if inner is not True
        }
        required = {name: keys.pop(name) for name in part.get("required", [])}
        drawn += [
            st.fixed_dictionaries(required, optional=keys),
            st.fixed_dictionaries({}, optional=keys | required | {"unknown": FINITE}),
        ]
        if isinstance(part.get("additionalProperties"), dict):
            names = st.sampled_from(["n15", "softmax", "oprf", NEW, "a b"])
            drawn += [st.dictionaries(names, values(part["additionalProperties"]), max_size=2)]
    return st.one_of(drawn)


def put(config: Config, path: tuple[Any, ...], value: Any) -> None:
    """Set a value, and what is above it where that is not there."""
    part: Any = config
    for key, below in pairwise(path):
        if below == 0 and not isinstance(part.get(key), list):
            part[key] = []
        part = part.setdefault(key, {})
    if isinstance(part, list):
        part[:1] = [value]
    else:
        part[path[-1]] = value


def dotted(path: Iterable[Any]) -> str:
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path)[1:]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: dotted(place[0]))
@settings(max_examples=4, deadline=None, derandomize=True)
@given(data=st.data())
def test_what_the_schema_forbids_is_refused_by_its_key(place: Place, data: st.DataObject) -> None:
    path, part = place
    value = data.draw(values(part))
    config = copy.deepcopy(CONFIG)
    put(config, path, value)
    found: list[str] = []
    try:
        read_experiment(config, SCHEMA)
    except ConfigError as error:
        found = error.problems
    keys = "|".join(SCHEMA["properties"])
    assert all(re.match(rf"({keys})\b.*: ", line) for line in found), found
    schema = part | {"$defs": SCHEMA["$defs"]}
    for wrong in Draft202012Validator(schema).iter_errors(value):
        key = dotted([*path, *wrong.absolute_path])
        inside = wrong.validator in ("required", "additionalProperties")
        inside |= "propertyNames" in wrong.absolute_schema_path
        assert any(line.startswith(f"{key}." if inside else f"{key}:") for line in found), found


# Files

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{outer}: &{outer} [{', '.join([f'*{inner}'] * 10)}]\n"
    for inner, outer in pairwise("abcdefghij")
)
"""Ten lines that stand for ten billion values."""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("runs: 1\nseed: 2\nruns: 3\n", "runs: given twice, in lines 1 and 3 of config.yaml"),
        ("variants:\n  a: {k: 1, k: 2}\n", "variants.a.k: given twice, in lines 2 and 2"),
        ("variants: {a: 1,\n a: 2}\n", "variants.a: given twice"),
        ("runs: &x [*x]\n", "runs[0]: contains itself"),
        ("runs: [1\n", "config.yaml: cannot be read: "),
        ("runs: 1\n\tseed: 2\n", "line 2"),
        ("? [1, 2]\n: 3\n? [1, 2]\n: 3\n", "given twice"),
        ("", "config.yaml: nothing is not allowed; must be a mapping"),
        ("# nothing\n", "config.yaml: nothing is not allowed"),
        ("- runs\n", "config.yaml: a list is not allowed"),
        ("ten runs", "config.yaml: one value is not allowed"),
        ("runs: 1\n---\nruns: 2\n", "expected a single document"),
        ("runs: 1\0\n", "cannot be read"),
        ("runs: *ten\n", "undefined alias 'ten'"),
        ("runs: {ten\n", "config.yaml: cannot be read"),
        ("runs: 'ten\n", "config.yaml: cannot be read"),
        ("seed: 2001-13-45\n", "seed: '2001-13-45' cannot be read, in config.yaml: month must be"),
        ("task: {d_x: !!int x}\n", "task.d_x: 'x' cannot be read"),
        (f"runs: {'9' * 5000}\n", "runs: '99999"),
        (
            "runs: 1:30\n",
            "runs: 1:30 is not allowed, in config.yaml; YAML reads it as 90: write that",
        ),
        (
            "task: {d_x: -0777}\n",
            "task.d_x: -0777 is not allowed, in config.yaml; YAML reads it as -511",
        ),
        ("equivalence: {tolerance: 1:30.5}\n", "YAML reads it as 90.5"),
        ("variants: {a: {settings: [015]}}\n", "variants.a.settings[0]: 015 is not allowed"),
        ("seed: !kind 3\n", "seed: '3' cannot be read"),
        ("? [runs]\n: 3\n", "unhashable key"),
        ("<<: 3\n", "expected a mapping"),
        (f"runs: {'[' * 5000}{']' * 5000}\n", "maximum recursion depth"),
        (LAUGHS, "values with aliases written out; must be at most 1000000"),
    ],
)
def test_a_file_is_checked_before_it_is_read(tmp_path: Any, text: str, says: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        check_file(path)
    assert any(says in line for line in error.value.problems)


def test_a_missing_file_and_one_of_bytes_are_told(tmp_path: Any) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        check_file(tmp_path / "config.yaml")
    for content in (
        b"\xff\xfe\x00\x80",
        "runs: é".encode("latin1"),
        bytes(range(256)),
        b"\x00" * 99,
    ):
        (tmp_path / "config.yaml").write_bytes(content)
        with pytest.raises(ConfigError, match="cannot be read"):
            check_file(tmp_path / "config.yaml")


def read(path: Path) -> None:
    check_file(path)
    read_experiment(yaml.safe_load(path.read_bytes()), SCHEMA)


def test_a_file_that_is_cut_off_is_refused_wherever_it_ends(tmp_path: Any) -> None:
    path, content = tmp_path / "config.yaml", TEXT.encode()
    required = content.index(b"\nfigures:")  # without what follows, a config is whole
    for size in range(0, required, 61):
        path.write_bytes(content[:size])
        with pytest.raises(ConfigError):
            read(path)


# On the command line


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project.copy(tmp_path_factory.mktemp("config") / "project")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("seed: 2023", "seed: 2023\nseed: 1", "  seed: given twice, in lines 5 and 6 of config"),
        ("k: [1, 3, 5]", "k: [1, 16]", "  variants.negative.k: 16 is not allowed"),
    ],
)
def test_snakemake_stops_with_the_message_alone(
    project: Project, old: str, new: str, says: str
) -> None:
    with project.edited("config.yaml", old, new):
        done = project.snakemake()
    assert done.returncode != 0
    lines = done.stdout.strip().split("\n")
    assert lines[0] == "error: the config is not valid"
    assert lines[1].startswith(says)
    assert len(lines) == 2
    assert not (project.root / "results").exists()


def test_the_command_line_is_checked_too(project: Project) -> None:
    values = ("rnus=3", "seed=three", "variants=[]", "task={d_x: true}")
    done = project.snakemake("--config", *values)
    assert done.returncode != 0
    assert "  rnus: unknown key; must be one of seed, runs" in done.stdout
    assert "  seed: 'three' is not allowed; must be an integer" in done.stdout
    assert "  variants: [] is not allowed; must be a mapping" in done.stdout
    assert "  task.d_x: 'true' is not allowed; must be an integer" in done.stdout
    assert "Traceback" not in done.stdout


def test_an_overriding_file_is_checked_too(
    project: Project, tmp_path: Any, request: Callable[..., Any]
) -> None:
    path = tmp_path / "override.yaml"
    path.write_text("runs: 3\nruns: 4\n", encoding="utf-8")
    done = project.snakemake("--configfile", path)
    assert done.returncode != 0
    assert "  runs: given twice, in lines 1 and 2 of override.yaml" in done.stdout
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize(
    "text", ["seed: 0\n", "runs: 10_000\nseed: 0x1F\n", "seed: '0777'\n", "a: 1.50\nb: 00:x\n"]
)
def test_numbers_that_are_what_they_look_like_are_read(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    check_file(path)


def test_a_json_file_with_tabs_is_read(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{\n\t"runs": 3,\n\t"seed":\t4\n}\n', encoding="utf-8")
    check_file(path)
    path.write_text('{\n\t"runs": 3,\n\t"runs": 4\n}\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="given twice, in lines 2 and 3"):
        check_file(path)


def test_a_file_takes_variants_and_figures_away(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "less.yaml"
    path.write_text(
        "variants: {softmax_elu: null}\nfamilies: {trained: null}\nfigures: {figure_8: null}\n",
        encoding="utf-8",
    )
    plan = project.make("--dry-run", "--configfile", path)
    assert "softmax_oprf" in plan
    assert not re.search(r"softmax_elu|figure_8|family_training", plan)


@pytest.mark.parametrize(
    ("arguments", "last"),
    [
        (("--config", "runs"), "Config entries have to be defined as name=value pairs"),
        (("--configfile", "nowhere.yaml"), "No such file or directory: 'nowhere.yaml'"),
        (("--configfile", "workflow"), "Is a directory: 'workflow'"),
        (("--configfile", "latin-1.yaml"), "UnicodeDecodeError: 'utf-8' codec can't decode byte"),
        (("--configfile", "utf-16.yaml"), "UnicodeDecodeError: 'utf-8' codec can't decode byte"),
    ],
)
def test_what_snakemake_reads_before_the_workflow_is_told_last(
    project: Project, arguments: tuple[str, str], last: str
) -> None:
    """As workflow/docs/config.md says: no file of the project has been read by then."""
    for encoding in ("latin-1", "utf-16"):
        (project.root / f"{encoding}.yaml").write_text("# é\nruns: 3\n", encoding=encoding)
    done = project.snakemake("--dry-run", *arguments)
    assert done.returncode != 0
    assert last in done.stdout.strip().splitlines()[-1]


def test_an_editor_that_checks_by_the_schema_finds_no_fault() -> None:
    """It has the file alone, without what the code adds to it."""
    texts = (ROOT / name for name in ("workflow/schemas/config.schema.yaml", "config.yaml"))
    schema, config = (yaml.safe_load(one.read_text(encoding="utf-8")) for one in texts)
    assert [*Draft202012Validator(schema).iter_errors(config)] == []
    assert [*Draft202012Validator(schema).iter_errors(config | {"rums": 3})] != []
