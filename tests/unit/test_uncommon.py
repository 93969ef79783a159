"""What hardly anybody writes into a config, a file or a call, and is told what is wrong with it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from icl_contrastive.artifacts.tables import read_table
from icl_contrastive.command import Config
from icl_contrastive.config import FIGURES, ConfigError, read_experiment
from icl_contrastive.figures import multiverse, multiverse_curves, multiverse_decisions
from icl_contrastive.report.universes import read_multiverse
from icl_contrastive.variants import build_variant

from . import universes
from .universes import write_universes

UNTESTED = dict.fromkeys(("ours", "interval_low", "interval_high", "p_value"), np.nan) | {
    "verdict": "not tested",
    "effects": "[]",
}
ROOT = Path(__file__).parents[2]
SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text(encoding="utf-8"))
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))


def refused(text: str) -> list[str]:
    """What is said of the config with the sections of ``text`` in place of its own keys."""
    config = copy.deepcopy(CONFIG)

    def put(part: dict[str, Any], more: dict[str, Any]) -> None:
        for key, value in more.items():
            if isinstance(value, dict) and isinstance(part.get(key), dict):
                put(part[key], value)
            else:
                part[key] = value

    put(config, yaml.safe_load(text))
    with pytest.raises(ConfigError) as error:
        read_experiment(config, SCHEMA, CONFIG)
    return error.value.problems


# The multiverse's entries


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            "{n15: {negative: {k: 3, beta: 0.1}}, n31: {negative: {k: 1, beta: 0.1}}}",
            "settings.n31.negative: 'negative' is the name of another variant too, with {'k': 3};",
        ),
        (
            "{n15: {regularized_eq15: {alpha: [0.1, 0.10000001]}}}",
            "settings.n15.regularized_eq15: 'regularized_eq15_alpha0.1' is the name of another",
        ),
        ("{n15: {augmented_g1: {g1: 7}}}", "settings.n15.augmented_g1.g1 7: must be at most 2"),
        ("{n15: {negative: {beta: -1}}}", "settings.n15.negative.beta -1: must be at least 0"),
    ],
)
def test_points_of_a_universe_are_as_free_as_those_of_variants(settings: str, says: str) -> None:
    """Two models of one name would have been trained as one, the first."""
    (problem,) = refused(f"multiverse: {{settings: {settings}}}")
    assert problem.startswith(f"multiverse.{says}")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("uniform x 0", ".values: 'uniform x 0' is not allowed; must be uniform,"),
        (f"uniform x {'9' * 400}", ".values: 'uniform x 999"),
        ("uniform x ٣", ".values: 'uniform x ٣' is not allowed"),
        ("uniform x 1.0", ": 'uniform x 1.0' is the same as 'uniform'; must be once"),
    ],
)
def test_a_factor_on_initial_weights_is_a_number_above_0(value: str, says: str) -> None:
    decision = f"{{values: [uniform, {value}]}}"
    (problem,) = refused(f"multiverse: {{decisions: {{initialization: {decision}}}}}")
    assert problem.startswith(f"multiverse.decisions.initialization{says}")


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ({"model": "augmented", "g1": 3}, "g1 3: must be at most 2"),
        ({"model": "negative", "form": "eq18", "k": 3, "beta": -0.1}, r"beta -0\.1: must be at le"),
    ],
)
def test_a_variant_keeps_to_its_own_bounds(model: dict[str, Any], says: str) -> None:
    """The schema's, which a library call does not pass."""
    with pytest.raises(ValueError, match=says):
        build_variant(model)


# A multiverse with little in it


@pytest.mark.parametrize("decided", [True, False], ids=["decided", "no claim"])
def test_a_multiverse_of_one_universe_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decided: bool
) -> None:
    """One value for each decision; or none of the claims' variants."""
    config = copy.deepcopy(CONFIG)
    only = {"normalization": CONFIG["multiverse"]["decisions"]["normalization"]}
    only["normalization"] = only["normalization"] | {"values": ["unit"]}
    config["multiverse"] |= {"decisions": only, "size": 1, "exclude": []}
    if not decided:
        monkeypatch.setattr(universes, "_judged", lambda *_: UNTESTED)
    write_universes(read_experiment(config, SCHEMA), tmp_path)
    for figure in (multiverse, multiverse_curves, multiverse_decisions):
        names = FIGURES[figure.__name__.rpartition(".")[2]].tables
        tables = {name: read_table(name, tmp_path / f"{name}.csv") for name in names}
        figure.draw(Config(), **tables)
        figure.caption_numbers(Config(), **tables)
    page = read_multiverse(tmp_path)
    assert page is not None
    assert (page.total, bool(page.claims)) == (1, decided)
