"""A manifest is written of what is there, and whatever changes afterwards is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from icl_contrastive.artifacts.checksum import sha256
from icl_contrastive.artifacts.manifest import (
    EditedArtifactError,
    record_in,
    write_manifest,
)
from icl_contrastive.artifacts.verify import main

from .processes import ROOT, python

FILES = {"tables/a.csv": b"x,y\n1,2\n", "figures/b.png": b"\x89PNG", "data/c.safetensors": b""}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A results folder with its manifest, and what belongs beside it."""
    folder = tmp_path / "my results α"
    for name, content in (FILES | {"logs/a.log": b"", "benchmarks/x/a.tsv": b""}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    for name in FILES:
        log(folder, name, {"step": name})
    enter(folder)
    return folder


def log(folder: Path, name: str, about: dict[str, Any]) -> None:
    """Have a log that says what made an artifact as it is."""
    path = folder / name
    record = about | {"wrote": {path.name: sha256(path)}}
    (folder / f"logs/{path.stem}.log").write_text(f"made with {json.dumps(record)}\n")


def enter(folder: Path) -> None:
    write_manifest(folder / "manifest.json", [folder / name for name in FILES], folder / "logs")


def said(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and output of the check of a folder."""
    code = main([str(folder)])
    return code, "".join(capsys.readouterr())


def test_the_manifest_holds_size_checksum_and_making(results: Path) -> None:
    manifest = json.loads((results / "manifest.json").read_text("utf-8"))
    assert list(manifest) == sorted(FILES)
    for name, content in FILES.items():
        assert manifest[name] == {
            "bytes": len(content),
            "sha256": sha256(results / name),
            "made_by": {"step": name},
        }


def test_the_manifest_has_a_line_for_each_artifact(results: Path) -> None:
    assert len((results / "manifest.json").read_text("utf-8").splitlines()) == len(FILES) + 2


def test_untouched_results_are_intact(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(results, capsys) == (0, f"{results}: 3 artifacts intact, 0 damaged, 0 missing\n")


def test_results_that_moved_are_intact(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    moved = shutil.move(results, results.with_name("elsewhere"))
    assert said(Path(moved), capsys)[0] == 0


def edit(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"1,3\n")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [edit, flip, empty])
def test_a_changed_artifact_is_named(
    results: Path, damage: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    damage(results / "tables/a.csv")
    code, text = said(results, capsys)
    assert code == 1
    assert f"damaged: {results / 'tables/a.csv'}" in text
    assert "delete it and run again" in text
    assert "2 artifacts intact, 1 damaged, 0 missing" in text


@pytest.mark.parametrize("away", ["tables/a.csv", "tables"])
def test_a_missing_artifact_is_named(
    results: Path, away: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (results / away).rename(results.with_name("away"))
    code, text = said(results, capsys)
    assert code == 1
    assert f"missing: {results / 'tables/a.csv'}" in text


def test_unknown_files_are_named_and_are_no_damage(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (results / "report.html").write_text("")
    for name in ("n15", "n31"):
        (results / "ablations").mkdir(exist_ok=True)
        (results / "ablations" / f"{name}.csv").write_text("")
    code, text = said(results, capsys)
    assert code == 0
    assert "not in the manifest: ablations/ (2 files), report.html\n" in text


@pytest.mark.parametrize("content", [None, b"", b"[]", b'{"a": 1}', b'{"a": {}}', b"\xff"])
def test_without_a_sound_manifest_nothing_is_verified(
    results: Path, content: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    (results / "manifest.json").unlink()
    if content is not None:
        (results / "manifest.json").write_bytes(content)
    code, text = said(results, capsys)
    assert code == 1
    assert text.startswith(f"error: {results / 'manifest.json'} ")
    assert "intact" not in text


def test_a_check_needs_nothing_but_python(results: Path) -> None:
    """No package but the standard library's."""
    path = str(ROOT / "src")
    script = f"import sys; sys.path[:0] = [{path!r}]; "
    script += "from icl_contrastive.artifacts.verify import main; "
    done = python("-I", "-S", "-c", f"{script}sys.exit(main(sys.argv[1:]))", results)
    assert "3 artifacts intact" in done.stdout


def test_what_changed_since_its_job_is_not_entered(results: Path) -> None:
    edit(results / "tables/a.csv")
    before = (results / "manifest.json").read_bytes()
    with pytest.raises(EditedArtifactError, match=r"tables/a\.csv"):
        enter(results)
    assert (results / "manifest.json").read_bytes() == before


def test_of_what_has_no_log_nothing_is_entered(results: Path) -> None:
    (results / "logs/a.log").unlink()
    enter(results)
    manifest = json.loads((results / "manifest.json").read_text("utf-8"))
    assert manifest["tables/a.csv"]["made_by"] == {}


def test_the_record_is_the_last_of_the_log(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text('made with {"a": 1}\n2026 n15: made with {"b": [2]}\nand a warning\n')
    assert record_in(log) == {"b": [2]}


@pytest.mark.parametrize("text", [None, "", "an error\n", "made with {"])
def test_a_log_without_record_says_nothing(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "x.log").write_text(text)
    assert record_in(tmp_path / "x.log") == {}
