"""Artifacts say what made them, and nothing of when, where and by whom."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from PIL import Image
from safetensors import safe_open

from icl_contrastive.artifacts.checksum import sha256
from icl_contrastive.artifacts.origin import code_digest, origin, versions
from icl_contrastive.figures.command import save
from icl_contrastive.streams import stream

from .processes import python

MADE_BY = {"config": {"setting": "n15", "title": "α (β) \\"}, "made_with": {"code": "0f"}}
DATA = {
    "seed": 7,
    "runs": 2,
    "setting": "n5",
    "demonstrations": 5,
    "prompts": 4,
    "d_x": 3,
    "d_y": 1,
}


def test_the_streams_are_those_that_were_drawn_from() -> None:
    stream(7, "a purpose", "n15", 3)
    assert "a purpose/n15/3" in origin([])["streams"]


def test_the_digest_is_that_of_the_contents_wherever_they_lie(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
        (folder / "a.py").write_text("x = 1\n")
        (folder / "b.py").write_text("y = 2\n")
    files = sorted(one.iterdir())
    assert code_digest(files) == code_digest(sorted(other.iterdir(), reverse=True))
    files[0].write_text("x = 2\n")
    assert code_digest(files) != code_digest(other.iterdir())


def test_a_library_that_is_not_there_is_no_error() -> None:
    assert versions(["no-such-library"])["no-such-library"] == "not installed"


def test_the_data_say_what_made_them(tmp_path: Path) -> None:
    """As a process of its own: the libraries that the step loads, the streams that it draws."""
    config = DATA | {"tasks": "shared", "test_prompts": 4}
    output, source = tmp_path / "data.safetensors", Path(__file__)
    done = python(
        *("-m", "icl_contrastive.steps.data", "--config", json.dumps(config)),
        *("--code", source, "--output", output),
    )
    with safe_open(output, framework="numpy") as file:
        about: dict[str, Any] = json.loads(file.metadata()["artifact"])
    assert about["config"] == config
    made_with = about["made_with"]
    assert made_with["code"] == code_digest([source])
    assert made_with["versions"] == versions(["numpy", "safetensors"])
    assert made_with["streams"] == [
        *(f"prompts/n5/{run}/{part}" for run in range(2) for part in ("test", "train")),
        *("task/0", "task/1"),
    ]
    record = {"step": "steps.data", "config": config, "wrote": {"data.safetensors": sha256(output)}}
    assert json.loads(done.stderr.partition("made with ")[2]) == made_with | record
    for word in (str(tmp_path), str(Path.home()), sys.prefix):
        assert word.encode() not in output.read_bytes()


@pytest.fixture
def figures(tmp_path: Path) -> tuple[Path, Path]:
    paths = (tmp_path / "figure.pdf", tmp_path / "figure.png")
    save(Figure(), paths, MADE_BY)
    return paths


def test_a_png_says_what_made_it(figures: tuple[Path, Path]) -> None:
    with Image.open(figures[1]) as image:
        assert json.loads(image.info["Source"]) == MADE_BY
        assert set(image.info) == {"Source", "dpi"}


def test_a_pdf_says_what_made_it(figures: tuple[Path, Path]) -> None:
    """As a PDF string: backslashes and parentheses escaped by backslashes."""
    content = figures[0].read_bytes().decode("latin-1")
    text = content.partition("/Subject (")[2].partition(")\n")[0].partition(") >>")[0]
    for escaped in ("\\(", "\\)", "\\\\"):
        text = text.replace(escaped, escaped[1])
    assert json.loads(text) == MADE_BY
    for key in ("CreationDate", "Producer", "Creator"):
        assert f"/{key}" not in content


def test_checksums_are_those_of_sha256(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")  # FIPS 180-2, B.1
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256(tmp_path / "abc") == digest
