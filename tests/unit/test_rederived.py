"""The verdicts rederived by code that shares nothing with the claims' own."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from snakemake.utils import update_config

from icl_contrastive.artifacts.files import save_table
from icl_contrastive.artifacts.tables import MAY_BE_EMPTY
from icl_contrastive.claims import Evidence, evaluate, read_claims
from icl_contrastive.config import Experiment, jobs, read_experiment
from icl_contrastive.report.keep import VERDICT, keep

from ..rederive import CLAIMS, Tables, compared_verdicts, differences, verdicts
from .made_up import LAWS, Array, Columns, as_text, index

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PRESETS = ROOT / "workflow/presets"
RUNS, PROMPTS, EPOCHS = 10, 4, 10
D_R = (12, 1200, 4800)


def made_up_run(seed: int) -> dict[str, pd.DataFrame]:
    """Tables with the columns of the confirmatory run, and effects of all sizes and directions."""
    rng = np.random.default_rng(seed)

    def sizes(columns: Columns, spread: float = 1.0, of_all: float = 1.0) -> Array:
        """Factors: one for all rows, one for each run, and one for each row."""
        of_runs = np.exp(rng.uniform(0.02, spread) * rng.standard_normal(RUNS))[columns["run"]]
        of_rows = rng.lognormal(of_all * rng.standard_normal(), 0.1, len(of_runs))
        return np.asarray(of_runs * of_rows)

    def text(about: dict[str, object], columns: Columns) -> pd.DataFrame:
        table = as_text({**about, **columns})
        return table.sample(frac=1, random_state=seed)  # the order of rows is no one's promise

    curves, ends, errors, bias, predictions, solutions = [], [], [], [], [], []
    experiment = confirmatory()
    for cell in experiment.cells:
        about: dict[str, object] = {"setting": cell.setting, "variant": cell.variant}
        columns = index(RUNS, epoch=EPOCHS)
        columns["epoch"] += 1
        fall = np.exp(-rng.uniform(0.1, 0.3) * columns["epoch"])
        columns["train_mse"] = sizes(columns, 0.2, 0.3) * fall
        curves.append(text(about, columns))
        for scheme in ("full_batch", "full_batch_from_eq12", "single_sample", "restated"):
            columns = index(RUNS, prompt=PROMPTS)
            level = rng.choice([1e-15, 1e-15, 1e-15, 1e-8, 1e-3, 0.05])
            columns["relative_error"] = level * sizes(columns, 0.5, 0.1)
            columns["lowest_weight"] = rng.normal(rng.normal(), 1, len(columns["run"]))
            ends.append(text(about | {"scheme": scheme}, columns))
    for setting, matrix in [(s, m) for s in ("n15", "n31") for m in ("attention", "output")]:
        slope = rng.normal(-0.3, 0.4)
        for law in LAWS:
            trained = law == LAWS[0]
            about = {"setting": setting, "matrix": matrix, "projection": law, "trained": trained}
            for d_r in D_R if trained else D_R[1:2]:
                columns = index(RUNS, prompt=PROMPTS, draw=3)
                for name in (
                    *("mse", "mae", "size", "mse_uniform", "absolute_largest", "absolute_rest"),
                    *("relative", "relative_largest", "relative_rest"),
                ):
                    columns[name] = sizes(columns, 0.3, 0.2)
                columns["mse"] *= d_r**slope
                columns["nearer_than_uniform"] = rng.uniform(size=len(columns["run"]))
                errors.append(text(about | {"d_r": d_r}, columns))
                columns = index(RUNS, prompt=PROMPTS)
                columns["bias2"] = sizes(columns)
                columns["variance"] = sizes(columns)
                bias.append(text(about | {"d_r": d_r}, columns))
    for setting in ("n15", "n31", "n15_multitask"):
        label = rng.standard_normal(RUNS * PROMPTS)
        names = ("layer", "zero-shot part", "demonstrations' part")
        made: dict[str, Array] = {}
        for name in (*names, "shuffled labels", "fresh task", "exact softmax"):
            columns = index(RUNS, prompt=PROMPTS)
            columns["y_true"] = label
            noise = rng.standard_normal(len(label))
            columns["prediction"] = rng.uniform(-1, 1) * label + rng.uniform(0.1, 1) * noise
            made[name] = columns["prediction"].reshape(RUNS, PROMPTS)
            columns["squared_error"] = sizes(columns)
            predictions.append(text({"setting": setting, "predictor": name}, columns))
        pairs = zip(made["layer"], made["demonstrations' part"], strict=True)
        columns = index(RUNS)
        columns["zero_shot_share"] = 1 - np.array(
            [np.polyfit(layer, part, 1)[0] for layer, part in pairs]
        )
        solutions.append(text({"setting": setting}, columns))
    columns = index(RUNS, prompt=PROMPTS, step=4)
    for name in ("cosine", "cosine_others"):
        columns[name] = rng.normal(rng.normal(0, 0.3), 0.2, len(columns["run"]))
    about = {"setting": "n15", "variant": "softmax", "scheme": "single_sample"}
    return {
        "pretraining": pd.concat(curves),
        "equivalence": pd.concat(ends),
        "attention_errors": pd.concat(errors),
        "attention_bias": pd.concat(bias),
        "controls": pd.concat(predictions),
        "solutions": pd.concat(solutions),
        "trajectories/n15/softmax": text(about, columns),
    }


@cache
def confirmatory() -> Experiment:
    """That of the confirmatory run, which has nothing that claims do not need."""
    config, schema, preset = (
        yaml.safe_load((ROOT / name).read_text("utf-8"))
        for name in (
            *("config.yaml", "workflow/schemas/config.schema.yaml"),
            "workflow/presets/confirm.yaml",
        )
    )
    overridden = deepcopy(config)
    update_config(overridden, preset)
    return read_experiment(overridden, schema, config)


def written(folder: Path, seed: int, *without: str) -> Path:
    """The folder of a made-up run's tables, with its scorecard and its effects."""
    tables = made_up_run(seed)
    for name, table in tables.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if name not in without:
            save_table(folder / f"{name}.csv", table)
    there = {name: table for name, table in tables.items() if name not in without}
    settings, claims = read_claims(CLAIMS)
    evidence = Evidence(jobs.claims(confirmatory()), there)
    found = evaluate(claims, evidence, settings)
    save_table(folder / "claims.csv", found.scorecard, MAY_BE_EMPTY["claims"])
    save_table(folder / "effects.csv", found.effects)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("run"), seed=1)


def test_every_number_and_every_verdict_is_rederived(run: Path) -> None:
    assert differences(run) == (len(CLAIMS["claims"]), [])
    assert Tables(run).d_r == 1200


def test_what_the_run_lacks_is_not_tested_here_either(tmp_path: Path) -> None:
    count, found = differences(written(tmp_path, 2, "controls", "attention_bias"))
    assert 0 < count < len(CLAIMS["claims"])
    assert found == []


def test_verdicts_of_all_kinds_are_rederived(tmp_path: Path) -> None:
    kinds: set[str] = set()
    settings, claims = read_claims(CLAIMS)
    for seed in range(3, 6):
        evidence = Evidence(jobs.claims(confirmatory()), made_up_run(seed))
        found = evaluate(claims, evidence, settings)
        assert compared_verdicts(found.effects, found.scorecard) == []
        kinds |= set(found.scorecard["verdict"])
    assert kinds == {"reproduced", "partly", "inconclusive", "contradicted"}


@pytest.mark.parametrize("name", ["negatives_faster_eq18", "more_demonstrations", "zero_shot_part"])
def test_a_wrong_number_or_verdict_is_told(run: Path, tmp_path: Path, name: str) -> None:
    """So that agreement means something."""
    effects, scorecard = (pd.read_csv(run / f"{name}.csv") for name in ("effects", "claims"))
    tables = tmp_path / "tables"
    tables.mkdir()
    for path in run.iterdir():
        (tables / path.name).symlink_to(path)
    (tables / "effects.csv").unlink()
    changed = effects.copy()
    row = changed.index[(changed["id"] == name) & (changed["run"] == 3)][0]
    changed.loc[row, "value"] *= 1 + 1e-8
    changed.to_csv(tables / "effects.csv", index=False)
    _, (found,) = differences(tables)
    assert found.startswith(f"{name}, {changed.loc[row, 'part']}: ")
    here = scorecard["id"] == name
    (told,) = scorecard.loc[here, "verdict"]
    scorecard.loc[here, "verdict"] = "not tested"
    assert compared_verdicts(effects, scorecard) == [f"{name}: not tested is not {told}"]


def test_verdicts_that_are_kept_can_be_rederived_from_what_is_kept(
    run: Path, tmp_path: Path
) -> None:
    """``keep`` takes what this test needs, and no number is changed on the way."""
    tables = tmp_path / "results/other/results/tables"
    tables.parent.mkdir(parents=True)
    tables.symlink_to(run)
    keep("other", tmp_path / "results", tmp_path)
    effects, kept = (pd.read_csv(tmp_path / f"other_{name}.csv") for name in ("effects", "claims"))
    assert compared_verdicts(effects, kept) == []
    pd.testing.assert_frame_equal(effects, pd.read_csv(run / "effects.csv"))
    assert list(kept) == VERDICT
    pd.testing.assert_frame_equal(kept, pd.read_csv(run / "claims.csv")[list(kept)])


@pytest.mark.parametrize("kept", ["confirm", "scaled"])
def test_the_kept_verdicts_follow_from_the_kept_numbers(kept: str) -> None:
    """By the claims as they are now; ``make confirm`` and ``make scaled`` write both files."""
    effects, scorecard = (PRESETS / f"{kept}_{name}.csv" for name in ("effects", "claims"))
    assert effects.exists() == scorecard.exists(), f"one of two files is there: make {kept}"
    if not effects.exists():
        pytest.skip(f"no such run has been kept: make {kept}")
    assert compared_verdicts(pd.read_csv(effects), pd.read_csv(scorecard)) == []
    assert set(verdicts(pd.read_csv(effects)).values()) > {"reproduced"}
    settings, claims = read_claims(CLAIMS)
    asked = evaluate(claims, Evidence(jobs.claims(confirmatory()), {}), settings).scorecard
    about = ["id", "measure", "criterion"]  # verdicts by other criteria are those of another list
    pd.testing.assert_frame_equal(pd.read_csv(scorecard)[about], asked[about], check_dtype=False)
