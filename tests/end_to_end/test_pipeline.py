"""The whole pipeline on the smoke configuration."""

from __future__ import annotations

import shutil
import sys
from itertools import product
from pathlib import Path

import pandas as pd
import pytest

from ..project import FIGURE_TABLES, SMOKE, Project


def cells(smoke: Project, kind: str) -> set[tuple[str, str]]:
    """Settings and variants of a folder of results."""
    folder = smoke.root / "results" / kind
    return {(path.parent.name, path.stem) for path in folder.rglob("*.safetensors")}


def table(smoke: Project, name: str) -> pd.DataFrame:
    return pd.read_csv(smoke.root / "results/tables" / f"{name}.csv")


@pytest.mark.parametrize("figure", FIGURE_TABLES)
def test_every_figure_is_drawn(smoke: Project, figure: str) -> None:
    figures = smoke.root / "results/figures"
    pdf = (figures / f"{figure}.pdf").read_bytes()
    assert pdf.startswith(b"%PDF-")
    assert b"CreationDate" not in pdf
    # Fonts are TrueType (type 42 is CIDFontType2 in a PDF), none is drawn as type 3.
    assert b"/CIDFontType2" in pdf
    assert b"/Type3" not in pdf
    assert (figures / f"{figure}.png").read_bytes().startswith(b"\x89PNG\r\n")


def test_every_cell_has_its_learning_curve(smoke: Project) -> None:
    curves = table(smoke, "pretraining")
    assert list(curves) == ["setting", "variant", "run", "epoch", "train_mse", "test_mse"]
    assert set(zip(curves["setting"], curves["variant"], strict=True)) == cells(smoke, "pretrained")
    assert set(curves.groupby(["setting", "variant", "run"]).size()) == {3}
    assert set(curves["run"]) == {0, 1}
    assert curves.notna().all(axis=None)


def test_every_exact_identity_holds(smoke: Project) -> None:
    rows = table(smoke, "equivalence")
    exact = rows[rows["exact"]]
    compared = set(zip(exact["setting"], exact["variant"], strict=True))
    assert compared == cells(smoke, "equivalence")
    assert cells(smoke, "pretrained") == compared
    assert exact["relative_error"].max() < 1e-10
    inexact = rows[~rows["exact"]]
    kinds = inexact["variant"].str.extract("(regularized_eq1.|negative_.)")[0]
    assert set(zip(kinds, inexact["scheme"], strict=True)) == {
        *product(
            ("regularized_eq14", "regularized_eq15"),
            ("single_sample", "single_sample_shared_decay"),
        ),
        # The forms of a layer that the paper takes for each other.
        ("regularized_eq14", "restated"),
        ("regularized_eq15", "full_batch_from_eq12"),
        ("negative_k", "full_batch_from_eq12"),
        ("negative_e", "restated"),
    }


def test_the_estimate_improves_with_more_features(smoke: Project) -> None:
    errors = table(smoke, "approximation").groupby(["setting", "matrix", "d_r"])["mse"].mean()
    for _, curve in errors.groupby(level=["setting", "matrix"]):
        assert curve.iloc[-1] < curve.iloc[0]


def test_every_job_leaves_a_log_and_its_cost(smoke: Project) -> None:
    results = smoke.root / "results"
    logs = {p.relative_to(results / "logs").with_suffix("") for p in results.rglob("*.log")}
    costs = {p.relative_to(results / "benchmarks").with_suffix("") for p in results.rglob("*.tsv")}
    assert logs == costs
    assert Path("pretrained/n15/softmax_lr0.005") in logs


def test_another_run_gives_the_same_bytes(smoke: Project, tmp_path: Path) -> None:
    """In another folder, with other --cores: a setting, each model, all tables and all figures.

    Some of it with a Python that starts anew for every job.
    """
    again = Project(tmp_path / "again")
    for name in ("results", ".snakemake"):
        shutil.copytree(smoke.root / name, again.root / name)
    models = ("exact_softmax", "regularized_eq15_alpha0.01", "augmented_g1_g2", "negative_eq18")
    for name in again.artifacts():
        drawn = name.startswith(("tables/", "figures/"))
        if drawn or "n31" in name or Path(name).stem in models:
            (again.root / "results" / name).unlink()
    left = set(again.artifacts())
    arguments = ("--directory", again.root, *SMOKE)
    anew = ("figure_8", "figure_9", "results/controls/n31.csv")
    smoke.make(*arguments, "--", *anew, cores=3, python=sys.executable)
    smoke.make(*arguments, cores=3)
    first, second = smoke.artifacts(), again.artifacts()
    assert len(first) - len(left) > 80, left
    assert {name for name in first if second.get(name) != first[name]} == set()
