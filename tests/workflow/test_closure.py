"""The files that a step's code consists of."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from icl_contrastive.closure import import_closure

from ..project import ROOT

SOURCE = ROOT / "src"

PACKAGE = {
    "__init__.py": "",
    "step.py": """
        import json, typing
        import pack.whole
        from typing import TYPE_CHECKING
        from pack import sibling
        from . import relative
        from .inner.deep import value
        if TYPE_CHECKING:
            from pack import for_types
        if typing.TYPE_CHECKING:
            from pack import for_types
        else:
            from pack import otherwise
        def later():
            from pack.lazy import something
        """,
    "whole.py": 'import pack.second_hand\nTEXT = """\ndef in_a_string():\n"""\n',
    "second_hand.py": "import pack.step",
    "inner/__init__.py": "from ..from_inner import thing",
    "inner/deep.py": "from .. import from_deep",
    "for_types.py": "",
    "from_deep.py": "",
    "from_inner.py": "",
    "lazy.py": "",
    "otherwise.py": "",
    "relative.py": "",
    "sibling.py": "",
    "unused.py": "",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with a package in which every way to import is used."""
    for name, text in PACKAGE.items():
        path = tmp_path / "pack" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), encoding="utf-8")
    return tmp_path


def test_every_way_to_import_is_found(root: Path) -> None:
    found = {str(path.relative_to(root / "pack")) for path in import_closure("pack.step", root)}
    assert found == set(PACKAGE) - {"for_types.py", "unused.py"}


def test_a_module_that_is_not_there_is_an_error(root: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no module pack\.missing"):
        import_closure("pack.missing", root)


@pytest.mark.parametrize("module", ["steps.data", "steps.equivalence", "figures.figure_5"])
def test_nothing_is_loaded_that_is_not_found(module: str) -> None:
    name = f"icl_contrastive.{module}"
    script = (
        f"import sys, {name}\n"
        "for module in sys.modules.values():\n"
        "    if module.__name__.split('.')[0] == 'icl_contrastive':\n"
        "        print(module.__file__)\n"
    )
    command = [sys.executable, "-c", script]
    environment = {"PYTHONPATH": str(SOURCE)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    loaded = done.stdout.splitlines()
    assert str(SOURCE / "icl_contrastive/__init__.py") in loaded
    assert set(loaded) <= set(map(str, import_closure(name, SOURCE)))


def test_no_module_takes_what_the_package_loads_lazily() -> None:
    """The closure would not see where such a name comes from."""
    for path in (SOURCE / "icl_contrastive").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "icl_contrastive":
                for alias in node.names:
                    module = SOURCE / "icl_contrastive" / alias.name
                    assert module.is_dir() or module.with_suffix(".py").is_file(), path
