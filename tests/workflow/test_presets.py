"""The runs beside the whole one: what they take, and that their verdicts stand beside."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from ..project import SMOKE, Project

CONFIRM = ("--configfile", "workflow/presets/confirm.yaml")
ALPHAS = ("-0.5", "-0.2", "-0.1", "-0.05", "-0.01", "0.01", "0.05", "0.1", "0.2", "0.5")
CELLS = {
    *("n15/softmax", "n31/softmax", "n15_multitask/softmax"),
    *("n15/softmax_lr0.005", "n15/exact_softmax"),
    *(f"n15/regularized_{form}_alpha{alpha}" for form in ("eq14", "eq15") for alpha in ALPHAS),
    *("n15/augmented_g1", "n15/augmented_g2", "n15/augmented_g1_g2", "n15/augmented_g2plus"),
    *("n15/negative", "n15/negative_eq18"),
}
"""What the claims speak of, and what that is compared with."""
SETTINGS = {"n15", "n31", "n15_multitask"}


def test_the_confirmatory_run_has_what_the_claims_need_and_nothing_else(tmp_path: Path) -> None:
    jobs = set(Project.copy(tmp_path / "project").outdated("claims", *CONFIRM))
    assert jobs == {
        *(f"{folder}/{cell}" for folder in ("pretrained", "equivalence") for cell in CELLS),
        *(f"{folder}/{setting}" for folder in ("data", "controls") for setting in SETTINGS),
        *("attention_errors/n15", "attention_errors/n31"),
        *("tables/pretraining", "tables/equivalence", "tables/trajectories/n15/softmax"),
        *("tables/attention_errors", "tables/attention_bias"),
        *("tables/controls", "tables/solutions"),
        "tables/effects",
    }


@pytest.mark.parametrize("preset", ["confirm", "scaled"])
def test_a_preset_is_a_whole_config(tmp_path: Path, preset: str) -> None:
    """Also where all is asked for: every figure that is left in has what it is drawn from."""
    project = Project.copy(tmp_path / "project")
    jobs = project.outdated("--configfile", f"workflow/presets/{preset}.yaml")
    assert "tables/effects" in jobs
    families = {job for job in jobs if "families" in job or "family" in job}
    assert bool(families) == (preset == "scaled")


def test_kept_verdicts_stand_beside_and_an_edit_of_them_judges_anew(
    smoke: Project, tmp_path: Path
) -> None:
    project = Project(tmp_path / "project")
    scorecard = smoke.root / "results/tables/claims.csv"
    shutil.copytree(smoke.root, project.root)
    kept = pd.read_csv(scorecard)[["id", "ours", "verdict"]]
    kept.loc[kept["id"] == "g1_poorer", "verdict"] = "contradicted"
    kept.to_csv(project.root / "workflow/presets/confirm_claims.csv", index=False)
    assert set(project.outdated(*SMOKE)) == {"tables/effects", "manifest"}
    project.make("claims", *SMOKE)
    told, before = (
        pd.read_csv(project.root / name).set_index("id").astype(str)
        for name in ("results/tables/claims.csv", "workflow/presets/before_claims.csv")
    )
    assert told.loc["g1_poorer", "verdict_confirm"] == "contradicted"
    assert told["ours_confirm"].astype(float).tolist() == pytest.approx(kept["ours"].tolist())
    both = told.index.intersection(before.index)
    assert len(both) > 40
    assert told.loc[both, "verdict_before"].tolist() == before.loc[both, "verdict"].tolist()
