"""How many features a layer needs: closed forms against draws, also where none can be drawn."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch

from icl_contrastive import required_features
from icl_contrastive.features import FAMILIES

Array = npt.NDArray[np.float64]


def heads(
    *leading: int, n: int = 16, d: int = 8, size: float = 0.3, seed: int = 0
) -> tuple[Array, Array]:
    """Queries and keys ~ N(0, size²)."""
    queries, keys = size * np.random.default_rng(seed).standard_normal((2, *leading, n, d))
    return queries, keys


def table(**arguments: Any) -> pd.DataFrame:
    queries, keys = heads()
    given = {"queries": queries, "keys": keys, "scale": 1.0, "fitted_on": heads(n=200, seed=1)}
    return required_features(**(given | arguments)).table  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("output", [False, True])
def test_draws_confirm_the_closed_forms(output: bool) -> None:
    """Predictions leave out what keys have in common: no less than measured, and at most twice."""
    values = np.random.default_rng(3).standard_normal((16, 5)) if output else None
    found = table(values=values, draws=60)
    assert set(found["family"]) == {name for name, family in FAMILIES.items() if family.unbiased}
    excess = found["log10_predicted"] - found["log10_measured"]
    assert (found["log10_low"] < found["log10_measured"]).all()
    assert (found["log10_measured"] < found["log10_high"]).all()
    assert (found["log10_predicted"] > found["log10_low"]).all()
    known = ~(found["family"].str.contains("sderf") & (found["projection"] != "independent"))
    assert (excess[known] < math.log10(2.5)).all()


def test_what_was_measured_is_within_the_tolerance_when_drawn() -> None:
    """The measured requirement, asked for again, has the error that it promises."""
    first = table(families=["positive"], tolerance=0.1, draws=100)
    again = table(families=["positive"], tolerance=0.1, draws=100, seed=1)
    promised = 0.1 * np.sqrt(10 ** first["log10_measured"] / again["drawn"])
    np.testing.assert_allclose(again["error"], promised, rtol=0.15)


def test_a_tolerance_that_is_met_is_within_reach() -> None:
    """Also where so many features as predicted were not drawn."""
    predicted = 10 ** table(families=["oprf"])["log10_predicted"].min()
    found = table(families=["oprf"], most=math.floor(predicted) - 1)
    met = found["error"] <= 0.1
    assert met.any()
    assert (found["log10_measured"].notna() == met).all()
    assert (found["log10_predicted"] > np.log10(found["drawn"])).all()


def test_a_tolerance_of_half_needs_four_times_the_features() -> None:
    wide, narrow = (table(families=["oprf"], tolerance=t) for t in (0.2, 0.1))
    difference = narrow["log10_predicted"] - wide["log10_predicted"]
    np.testing.assert_allclose(difference, math.log10(4), rtol=1e-9)


@pytest.mark.parametrize("d", [64, 128])
def test_standard_normal_heads_are_beyond_reach(d: int) -> None:
    """‖k + q‖² is 2√d in the mean, and the relative variance of a feature e^‖k + q‖²."""
    queries, keys = heads(n=24, d=d, size=1.0)
    values = np.random.default_rng(2).standard_normal((24, d))
    found = required_features(
        queries,
        keys,
        values=values,
        families=["positive", "oprf"],
        fitted_on=heads(n=200, d=d, size=1.0, seed=1),
        draws=2,
        most=64,
    )
    assert found.squares["sum"].item() == pytest.approx(2 * math.sqrt(d), rel=0.1)
    least = 2 * math.sqrt(d) / math.log(10)
    independent = found.table[found.table["projection"] == "independent"]
    positive, oprf = independent["log10_predicted"]
    assert least + 2 < positive < least + 5
    assert 6 < oprf < positive - 2
    assert (found.table["error"] > 0.5).all()
    assert found.table["log10_measured"].isna().all()
    assert "beyond reach" in str(found)
    assert f"10^{positive:.1f}" in str(found)


@pytest.mark.parametrize("square", [200, 5000])
def test_large_norms_have_an_answer(square: float) -> None:
    """‖k + q‖² = 200 asks for some 10^87 features, and no NaN."""
    rng = np.random.default_rng(0)
    queries, keys = rng.standard_normal((2, 8, 4)) * 0.05 + math.sqrt(square) / 4
    found = required_features(queries, keys, scale=1.0, draws=2, most=64)
    assert found.squares["sum"].item() == pytest.approx(square, rel=0.1)
    columns = ["log10_predicted", "error", "error_low", "error_high"]
    assert np.isfinite(found.table[columns].to_numpy()).all()
    positive = found.table.set_index(["family", "projection"])["log10_predicted"]["positive"]
    np.testing.assert_allclose(positive, square / math.log(10), rtol=0.1)
    assert "nan" not in str(found).lower()


def test_evenly_spaced_queries_stand_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, keys = heads(n=120)
    arguments: dict[str, Any] = {"scale": 1.0, "families": ["positive"], "draws": 2, "most": 64}
    arguments["fitted_on"] = heads(n=200, seed=1)
    some = required_features(queries, keys, **arguments).table["log10_predicted"]
    monkeypatch.setattr("icl_contrastive.requirements.PAIRS", 120**2)
    every = required_features(queries, keys, **arguments).table["log10_predicted"]
    assert (some != every).all()
    np.testing.assert_allclose(some, every, atol=0.1)


def test_few_queries_of_a_causal_head_are_not_its_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """That attends to itself alone, without an error."""
    monkeypatch.setattr("icl_contrastive.requirements.PAIRS", 17)
    found = table(mask="causal", families=["positive"], draws=2, most=64)
    assert (found["log10_predicted"] > 1).all()


def test_alike_keys_with_alike_values_are_drawn_until_the_tolerance_is_near() -> None:
    """Their errors add up, which the prediction leaves out; each of them once is the same layer."""
    values = np.random.default_rng(3).standard_normal((4, 6))
    queries, keys = heads(n=4, size=0.5)
    layer: dict[str, Any] = {"families": ["positive"], "projections": ["independent"], "draws": 100}
    once = table(queries=queries, keys=keys, values=values, **layer)
    often = table(
        queries=queries, keys=np.tile(keys, (32, 1)), values=np.tile(values, (32, 1)), **layer
    )
    predicted = [10 ** one["log10_predicted"].item() for one in (once, often)]
    assert predicted[0] == pytest.approx(32 * predicted[1])
    assert often["error"].item() < 1.25 * 0.1
    assert often["log10_low"].item() < once["log10_high"].item()
    assert once["log10_low"].item() < often["log10_high"].item()


def test_equal_keys_need_one_feature() -> None:
    """Whatever is drawn, the attention to equal keys is uniform."""
    found = table(keys=np.zeros((16, 8)), families=["positive"])
    assert (found["error"] < 1e-12).all()
    assert (found["log10_measured"].abs() < 1e-12).all()


def test_shifted_keys_need_no_more_features_once_balanced() -> None:
    """A common shift of all keys does not change the attention, but what estimates it."""
    queries, keys = heads()
    of_queries, of_keys = heads(n=200, seed=1)
    families = ["positive", "balanced"]
    here, shifted = (
        required_features(
            queries, keys + by, scale=1.0, families=families, fitted_on=(of_queries, of_keys + by)
        ).table.set_index(["family", "projection"])["log10_predicted"]
        for by in (0.0, 1.5)
    )
    np.testing.assert_allclose(shifted["balanced"], here["balanced"], rtol=1e-6)
    assert (shifted["positive"] > here["positive"] + 3).all()


def test_every_head_has_its_rows() -> None:
    queries, keys = heads(2, 3, n=8)
    arguments: dict[str, Any] = {"scale": 1.0, "families": ["positive"], "draws": 2}
    found = required_features(torch.from_numpy(queries), keys, mask="causal", **arguments)
    assert list(found.table["head"].unique()) == list(range(6))
    one = required_features(queries[1, 2], keys[1, 2], mask="causal", **arguments)
    rows = found.table[found.table["head"] == 5]["log10_predicted"].to_numpy()
    np.testing.assert_allclose(rows, one.table["log10_predicted"], rtol=1e-12)


def test_the_same_seed_gives_the_same_table() -> None:
    pd.testing.assert_frame_equal(table(families=["oprf"]), table(families=["oprf"]))


def test_families_are_fitted_on_other_tokens_than_they_are_judged_on() -> None:
    """Without others, those at even positions: changing one changes constants alone."""
    queries, keys = heads()
    arguments: dict[str, Any] = {"scale": 1.0, "families": ["positive", "balanced"], "draws": 2}
    before = required_features(queries, keys, **arguments)
    queries[0] *= 3
    after = required_features(queries, keys, **arguments)
    pd.testing.assert_frame_equal(before.squares, after.squares)
    same = before.table["log10_predicted"] == after.table["log10_predicted"]
    assert (same == (before.table["family"] == "positive")).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tolerance": 1.5}, r"tolerance = 1\.5: must be between 0 and 1"),
        ({"draws": 1}, r"draws = 1: an interval needs at least 2"),
        ({"families": ["elu+1"]}, r"families: 'elu\+1' does not estimate the softmax"),
        ({"families": ["gaussian"]}, r"'gaussian' is not one of positive, "),
        ({"keys": np.full((16, 8), np.inf)}, r"keys: 128 of 128 entries are NaN or infinite"),
        (
            {"queries": np.ones((6, 16, 8)), "keys": np.ones((4, 16, 8))},
            r"6 heads of queries do not",
        ),
        ({"fitted_on": heads(2)}, r"fitted_on: leading axes and head size \(2, "),
        ({"queries": np.ones((1, 8)), "fitted_on": None}, r"a single token: give fitted_on"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        table(**changes)
