"""The page on layers of one's own: its examples run, and print what it shows."""

from __future__ import annotations

import pytest

from ..project import ROOT, block
from .processes import python

pytestmark = pytest.mark.slow

PAGE = "workflow/docs/layers.md"
SIZES = ("size-64", "size-128")


def test_layers_are_steps() -> None:
    python("-c", block("equivalence", PAGE), OMP_NUM_THREADS="1")


def test_the_tables_are_those_of_the_page() -> None:
    """But for what draws of another processor may round otherwise: reason and predictions."""
    names = ("requirements", "small", "balanced")
    printed = python(
        "-c", "\n".join(block(name, PAGE) for name in names), OMP_NUM_THREADS="1"
    ).stdout

    def fixed(text: str) -> list[str]:
        return [line[:40] for line in text.splitlines() if line]

    assert fixed(printed) == fixed("".join(block(name, PAGE) for name in SIZES))


def test_every_example_is_run() -> None:
    examples = (ROOT / PAGE).read_text(encoding="utf-8").count("```python")
    assert examples == len(("equivalence", "requirements", "small", "balanced"))
