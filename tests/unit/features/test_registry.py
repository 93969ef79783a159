"""Families by name: the package's own, a user's own, and names that must be refused."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import icl_contrastive
from icl_contrastive.features import FAMILIES, build_family
from icl_contrastive.plug_ins import PlugInError
from icl_contrastive.streams import stream

PLUG_IN = """
    from icl_contrastive.features.positive import Positive

    class Doubled(Positive):
        pass

    not_a_class = 1
"""


@pytest.fixture
def plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of a module in the working directory."""
    name = f"plug_in_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(textwrap.dedent(PLUG_IN))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, name, raising=False)
    return name


def test_positive_features_are_drawn_as_plain_normals() -> None:
    """What earlier artifacts hold, bit by bit."""
    drawn = build_family({"family": "positive"}).draw(stream(2023, "omega", "n15", 0), 12, 1200)
    plain = stream(2023, "omega", "n15", 0).standard_normal((1200, 12)).astype(np.float32)
    assert np.array_equal(drawn["omega"], plain)
    assert np.array_equal(drawn["log_weight"], np.zeros(1200, np.float32))


def test_drawing_needs_no_torch() -> None:
    program = """
        import sys
        import numpy as np
        from icl_contrastive.features import FAMILIES, Statistics, build_family
        x = np.ones((3, 4))
        for name in FAMILIES:
            build_family({"family": name}).draw(np.random.default_rng(0), 4, 8, Statistics.of(x, x))
        assert "torch" not in sys.modules and "scipy" not in sys.modules
    """
    source = Path(icl_contrastive.__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": str(source)}
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, env=environment)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_is_found_by_its_name(name: str) -> None:
    assert type(build_family({"family": name, "d_r": 12})) is FAMILIES[name]


def test_a_module_in_the_working_directory_has_a_family(plug_in: str) -> None:
    family = build_family({"family": f"{plug_in}:Doubled", "projection": "simplex"})
    assert (type(family).__name__, family.projection) == ("Doubled", "simplex")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Positive",
        "positive ",
        "posi\ntive",
        ":Positive",
        "module:",
        "a:b:c",
        "../evil:Family",
        "/evil:Family",
        "evil.py:Family()",
        "os:system('true')",
        "__import__('os'):system",
        "a..b:C",
        ".relative:C",
        "a:b.c",
        "a;b:C",
        "a b:C",
        "módulo:C",
        "icl_contrastive.features:FAMILIES\n",
    ],
)
def test_what_is_no_name_is_refused_unread(name: str) -> None:
    with pytest.raises(ValueError, match="no module:Class either"):
        build_family({"family": name})


@pytest.mark.parametrize(
    "name",
    [
        "os:system",
        "builtins:eval",
        "builtins:exec",
        "icl_contrastive.features:FAMILIES",
        "icl_contrastive.features:missing",
        "icl_contrastive.features.base:FeatureMap",
        "{plug_in}:not_a_class",
        "{plug_in}:missing",
        "{plug_in}:__builtins__",
    ],
)
def test_what_is_no_family_is_refused(name: str, plug_in: str) -> None:
    with pytest.raises(PlugInError, match="is not a class derived from"):
        build_family({"family": name.format(plug_in=plug_in)})


def test_a_module_that_is_not_there_is_named() -> None:
    with pytest.raises(PlugInError, match="'no_such_module:Family' cannot be imported"):
        build_family({"family": "no_such_module:Family"})


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"family": "positive", "projection": "hadamard"}, "independent, orthogonal, simplex"),
        ({"family": "elu+1", "projection": "orthogonal"}, "none, since nothing is drawn"),
    ],
)
def test_a_projection_that_the_family_does_not_have_is_refused(
    entry: dict[str, str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        build_family(entry)


@pytest.mark.parametrize("entry", [{}, {"family": None}, {"family": 1}, {"family": ["positive"]}])
def test_an_entry_without_a_name_is_told_the_names(entry: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="is not one of positive, hyperbolic, "):
        build_family(entry)


@pytest.mark.parametrize("d_r", [12.0, 2.5, "12"])
def test_the_number_of_features_is_an_integer(d_r: Any) -> None:
    with pytest.raises(ValueError, match="needs an integer of at least 1"):
        build_family({"family": "positive"}).draw(np.random.default_rng(0), 3, d_r)


@pytest.mark.parametrize("name", ["hyperbolic", "trigonometric"])
def test_features_that_come_in_pairs_need_an_even_number(name: str) -> None:
    with pytest.raises(ValueError, match=r"d_r = 7: .* and even"):
        build_family({"family": name}).draw(np.random.default_rng(0), 3, 7)


@pytest.mark.parametrize("name", ["oprf", "sderf"])
def test_constants_need_statistics(name: str) -> None:
    with pytest.raises(ValueError, match="needs the statistics of keys and queries"):
        build_family({"family": name}).draw(np.random.default_rng(0), 3, 8)


@pytest.mark.parametrize("d_r", [0, -2])
@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "elu+1"])
def test_no_features_at_all_are_refused(name: str, d_r: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        build_family({"family": name}).draw(np.random.default_rng(0), 3, d_r)
