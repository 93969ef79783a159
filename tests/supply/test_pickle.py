"""No artifact is read or written by pickle: reading one would run whatever is in it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from ..project import ROOT

MODULES = ("pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve")
CALLS = ("read_pickle", "to_pickle")
OF_NUMPY_AND_TORCH = ("load", "save", "savez", "savez_compressed")


def pickles(text: str) -> Iterator[str]:
    """Whatever in a Python source reads or writes pickles, or could."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {node.module.split(".")[0], *(alias.name for alias in node.names)}
            yield from names & {*MODULES, *CALLS}
            if node.module in ("numpy", "torch"):
                yield from names & {*OF_NUMPY_AND_TORCH}
        elif isinstance(node, ast.Attribute):
            of = ast.unparse(node.value) in ("np", "numpy", "torch")
            if node.attr in CALLS or (of and node.attr in OF_NUMPY_AND_TORCH):
                yield ast.unparse(node)


def test_no_source_of_the_package_reads_or_writes_pickles() -> None:
    sources = [*(ROOT / "src").rglob("*.py"), *(ROOT / "workflow").rglob("*.py")]
    assert len(sources) > 50
    found = {str(path): [*pickles(path.read_text(encoding="utf-8"))] for path in sources}
    assert {path: names for path, names in found.items() if names} == {}


def test_no_rule_reads_or_writes_pickles() -> None:
    """By their words alone, for they are not quite Python."""
    words = "|".join((*MODULES, *CALLS, *(f"(np|torch).{name}" for name in OF_NUMPY_AND_TORCH)))
    rules = [ROOT / "Snakefile", *(ROOT / "workflow").rglob("*.smk")]
    assert len(rules) > 5
    for path in rules:
        assert not re.search(rf"\b({words})\b", path.read_text(encoding="utf-8")), path


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import pickle", ["pickle"]),
        ("def f():\n    from joblib import dump", ["joblib"]),
        ("import torch\ntorch.load('x', weights_only=True)", ["torch.load"]),
        ("import numpy as np\nread = np.load", ["np.load"]),
        ("from numpy import load", ["load"]),
        ("table.to_pickle('x')", ["table.to_pickle"]),
        ("import json\njson.load(file)\nnp.linalg.norm(x)", []),
        ("'pickle'  # torch.load", []),
    ],
)
def test_a_pickle_is_found(text: str, found: list[str]) -> None:
    assert [*pickles(text)] == found
