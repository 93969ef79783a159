"""The table of faults in the docs is that of the tests."""

from __future__ import annotations

import ast

from .rows import PAGE, ROWS, page

ROOT = PAGE.parents[2]


def test_the_page_has_the_table() -> None:
    """If not: python -m tests.faults.rows."""
    text = PAGE.read_text(encoding="utf-8")
    assert page(text) == text


def test_every_row_has_its_test() -> None:
    for row in ROWS:
        file, _, name = row.test.partition("::")
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
        marks = [ast.unparse(mark) for mark in functions[name].decorator_list]
        counted = f"pytest.mark.fault({row.fault!r})" in marks
        assert counted == file.startswith("tests/faults/")


def test_every_test_has_its_row() -> None:
    there = {row.test.partition("::")[2] for row in ROWS}
    for path in (ROOT / "tests/faults").glob("test_*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef):
                marks = [ast.unparse(mark) for mark in node.decorator_list]
                marked = any(mark.startswith("pytest.mark.fault(") for mark in marks)
                assert not marked or node.name in there
