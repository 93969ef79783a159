"""The notebooks in examples/ run, and print what they show."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pytest

from .processes import python

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.ipynb"))

# Runs the cells as a kernel does, in one namespace, and tells what each of them printed.
RUN = """
import contextlib, io, json, pathlib, sys
space, printed = {"__name__": "__main__"}, []
for cell in json.loads(pathlib.Path(sys.argv[1]).read_text("utf-8"))["cells"]:
    if cell["cell_type"] == "code":
        with contextlib.redirect_stdout(io.StringIO()) as shown:
            exec("".join(cell["source"]), space)
        printed.append(shown.getvalue())
print(json.dumps(printed))
"""


def test_there_are_examples() -> None:
    assert EXAMPLES


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_a_notebook_prints_what_it_shows(path: Path) -> None:
    book = json.loads(path.read_text(encoding="utf-8"))
    nbformat.validate(book)
    cells = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    shown = ["".join(line for out in cell["outputs"] for line in out["text"]) for cell in cells]
    assert json.loads(python("-c", RUN, path, OMP_NUM_THREADS="1").stdout) == shown
