"""The package's surface: light imports and public names that exist."""

from __future__ import annotations

import importlib
import re
import tomllib
from importlib import resources

import pytest

import icl_contrastive

from .processes import ROOT, python

HEAVY = ("torch", "numba", "pandas", "matplotlib", "scipy")


def loaded(*modules: str) -> set[str]:
    """The heavy libraries that a fresh process has loaded once it has imported the modules."""
    imports = "".join(f"import {module}\n" for module in modules)
    done = python("-c", f"{imports}import sys\nprint(*sys.modules)")
    return set(HEAVY) & set(done.stdout.split())


def test_the_package_itself_loads_nothing_heavy() -> None:
    assert loaded("icl_contrastive") == set()


@pytest.mark.parametrize("module", ["variants", "tasks", "streams", "artifacts.files", "training"])
def test_light_modules_load_no_torch(module: str) -> None:
    assert loaded(f"icl_contrastive.{module}") == set()


@pytest.mark.slow
@pytest.mark.parametrize(
    "step", ["pretrain", "data", "collect_pretraining", "concatenate", "trajectory"]
)
def test_steps_that_compute_nothing_with_torch_do_not_load_it(step: str) -> None:
    assert "torch" not in loaded(f"icl_contrastive.steps.{step}")


def test_the_config_loads_nothing_heavy() -> None:
    """The workflow loads it each time it is asked for anything."""
    assert loaded("icl_contrastive.config") == set()


def test_the_types_are_there_for_others_to_check_with() -> None:
    assert resources.files("icl_contrastive").joinpath("py.typed").is_file()


@pytest.mark.parametrize("name", icl_contrastive.__all__)
def test_public_names_resolve(name: str) -> None:
    assert getattr(icl_contrastive, name).__name__ == name
    assert getattr(icl_contrastive, name).__doc__


@pytest.mark.slow
def test_the_mathematics_needs_nothing_of_the_pipeline() -> None:
    """What ``pip install .`` brings without the extra is enough for all public names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    pipeline = [re.split(r"[^\w-]", one)[0] for one in project["optional-dependencies"]["pipeline"]]
    modules = {"pyyaml": "yaml"}
    absent = [modules.get(name, name) for name in pipeline]
    names = ", ".join(icl_contrastive.__all__)
    python(
        "-c",
        f"import sys\nsys.modules |= dict.fromkeys({absent!r})\n"
        f"from icl_contrastive import {names}",
    )


def test_public_names_are_listed_once_in_order() -> None:
    assert list(icl_contrastive.__all__) == sorted(set(icl_contrastive.__all__))
    assert set(icl_contrastive.__all__) <= set(dir(icl_contrastive))


def test_other_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'unknown'"):
        _ = icl_contrastive.unknown


@pytest.mark.parametrize("module", ["attention", "dual", "variants", "training", "steps"])
def test_modules_are_found_as_usual(module: str) -> None:
    assert importlib.import_module(f"icl_contrastive.{module}").__doc__
