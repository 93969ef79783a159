"""Universes are trained and judged as by the ordinary steps; the tables say what is so."""

from __future__ import annotations

import argparse
import copy
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from icl_contrastive.artifacts.files import load_table, load_tensors
from icl_contrastive.claims import Evidence, evaluate, read_claims
from icl_contrastive.config import Experiment, jobs, read_experiment
from icl_contrastive.config.multiverse import list_universes, space_of, universe_experiment
from icl_contrastive.figures import multiverse as verdicts_figure
from icl_contrastive.figures import multiverse_curves, multiverse_decisions
from icl_contrastive.figures.command import main as draw
from icl_contrastive.multiverse.judge import judged, median_errors, median_predictions, read_effects
from icl_contrastive.multiverse.judged import Judged
from icl_contrastive.multiverse.space import changes, universe_name
from icl_contrastive.report import results_page
from icl_contrastive.report.universes import read_multiverse
from icl_contrastive.steps import attention_errors as attention_errors_step
from icl_contrastive.steps import collect_pretraining, multiverse_joint
from icl_contrastive.steps import controls as controls_step
from icl_contrastive.steps import data as data_step
from icl_contrastive.steps import pretrain as pretrain_step
from icl_contrastive.steps import universe as universe_step
from icl_contrastive.steps import universe_claims as claims_step
from icl_contrastive.steps.universe_claims import Readings
from icl_contrastive.steps.universe_claims import Universe as Tables

from .universes import CLAIMS, listed_claims, write_universes

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text(encoding="utf-8"))
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
TINY: dict[str, Any] = {
    "runs": 6,
    "test_prompts": 8,
    "features": {"family": "positive", "d_r": 24},
    "settings": {
        "n15": {"demonstrations": 15, "prompts": 12, "epochs": 4},
        "n31": {"demonstrations": 31, "prompts": 10, "epochs": 3},
    },
    "variants": {
        "softmax": {"model": "softmax", "learning_rate": 0.003, "settings": ["n15", "n31"]},
        "exact": {
            "model": "softmax",
            "attention": "exact",
            "learning_rate": 0.003,
            "settings": ["n15"],
        },
        "augmented_g1": {
            "model": "augmented",
            "g1": 1,
            "learning_rate": 0.003,
            "settings": ["n15"],
        },
    },
    "approximation": {
        "variant": "softmax",
        "settings": ["n15", "n31"],
        "d_r": [12, 24],
        "shown": [12, 24],
        "prompts": 3,
        "draws": 2,
    },
    "controls": {"variant": "softmax", "exact": "exact", "settings": ["n15", "n31"]},
    "equivalence": {"prompts": 2},
    "figures": {},
}
CELLS: dict[str, Any] = {
    "n15": {"softmax": {}, "exact": {}, "augmented_g1": {}},
    "n31": {"softmax": {}},
}


def experiment(**more: Any) -> Experiment:
    config = copy.deepcopy(TINY)
    config["multiverse"] = copy.deepcopy(CONFIG["multiverse"])
    config["multiverse"] |= {"settings": CELLS, "runs": 5, "size": 4} | more
    return read_experiment(config, SCHEMA)


class Universe:
    """One that has been trained and judged."""

    def __init__(self, experiment: Experiment, name: str, folder: Path) -> None:
        self.name, self.job = name, jobs.universe(experiment, "", name)
        self.path, self.table = folder / f"{name}.safetensors", folder / f"{name}.csv"
        arguments = argparse.Namespace(output=self.path, device="cpu", code=[])
        universe_step.main(arguments, self.job)
        arguments = argparse.Namespace(trained=self.path, claims=CLAIMS, output=self.table)
        claims_step.main(arguments, jobs.universe_claims(experiment, "", name))


@pytest.fixture(scope="module")
def one() -> Experiment:
    return experiment()


@pytest.fixture(scope="module")
def default(one: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Universe:
    name = next(iter(list_universes(one)))
    return Universe(one, name, tmp_path_factory.mktemp("default"))


class Ordinary:
    """The same cells by the ordinary steps, one after the other, in a folder."""

    def __init__(self, inside: Experiment, folder: Path) -> None:
        self.folder = folder
        for setting in inside.settings:
            self.run(data_step, jobs.data(inside, setting), output=f"{setting}.safetensors")
        for cell in inside.cells:
            job = jobs.pretrain(inside, cell.setting, cell.variant)
            self.train(cell.setting, cell.variant, job)

    def train(self, setting: str, variant: str, job: dict[str, Any]) -> None:
        inputs, output = [self.folder / f"{setting}.safetensors"], self.path(setting, variant)
        arguments = argparse.Namespace(inputs=inputs, output=output, device="cpu", code=[])
        pretrain_step.main(arguments, job)

    def path(self, setting: str, variant: str) -> Path:
        return self.folder / f"{setting}_{variant}.safetensors"

    def run(self, step: Any, job: dict[str, Any], **names: Any) -> dict[str, pd.DataFrame]:
        paths: dict[str, Any] = {
            key: [self.folder / one for one in name]
            if isinstance(name, list)
            else self.folder / name
            for key, name in names.items()
        }
        step.main(argparse.Namespace(**paths, code=[]), job)
        written = [paths[key] for key in names if str(names[key]).endswith(".csv")]
        return {path.stem: load_table(path) for path in written}


@pytest.fixture(scope="module")
def ordinary(one: Experiment, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    inside = universe_experiment(one, space_of(one).trained.default)
    steps = Ordinary(inside, tmp_path_factory.mktemp("ordinary"))
    tables: dict[str, list[Any]] = {}
    for setting in ("n15", "n31"):
        data, base = f"{setting}.safetensors", f"{setting}_softmax.safetensors"
        exact = [f"{setting}_exact.safetensors"] if setting == "n15" else []
        outputs = {"controls": "controls.csv", "solutions": "solutions.csv"}
        job = jobs.controls(inside, setting)
        found = steps.run(controls_step, job, data=data, pretrained=[base, *exact], **outputs)
        outputs = {"errors": "attention_errors.csv", "bias": "attention_bias.csv"}
        job = jobs.attention_errors(inside, setting)
        found |= steps.run(attention_errors_step, job, data=data, pretrained=base, **outputs)
        for name, table in found.items():
            tables.setdefault(name, []).append(table)
    cells = [f"{cell.setting}_{cell.variant}.safetensors" for cell in inside.cells]
    curves = steps.run(collect_pretraining, {}, pretrained=cells, output="curves.csv")["curves"]
    joined = {name: pd.concat(parts) for name, parts in tables.items()}
    return joined | {"pretraining": curves, "steps": steps, "experiment": inside}


# Training and judging


def test_a_universe_trains_what_the_ordinary_steps_do(
    default: Universe, ordinary: dict[str, Any]
) -> None:
    arrays, made_by = load_tensors(default.path)
    assert made_by["failed"] == {}
    for cell in ordinary["experiment"].cells:
        expected, _ = load_tensors(ordinary["steps"].path(cell.setting, cell.variant))
        for name in ("train_mse", "test_mse"):
            np.testing.assert_array_equal(arrays[f"{cell}/{name}"], expected[name])
    softmax, _ = load_tensors(ordinary["steps"].path("n15", "softmax"))
    assert arrays["n15/softmax/checkpoints/W_Q"].shape[1] == 2  # all epochs, and a third of them
    np.testing.assert_array_equal(arrays["n15/softmax/checkpoints/W_Q"][:, 1], softmax["W_Q"])
    assert "n15/augmented_g1/W_Q" not in arrays


def test_the_default_universe_has_the_numbers_of_the_ordinary_tables(
    one: Experiment, default: Universe, ordinary: dict[str, Any]
) -> None:
    """Each claim by itself, as ``evaluate`` judges it."""
    settings, claims = read_claims(yaml.safe_load(CLAIMS.read_text(encoding="utf-8")))
    config = jobs.claims(ordinary["experiment"])
    read_off = ("controls", "solutions", "attention_errors", "attention_bias")
    tables = {name: ordinary[name] for name in ("pretraining", *read_off)}
    evidence = Evidence(config, tables)
    whole = universe_name(space_of(one).trained.default | space_of(one).analyzed.default)
    found = load_table(default.table)
    found = found[found["universe"] == whole].set_index("id")
    assert list(found.index) == list(listed_claims())
    tested = 0
    for claim in judged(claims):
        row = evaluate([claim], evidence, settings).scorecard.iloc[0]
        assert found.loc[claim.id, "verdict"] == row["verdict"]
        if row["verdict"] != "not tested":
            assert float(str(found.loc[claim.id, "ours"])) == pytest.approx(row["ours"], rel=1e-6)
            tested += 1
            effects = read_effects(str(found.loc[claim.id, "effects"]))
            assert all(len(effect.values) == 5 for effect in effects)
    assert tested > 10


def test_every_reading_of_a_training_has_its_verdicts(one: Experiment, default: Universe) -> None:
    found = load_table(default.table)
    names = {
        universe_name(space_of(one).trained.default | after)
        for after in space_of(one).analyzed.universes()
    }
    assert set(found["universe"]) == names
    assert len(names) == 16
    assert set(found["trained"]) == {default.name}
    numbers = found.pivot(index="universe", columns="id", values="ours")
    # What is decided after training changes only what it is about.
    assert numbers["g1_poorer"].nunique() == 2  # the epochs
    assert numbers["close_to_truth_n15"].nunique() == 4  # and the average
    assert numbers["attention_error_is_low"].nunique() == 16
    # A share of prompts and a correlation over them have no average.
    assert numbers["quoted_prompt_n15"].nunique() <= 2
    assert numbers["zero_shot_part"].nunique() == 2


def test_a_shorter_training_is_read_as_if_it_had_ended_there(
    one: Experiment, default: Universe, ordinary: dict[str, Any], tmp_path: Path
) -> None:
    steps = Ordinary(ordinary["experiment"], tmp_path)
    for setting, epochs in (("n15", 1), ("n31", 1)):
        job = jobs.pretrain(ordinary["experiment"], setting, "softmax") | {"epochs": epochs}
        steps.train(setting, "softmax", job)
    job = jobs.controls(ordinary["experiment"], "n15")
    names = {"data": "n15.safetensors", "pretrained": ["n15_softmax.safetensors"]}
    outputs = {"controls": "controls.csv", "solutions": "solutions.csv"}
    table = steps.run(controls_step, job, **names, **outputs)["controls"]
    config, claims = jobs.claims(ordinary["experiment"]), listed_claims()
    settings, _ = read_claims(yaml.safe_load(CLAIMS.read_text(encoding="utf-8")))
    claim = claims["close_to_truth_n15"]
    evidence = Evidence(config, {"controls": table})
    row = evaluate([claim], evidence, settings).scorecard.iloc[0]
    choices = space_of(one).default | {"epochs": 0.33}
    found = load_table(default.table)
    there = (found["universe"] == universe_name(choices)) & (found["id"] == claim.id)
    assert float(found[there]["ours"].iloc[0]) == pytest.approx(row["ours"], rel=1e-6)


def test_a_universe_alone_has_the_bytes_that_it_has_in_any_other_order(
    one: Experiment, default: Universe, tmp_path: Path
) -> None:
    """Another one is trained first here."""
    names = list(list_universes(one))
    Universe(one, names[1], tmp_path)
    again = Universe(one, names[0], tmp_path)
    first, then = (load_tensors(path) for path in (default.path, again.path))
    assert first[1] == then[1]
    for name, array in first[0].items():
        np.testing.assert_array_equal(array, then[0][name])
    assert again.table.read_bytes() == default.table.read_bytes()


def test_universes_share_tasks_prompts_and_draws() -> None:
    """What differs is what is decided: so their runs are paired."""
    one = experiment()
    choices = space_of(one).trained.default
    job = jobs.pretrain(universe_experiment(one, choices), "n15", "softmax")
    larger = universe_experiment(one, choices | {"initialization": "uniform x 2"})
    other = jobs.pretrain(larger, "n15", "softmax")
    assert {key for key in job if job[key] != other[key]} == {"init_scale"}
    assert jobs.data(larger, "n15") == jobs.data(universe_experiment(one, choices), "n15")


def test_a_training_that_diverges_is_a_result(tmp_path: Path) -> None:
    config = copy.deepcopy(TINY)
    config["multiverse"] = CONFIG["multiverse"] | {"settings": CELLS, "runs": 5, "size": 1}
    for name in ("softmax", "exact"):
        config["variants"][name]["learning_rate"] = 1e30
    config["variants"]["other"] = TINY["variants"]["softmax"]
    config["multiverse"]["settings"] = {"n15": CELLS["n15"] | {"other": {}}, "n31": {"other": {}}}
    one = read_experiment(config, SCHEMA)
    universe = Universe(one, next(iter(list_universes(one))), tmp_path)
    arrays, made_by = load_tensors(universe.path)
    assert set(made_by["failed"]) == {"n15/softmax", "n15/exact"}
    assert "is not finite after epoch" in made_by["failed"]["n15/softmax"]
    assert "n15/other/train_mse" in arrays
    found = load_table(universe.table).set_index("id")["verdict"]
    assert set(found["close_to_truth_n15"]) == {"failed"}
    assert set(found["attention_mse_falls"]) == {"failed"}
    assert set(found["close_to_truth_n31"]) == {"not tested"}  # it has no such cell
    # Its base, "other", was trained, but not the layer whose table has the labels' variance.
    assert set(found["g1_poorer"]) == {"failed"}
    assert read_effects(load_table(universe.table)["effects"].iloc[0]) == []


# Medians in the place of means


def test_curves_are_held_against_the_labels_variance_in_every_reading(
    one: Experiment, default: Universe, ordinary: dict[str, Any], tmp_path: Path
) -> None:
    config, claims = jobs.universe_claims(one, "", default.name), listed_claims()
    _, epochs = config["epochs"][0]
    readings = Readings(Tables(default.path, tmp_path), config, epochs)
    median = {"average": "median"}
    of_layer = "setting == 'n15' and predictor == 'layer'"
    labels = pd.to_numeric(ordinary["controls"].query(of_layer)["y_true"])
    for name, prompts in (("g2_faster", 8), ("close_to_truth_n15", 1)):
        evidence = readings.evidence_for(median, claims[name])
        rows = evidence.table("controls", setting="n15", predictor="layer")
        assert len(rows) == 5 * prompts
        is_mean = np.isclose((rows["y_true"] ** 2).mean(), (labels**2).mean())
        assert is_mean == (prompts > 1)


def test_medians_of_predictions_are_those_over_prompts(ordinary: dict[str, Any]) -> None:
    controls = ordinary["controls"].assign(
        **{name: pd.to_numeric(ordinary["controls"][name]) for name in ("y_true", "squared_error")}
    )
    found = median_predictions(controls).set_index(["setting", "run", "predictor"])
    for key, rows in controls.groupby(["setting", "run", "predictor"]):
        assert found.loc[key, "squared_error"] == np.median(rows["squared_error"])
        assert found.loc[key, "y_true"] ** 2 == pytest.approx(np.median(rows["y_true"] ** 2))


def test_medians_of_errors_are_those_over_prompts(ordinary: dict[str, Any]) -> None:
    measures = ["mse", "relative"]
    table = ordinary["attention_errors"]
    table = table.assign(**{name: pd.to_numeric(table[name]) for name in measures})
    keys = ["setting", "run", "projection", "d_r", "draw", "matrix"]
    found = median_errors(table[[*keys, "trained", "prompt", *measures]], measures)
    grouped = table.groupby([*keys, "trained"])
    assert len(found) == grouped.ngroups
    for row in found.sample(20, random_state=0).to_dict("records"):
        rows = grouped.get_group(tuple(row[key] for key in [*keys, "trained"]))
        assert row["mse"] == np.median(rows["mse"])
        assert row["relative"] == np.median(rows["relative"])


# The tables of all universes


@pytest.fixture(scope="module")
def made_up() -> Experiment:
    config = copy.deepcopy(CONFIG)
    config["multiverse"]["size"] = 7
    for name in ("matrix", "queries", "projection"):
        del config["multiverse"]["decisions"][name]
    return read_experiment(config, SCHEMA)


@pytest.fixture(scope="module")
def tables(made_up: Experiment, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("tables")
    read = write_universes(made_up, folder)
    paths = {path.stem: path for path in folder.glob("*.csv")}
    text = {"epochs": str, "value": str}
    found = {
        name: pd.read_csv(path, keep_default_na=False, dtype=text) for name, path in paths.items()
    }
    return found | {"folder": folder, "judged": read, "config": jobs.multiverse(made_up)}


def test_every_universe_has_a_row_and_the_command_that_runs_it(tables: dict[str, Any]) -> None:
    rows, judged_ = tables["universes"], tables["judged"]
    assert len(rows) == 7 * 4
    default = dict(judged_.universes[judged_.default])
    assert rows["universe"].iloc[0] == judged_.default
    for row in rows.to_dict("records"):
        choices = judged_.universes[row["universe"]]
        assert row["changes"] == len(changes(choices, default))
        assert {name: str(row[name]) for name in choices} == {n: str(v) for n, v in choices.items()}
        assert row["command"].endswith(f" results/multiverse/{row['trained']}.csv")


def test_the_universes_of_a_claim_are_in_the_order_of_its_number(tables: dict[str, Any]) -> None:
    rows = tables["multiverse"]
    assert list(dict.fromkeys(rows["id"])) == list(tables["judged"].verdicts())
    for _, one in rows.groupby("id"):
        values = pd.to_numeric(one["ours"]).dropna()
        assert values.is_monotonic_increasing
        band = one.loc[values.index, ["null_low", "null_high"]].apply(pd.to_numeric).dropna()
        assert (band["null_low"] <= band["null_high"]).all()


def test_shares_by_value_are_counts(tables: dict[str, Any]) -> None:
    """From the rows of the verdicts alone."""
    verdicts, universes = tables["multiverse"], tables["universes"].set_index("universe")
    rows = tables["multiverse_decisions"]
    for row in rows.sample(60, random_state=0).to_dict("records"):
        of_claim = verdicts[verdicts["id"] == row["id"]]
        has = universes.loc[of_claim["universe"], row["decision"]].astype(str) == str(row["value"])
        decided = of_claim[has.to_numpy() & (of_claim["verdict"] != "not tested")]
        assert row["universes"] == len(decided)
        assert row["holds"] == (decided["verdict"] == "reproduced").sum()
        if len(decided):
            assert float(row["share"]) == pytest.approx(row["holds"] / row["universes"])


def test_what_is_explained_lies_within_its_interval_and_the_whole(tables: dict[str, Any]) -> None:
    rows = tables["multiverse_decisions"]
    names = [f"{share}{end}" for share in ("alone", "total") for end in ("", "_low", "_high")]
    rows = rows[rows["alone"] != ""][["id", *names]].astype(dict.fromkeys(names, float))
    assert rows["id"].nunique() > 20
    assert rows[names].min().min() > -1e-9
    assert rows[names].max().max() < 1 + 1e-9
    for share in ("alone", "total"):
        assert (rows[f"{share}_low"] <= rows[f"{share}_high"]).all()


def test_the_fewest_changes_are_those_of_no_other_universe(tables: dict[str, Any]) -> None:
    """By trying all sets of changes, the small ones first."""
    verdicts, judged_ = tables["multiverse"], tables["judged"]
    default = dict(judged_.universes[judged_.default])
    for claim, rows in tables["multiverse_flips"].groupby("id"):
        found = verdicts[verdicts["id"] == claim].set_index("universe")["verdict"]
        own = found[judged_.default]
        assert set(rows["default_verdict"]) == {own}
        turned = set()
        for count in range(1, len(default) + 1):
            for names in combinations(default, count):
                for universe, choices in judged_.universes.items():
                    if {n for n in default if choices[n] != default[n]} == set(names):
                        other = found[universe]
                        decided = {"failed", "not tested"}.isdisjoint({own, other})
                        if decided and (own == "reproduced") != (other == "reproduced"):
                            turned.add(universe)
            if turned:
                break
        assert set(rows["universe"]) == (turned or {""})


def test_what_all_universes_say_together(tables: dict[str, Any]) -> None:
    verdicts, tests = tables["multiverse"], tables["multiverse_tests"].set_index("id")
    for claim, rows in verdicts.groupby("id"):
        counts = rows["verdict"].value_counts()
        for column, verdict in (("holds", "reproduced"), ("failed", "failed")):
            assert tests.loc[claim, column] == counts.get(verdict, 0)
        smallest = pd.to_numeric(rows["p_joint"]).min()
        told = pd.to_numeric(tests.loc[claim, "p_joint"] or np.nan)
        assert np.array_equal(smallest, told, equal_nan=True)


def test_the_best_are_counted_again_on_fresh_runs(tables: dict[str, Any]) -> None:
    folder, config, chosen = tables["folder"], tables["config"], tables["best"]
    assert len(chosen) == chosen["trained"].nunique() == 2
    rows = pd.read_csv(folder / "multiverse_joint.csv").set_index("universe")
    again, first = Judged.read(folder / "fresh.csv", config).verdicts(), tables["judged"].verdicts()
    assert rows["holds"].is_monotonic_decreasing
    for universe in map(str, rows.index):
        row = rows.loc[universe]
        assert row["holds"] == (first.loc[universe] == "reproduced").sum()
        assert row["chosen"] == (universe in set(chosen["universe"]))
        if row["chosen"]:
            held = again.loc[universe] == "reproduced"
            assert row["fresh_holds"] == held.sum()
            assert row["hold_again"] == (held & (first.loc[universe] == "reproduced")).sum()
        else:
            assert np.isnan(row["fresh_holds"])
    assert rows.loc[chosen["universe"].iloc[0], "holds"] == rows["holds"].iloc[0]


def test_without_fresh_runs_none_is_chosen(tables: dict[str, Any], tmp_path: Path) -> None:
    arguments = argparse.Namespace(judged=[tables["folder"] / "all.csv"], output=tmp_path / "a.csv")
    multiverse_joint.main(arguments, tables["config"])
    assert not pd.read_csv(arguments.output)["chosen"].any()


def test_the_page_tells_what_the_tables_say(tables: dict[str, Any], tmp_path: Path) -> None:
    assert read_multiverse(tmp_path) is None
    told = read_multiverse(tables["folder"])
    assert told is not None
    verdicts = tables["multiverse"]
    tested = list(tables["judged"].verdicts())[1:]  # one is not
    assert [claim.id for claim in told.claims] == tested
    for place, claim in enumerate(told.claims):
        found = verdicts[verdicts["id"] == claim.id].set_index("universe")["verdict"]
        assert (claim.holds, claim.universes) == ((found == "reproduced").sum(), 28)
        assert claim.default == found[tables["judged"].default]
        for row, universe in zip(told.universes, tables["universes"]["universe"], strict=True):
            assert told.verdicts[row.verdicts[place]] == found[universe]
    assert (told.trained, told.total) == (7, 28)
    assert sum(told.counts) == len(told.claims)
    joint = tables["multiverse_joint"]
    best = joint[joint["fresh_holds"] != ""].iloc[0]
    assert told.most == (best["holds"], best["tested"])
    assert told.fresh == (int(float(best["fresh_holds"])), int(float(best["hold_again"])))
    assert len(told.best.split("; ")) == best["changes"] or best["changes"] == 0
    means = tables["multiverse_decisions"].query("total != ''").drop_duplicates(["id", "decision"])
    by_decision = means.groupby("decision")["total"].apply(lambda one: one.astype(float).mean())
    assert told.matters is not None
    assert told.matters[0] == by_decision.idxmax()
    assert told.matters[1] == pytest.approx(by_decision.max())


def test_the_readme_s_lines_are_what_the_page_tells(tables: dict[str, Any]) -> None:
    told = read_multiverse(tables["folder"])
    assert told is not None
    lines = results_page.universes(told)
    (everywhere, somewhere, nowhere), count = told.counts, len(told.claims)
    first = f"{count} claims in 28 universes:** {everywhere} hold in all, {somewhere} in some"
    assert f"{first}, {nowhere} in none." in lines
    assert told.matters is not None
    assert f"matters most is {told.matters[0]}:**" in lines
    assert told.fresh is not None
    held = f"{told.most[0]} of {told.most[1]}, with {told.best}; on fresh runs {told.fresh[0]} do"
    assert held in lines
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    begin, end = lines.splitlines()[0], lines.splitlines()[-1]
    assert readme.count(begin) == readme.count(end) == 1
    assert readme.index(begin) < readme.index(end)


@pytest.mark.parametrize("figure", [verdicts_figure, multiverse_curves, multiverse_decisions])
def test_the_figures_are_drawn_from_the_tables_alike(
    tables: dict[str, Any], figure: Any, tmp_path: Path
) -> None:
    """Of four claims, which do for that."""
    names = ["multiverse_decisions"]
    if figure is not multiverse_decisions:
        names = ["multiverse", "universes", "multiverse_decisions"]
    few = tables["multiverse"].query("ours != ''")["id"].unique()[:4]
    options = []
    for name in names:
        rows = tables[name]
        options += [f"--{name}", str(tmp_path / f"{name}.csv")]
        (rows[rows["id"].isin(few)] if "id" in rows else rows).to_csv(options[-1], index=False)
    drawn = []
    for suffix in "ab":
        path = tmp_path / f"{suffix}.png"
        draw(figure.draw, [*options, "--output", str(path)])
        drawn.append(path.read_bytes())
    assert drawn[0] == drawn[1]
