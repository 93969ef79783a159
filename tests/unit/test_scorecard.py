"""The scorecard: every verdict on every claim of the list, and what the procedure promises."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from icl_contrastive.artifacts.files import load_table, save_table
from icl_contrastive.artifacts.tables import MAY_BE_EMPTY
from icl_contrastive.claims import (
    COLUMNS,
    OTHER_RUNS,
    ClaimError,
    Evidence,
    combined,
    evaluate,
    read_claims,
)
from icl_contrastive.claims.evidence import Array, Effect, Scale
from icl_contrastive.claims.measures import MEASURES, Measure

from .made_up import CONFIG, MADE_UP, around, ends, labels, of_cells, wide

ROOT = Path(__file__).parents[2]
CLAIMS = yaml.safe_load((ROOT / "workflow/claims.yaml").read_text(encoding="utf-8"))
LISTED = {entry["id"]: entry for entry in CLAIMS["claims"]}
PRESETS = ROOT / "workflow/presets"
NOTHING = Evidence(CONFIG, {})


@pytest.fixture(scope="module", autouse=True)
def given_effects() -> Iterator[None]:
    """A measure that has its effects from the claim."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MEASURES, "given", Measure(lambda _, effects: list(effects), "given"))
        yield


def claim(name: str, *effects: Effect, **criterion: Any) -> dict[str, Any]:
    measure = {"name": "given", "effects": effects}
    criterion = criterion or {"kind": "below", "than": 1}
    return {"id": name, "section": "5", "claim": "so", "where": "figure"} | {
        "measure": measure,
        "criterion": criterion,
    }


def score(
    *claims: dict[str, Any], evidence: Evidence = NOTHING, **others: pd.DataFrame
) -> pd.DataFrame:
    settings, read = read_claims(CLAIMS | {"claims": claims})
    return evaluate(read, evidence, settings, others).scorecard


def ratio(center: float, label: str = "all") -> Effect:
    return Effect(label, around(center), "ratio")


EXACT = {"kind": "at_most", "reproduced": 1e-10, "partly": 1e-6}
IDENTITY = claim("exact", Effect("all", np.array([1e-15, 3e-12]), "largest"), **EXACT)
ABSENT = claim("absent") | {"measure": {"name": "unexplained", "setting": {"demonstrations": 31}}}


# Every verdict on every claim


def values_for(entry: dict[str, Any]) -> dict[str, Array]:
    """Numbers of the runs that make each verdict, by the claim's criterion."""
    criterion, measure = entry["criterion"], entry["measure"]["name"]
    scale = MEASURES[measure].scale
    if criterion["kind"] in ("below", "above"):
        sign, than = (-1 if criterion["kind"] == "below" else 1), criterion["than"]
        if scale == "ratio":
            numbers = [than * 1.25**sign, than * 1.03**sign, than / 1.25**sign]
        else:
            numbers = [than + sign * 0.3, than + sign * 0.05, than - sign * 0.3]
        unclear = wide(than, scale)
        if measure == "negative_weights":  # a share, which is none of less than 0
            return {"reproduced": around(0.3), "inconclusive": np.array([0.5, *np.zeros(9)])}
    elif criterion["kind"] == "equal":
        return {"reproduced": around(1.0), "inconclusive": wide(1.0), "contradicted": around(1.3)}
    elif criterion["kind"] == "between":
        numbers, unclear = [0.05, 0.2, 1e-12], wide(0.5)
    else:
        strict, weak = (np.atleast_1d(criterion[key])[0] for key in ("reproduced", "partly"))
        factor = 0.5 if criterion["kind"] == "at_most" else 2.0
        if measure == "entries_near":  # a share
            factor = 1.2
        numbers = [strict * factor, np.sqrt(strict * weak), weak / factor**1.5]
        unclear = wide(weak, scale, 0.3 if scale == "ratio" else weak)
    verdicts = {
        verdict: around(number, 0.001)
        for verdict, number in zip(("reproduced", "partly", "contradicted"), numbers, strict=True)
    }
    if criterion.get("negligible") == 1 and "over" not in entry["measure"]:
        del verdicts["partly"]  # what is small is no less, and there is no grid
    return verdicts if measure == "identity_error" else verdicts | {"inconclusive": unclear}


def tables_for(entry: dict[str, Any], verdict: str) -> dict[str, pd.DataFrame]:
    """Tables that give the claim's measure these numbers."""
    measure, values = entry["measure"], values_for(entry)[verdict]
    if verdict == "partly" and entry["criterion"].get("negligible") == 1:
        # No effect is negligible, but one member of the grid goes the other way.
        cells = of_cells(around(0.5), None)
        stray = {name: around(1.4) for name in cells if name.endswith("-0.1")}
        return {"pretraining": ends(cells | stray), **labels(around(1.0))}
    return MADE_UP[measure["name"]](values, measure)


CASES = [(name, verdict) for name, entry in LISTED.items() for verdict in values_for(entry)]


@pytest.mark.parametrize(("name", "verdict"), CASES)
def test_each_verdict_can_come_out_of_tables(name: str, verdict: str) -> None:
    """Of a claim of the list and two more like it, whose tests it is corrected for."""
    evidence = Evidence(CONFIG, tables_for(LISTED[name], verdict))
    copies = [LISTED[name] | {"id": f"{name}_{i}"} for i in range(3)]
    assert set(score(*copies, evidence=evidence)["verdict"]) == {verdict}


def test_without_tables_no_claim_is_tested() -> None:
    table = score(*CLAIMS["claims"])
    assert set(table["verdict"]) == {"not tested"}
    for column in ("section", "claim", "measure", "criterion", "where", "note"):
        assert (table[column].str.len() > 0).all()
    assert not table["measure"].str.contains("[{}]").any()


@pytest.mark.parametrize("name", LISTED)
def test_a_single_run_has_no_verdict_but_on_identities(name: str) -> None:
    entry = LISTED[name]
    tables = MADE_UP[entry["measure"]["name"]](
        values_for(entry)["reproduced"][:1], entry["measure"]
    )
    (row,) = score(entry, evidence=Evidence(CONFIG, tables)).to_dict("records")
    if entry["measure"]["name"] == "identity_error":  # a maximum, which has no interval
        assert row["verdict"] == "reproduced"
        return
    assert row["verdict"] == "not tested"
    assert row["note"] == "too few runs (1) for an interval around the number"
    assert np.isfinite(row["ours"])


# Its rows


def test_the_scorecard() -> None:
    grid = [Effect(f"α = {a}", around(a), "ratio", role="of the grid") for a in (0.5, 1.4)]
    beside = Effect("beside", around(3.0), "ratio", role="beside")
    table = score(
        claim("grid", ratio(0.8), *grid, beside), IDENTITY, ABSENT, claim("b", ratio(0.9))
    )
    assert tuple(table.columns) == COLUMNS
    assert list(table["verdict"]) == ["partly", "reproduced", "not tested", "reproduced"]
    first, exact, absent, second = table.to_dict("records")
    assert first["ours"] == pytest.approx(0.8)
    assert first["interval_low"] < 0.8 < first["interval_high"]
    assert first["note"].startswith("so in 10 of 10 runs; the other way: α = 1.4; all 0.8 [")
    assert "beside 3 [" in first["note"]
    assert second["p_corrected"] == second["p_value"]  # the larger of the two tests
    assert first["p_corrected"] == 2 * first["p_value"]
    assert exact["ours"] == 3e-12
    assert np.isnan([exact["p_value"], exact["p_corrected"], exact["interval_low"]]).all()
    assert "no setting" in absent["note"] or "no table" in absent["note"]
    assert np.isnan(absent["ours"])
    assert [first["statement"], exact["id"]] == ["grid", "exact"]


def test_the_effects_are_those_that_the_rows_tell() -> None:
    settings, claims = read_claims(CLAIMS | {"claims": [claim("a", ratio(0.8, "main")), ABSENT]})
    effects = evaluate(claims, NOTHING, settings).effects
    assert list(effects) == ["id", "part", "role", "scale", "run", "value"]
    assert effects["value"].tolist() == around(0.8).tolist()
    assert effects["run"].tolist() == list(range(10))
    assert set(map(tuple, effects[["id", "part", "role", "scale"]].to_numpy())) == {
        ("a", "main", "tested", "ratio")
    }


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_values_that_cannot_be_averaged_are_not_tested(value: float) -> None:
    values = around(1.0)
    values[3] = value
    (row,) = score(claim("a", Effect("all", values, "ratio"))).to_dict("records")
    assert row["verdict"] == "not tested"
    assert "not all values are numbers" in row["note"]


def test_what_is_expected_of_a_slope_is_in_the_row() -> None:
    slope = Effect("all", -around(0.5))
    (row,) = score(claim("falls", slope, kind="below", than=0, expected=-1)).to_dict("records")
    assert row["verdict"] == "reproduced"
    assert (
        row["note"]
        == "so in 10 of 10 runs; the interval does not cover -1, the slope expected for large d_r"
    )


@pytest.mark.parametrize(
    "broken",
    [
        {"measure": {"name": "no_such"}},
        {"measure": {"name": "unexplained"}},
        {"measure": {"name": "unexplained", "setting": {}, "of": {}}},
        {"criterion": {"kind": "no_such"}},
        {"criterion": {"kind": "at_most", "reproduced": 1}},
        {"verdict": "reproduced"},
        {"kind": "exact"},
        {"changed": {"how": "Looser.", "first_verdict": "contradicted"}},
        {"measure": "unexplained"},
        {"measure": {"name": "identity_error", "of": "softmax", "scheme": "full_batch"}},
        {"criterion": "at_most"},
        {"criterion": {"kind": "at_most", "reproduced": "1e-10", "partly": "1e-06"}},
        {"criterion": {"kind": "at_most", "reproduced": 1, "partly": None}},
        {"criterion": {"kind": "below", "than": float("nan")}},
    ],
)
def test_a_claim_that_cannot_be_evaluated_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(ClaimError, match="absent"):
        read_claims(CLAIMS | {"claims": [ABSENT | broken]})


def test_an_id_given_twice_and_other_statistics_are_refused() -> None:
    with pytest.raises(ClaimError, match="exact: given twice"):
        read_claims(CLAIMS | {"claims": [IDENTITY, IDENTITY]})
    with pytest.raises(ClaimError, match="statistics"):
        read_claims(CLAIMS | {"statistics": {"level": 0.05}})


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"level": 5}, "level 5 must be between 0 and 1"),
        ({"level": "0.05"}, "level '0.05' must be a number"),
        ({"confidence": 95}, "confidence 95 must be between 0 and 1"),
        ({"negligible": {"ratio": 0.1, "number": 0.1}}, r"negligible ratio 0\.1 must be above 1"),
        ({"negligible": {"ratio": 1.1}}, "'number'"),
    ],
)
def test_statistics_are_numbers_that_can_be_tested_with(changed: Any, says: str) -> None:
    """With a level of 5, for 5 %, every test would have been passed."""
    with pytest.raises(ClaimError, match=f"statistics: {says}"):
        read_claims(CLAIMS | {"statistics": CLAIMS["statistics"] | changed})


@pytest.mark.parametrize(
    ("claims", "says"),
    [
        (None, "claims: NoneType must be a list of claims"),
        ([], "claims: list must be a list of claims"),
        (["hello"], "hello: "),
        ([None], "None: "),
        ([{"id": 5}], "5: TypeError: id is a text"),
    ],
)
def test_a_list_that_holds_no_claims_is_refused(claims: Any, says: str) -> None:
    with pytest.raises(ClaimError, match=says):
        read_claims(CLAIMS | {"claims": claims})


def test_a_changed_claim_keeps_its_first_verdict() -> None:
    changed = {"how": "Looser: it was 0.", "first_verdict": "not reproduced"}
    table = score(claim("a", ratio(0.5)), IDENTITY | {"changed": changed})
    assert list(table["changed"]) == ["", "Looser: it was 0."]
    assert list(table["first_verdict"]) == ["", "not reproduced"]


def test_other_runs_stand_beside() -> None:
    kept = pd.DataFrame({"id": ["exact"], "ours": ["0.5"], "verdict": ["partly"]})
    a, exact = score(claim("a", ratio(0.5)), IDENTITY, confirm=kept).to_dict("records")
    assert (exact["ours_confirm"], exact["verdict_confirm"]) == ("0.5", "partly")
    assert [a["verdict_confirm"], exact["verdict_scaled"]] == ["", ""]
    assert pd.isna([a["ours_confirm"], exact["ours_before"]]).all()


def test_a_scorecard_with_no_other_run_beside_can_be_written(tmp_path: Path) -> None:
    """As that of the first confirmatory run is."""
    path = tmp_path / "claims.csv"
    save_table(path, score(claim("a", ratio(0.5)), ABSENT), MAY_BE_EMPTY["claims"])
    assert load_table(path)["verdict_confirm"].tolist() == ["", ""]


# The list


def test_no_verdict_is_typed() -> None:
    """But those of the first run, where a criterion was changed since."""
    fields = {"id", "section", "kind", "claim", "paper", "measure", "criterion", "where"}
    for entry in CLAIMS["claims"]:
        assert set(entry) <= fields | {"changed", "statement"}
        assert set(entry.get("changed", {})) <= {"how", "first_verdict"}


def test_all_identities_are_judged_alike() -> None:
    """Those that hold and those that do not; and nothing else has to be exact."""
    for entry in CLAIMS["claims"]:
        assert (entry.get("kind") == "identity") == (entry["criterion"] == EXACT), entry["id"]


def test_a_statement_is_of_one_kind() -> None:
    """And is shared, or it would be the claim's own."""
    kinds: dict[str, list[str]] = {}
    for entry in CLAIMS["claims"]:
        if "statement" in entry:
            kinds.setdefault(entry["statement"], []).append(entry.get("kind", "measured"))
    assert {name for name, found in kinds.items() if len(set(found)) > 1} == set()
    assert not kinds.keys() & (LISTED.keys() - kinds.keys())


def test_the_verdicts_of_other_runs_are_on_claims_of_the_list() -> None:
    """Those under earlier criteria on claims that there were; the others on all that there are."""
    kept = {path.name.removesuffix("_claims.csv") for path in PRESETS.glob("*_claims.csv")}
    assert {"scaled", "before"} <= kept <= set(OTHER_RUNS)
    for run in kept:
        ids = load_table(PRESETS / f"{run}_claims.csv", ["id", "ours", "verdict"])["id"]
        assert set(ids) <= set(LISTED)
        assert run == "before" or list(ids) == list(LISTED), f"make {run}"


# Statements


@pytest.mark.parametrize(
    ("verdicts", "found"),
    [
        ([], "not tested"),
        (["not tested"], "not tested"),
        (["reproduced", "reproduced"], "reproduced"),
        (["reproduced", "not tested"], "reproduced"),
        (["contradicted", "contradicted"], "contradicted"),
        (["contradicted", "inconclusive"], "contradicted"),
        (["inconclusive"], "inconclusive"),
        (["reproduced", "contradicted"], "partly"),
        (["reproduced", "inconclusive"], "partly"),
        (["partly", "contradicted", "not tested"], "partly"),
    ],
)
def test_claims_are_combined_to_statements(verdicts: list[str], found: str) -> None:
    assert combined(verdicts) == combined(reversed(verdicts)) == found


# What the procedure promises

Edge = list[tuple[Scale, float, dict[str, Any]]]
SIMULATIONS, FAMILY, LEVEL = 300, 20, 0.05
ERRORS = LEVEL + 3 * np.sqrt(LEVEL * (1 - LEVEL) / SIMULATIONS)
"""The level and three standard errors of the simulation."""


def simulated(edge: Edge, wrong: str) -> float:
    """Share of runs of a whole list in which some claim has the verdict that is wrong."""
    rng = np.random.default_rng(5)
    errors = 0
    for _ in range(SIMULATIONS):
        claims = []
        for number in range(FAMILY):
            scale, mean, criterion = edge[number % len(edge)]
            values = rng.normal(np.log(mean) if scale == "ratio" else mean, 0.5, 10)
            effect = Effect("all", np.exp(values) if scale == "ratio" else values, scale)
            claims.append(claim(str(number), effect, **criterion))
        errors += wrong in set(score(*claims)["verdict"])
    return errors / SIMULATIONS


BELOW: dict[str, Any] = {"kind": "below", "than": 1}
ABOVE: dict[str, Any] = {"kind": "above", "than": 0}
MOST: dict[str, Any] = {"kind": "at_most", "reproduced": 0.1, "partly": 0.3}
NEAR: dict[str, Any] = {"kind": "equal", "between": [0.9, 1.1]}


@pytest.mark.slow
def test_of_claims_that_are_not_true_hardly_one_is_reproduced() -> None:
    """As near to truth as an untrue claim can be, and twenty of them: uncorrected, two in three."""
    edge: Edge = [
        ("ratio", 1, BELOW),
        ("number", 0, ABOVE),
        ("ratio", 0.1, MOST),
        ("ratio", 1.1, NEAR),
    ]
    assert 0 < simulated(edge, "reproduced") < ERRORS


@pytest.mark.slow
def test_of_claims_that_are_true_hardly_one_is_contradicted() -> None:
    """As near to what is contradicted as a true claim, in its weaker form, can be."""
    edge: Edge = [
        ("ratio", 1 / 1.1, BELOW),
        ("number", 0.1, ABOVE),
        ("ratio", 0.3, MOST),
        ("ratio", 1.1, NEAR),
    ]
    assert 0 < simulated(edge, "contradicted") < ERRORS


@given(st.data())
def test_neither_the_order_of_runs_nor_that_of_claims_counts(data: st.DataObject) -> None:
    seed = data.draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    criteria = (BELOW, ABOVE, MOST)
    scales: tuple[Scale, ...] = ("ratio", "number", "ratio")
    logs = rng.normal(0, rng.uniform(0.05, 1), (6, 10)) + rng.normal(0, 0.5, (6, 1))
    runs = data.draw(st.permutations(range(10)))
    order = data.draw(st.permutations(range(6)))

    def table(runs: Sequence[int], order: Sequence[int]) -> pd.DataFrame:
        claims = []
        for i in range(6):
            values, scale = logs[i][list(runs)], scales[i % 3]
            effect = Effect("all", np.exp(values) if scale == "ratio" else values, scale)
            claims.append(claim(str(i), effect, **criteria[i % 3]))
        return score(*(claims[i] for i in order)).set_index("id").sort_index()

    first, second = table(range(10), range(6)), table(runs, order)
    assert first["verdict"].tolist() == second["verdict"].tolist()
    for column in ("ours", "interval_low", "p_value", "p_corrected", "p_opposite"):
        np.testing.assert_allclose(first[column], second[column], rtol=1e-9, atol=1e-14)
