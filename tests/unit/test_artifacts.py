"""Artifacts are written whole or not at all, and damage never passes for data."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from icl_contrastive.artifacts.files import (
    DamagedArtifactError,
    NotANumberError,
    load_table,
    load_tensors,
    save_table,
    save_tensors,
    write_atomically,
)

from .processes import python

TENSORS: dict[str, np.ndarray] = {
    "W_Q": np.arange(6, dtype=np.float32).reshape(2, 3),
    "omega": np.linspace(0, 1, 8),
    "count": np.array([1, 2, 3]),
}
CONFIG = {"setting": "n15", "seed": 2023, "model": {"model": "regularized", "alpha": -0.5}}
MADE_WITH = {"code": "0f", "versions": {"numpy": "2.4.6"}, "streams": ["omega/n15/0"]}
MAY_BE_EMPTY = ["d_r"]
TABLE = pd.DataFrame(
    {
        "setting": ["n15", "n15", "n31"],
        "d_r": pd.array([None, 12, 1200], dtype="Int64"),
        "exact": [True, False, True],
        "mse": [1 / 3, 5e-324, 1.7976931348623157e308],
    }
)


@pytest.fixture
def tensors(tmp_path: Path) -> Path:
    path = tmp_path / "sub" / "weights.safetensors"
    save_tensors(path, TENSORS, CONFIG, MADE_WITH)
    return path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "sub" / "table.csv"
    save_table(path, TABLE, MAY_BE_EMPTY)
    return path


def test_tensors_come_back(tensors: Path) -> None:
    loaded, config = load_tensors(tensors)
    assert config == CONFIG
    assert loaded.keys() == TENSORS.keys()
    for name, array in TENSORS.items():
        assert loaded[name].dtype == array.dtype
        np.testing.assert_array_equal(loaded[name], array)


def test_tensors_that_are_views_come_back(tmp_path: Path) -> None:
    view = np.arange(12.0).reshape(3, 4)[:, ::2].T
    save_tensors(tmp_path / "x.safetensors", {"x": view}, {})
    np.testing.assert_array_equal(load_tensors(tmp_path / "x.safetensors")[0]["x"], view)


def test_tables_hold_full_precision(table: Path) -> None:
    loaded = load_table(table)
    assert list(loaded) == list(TABLE)
    assert [float(text) for text in loaded["mse"]] == TABLE["mse"].tolist()
    assert loaded["exact"].tolist() == ["True", "False", "True"]
    assert loaded["d_r"].tolist() == ["", "12", "1200"]


def test_tables_are_written_back_unchanged(table: Path) -> None:
    copy = table.with_name("copy.csv")
    save_table(copy, load_table(table))
    assert copy.read_bytes() == table.read_bytes()


# Damage


def test_any_cut_in_a_tensors_file_is_found(tensors: Path) -> None:
    whole = tensors.read_bytes()
    for size in range(len(whole)):
        tensors.write_bytes(whole[:size])
        with pytest.raises(DamagedArtifactError, match=str(tensors)):
            load_tensors(tensors)


@pytest.mark.slow
def test_any_flipped_bit_in_a_tensors_file_is_found(tensors: Path) -> None:
    """In the header, names and shapes included, as in the numbers."""
    whole = tensors.read_bytes()
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        tensors.write_bytes(damaged)
        with pytest.raises(DamagedArtifactError, match=str(tensors)):
            load_tensors(tensors)


def test_a_number_that_is_spelled_otherwise_is_found(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_tensors(path, TENSORS, {"tolerance": 1e-10})
    path.write_bytes(path.read_bytes().replace(b"1e-10", b"1E-10"))
    with pytest.raises(DamagedArtifactError, match="its checksum does not match"):
        load_tensors(path)


@pytest.mark.parametrize("garbage", [b"", b"\0" * 100, b"a,b\n1,2\n", b"\x89PNG\r\n\x1a\n" * 9])
def test_what_is_no_tensors_file_is_found(tensors: Path, garbage: bytes) -> None:
    tensors.write_bytes(garbage)
    with pytest.raises(DamagedArtifactError, match=str(tensors)):
        load_tensors(tensors)


@pytest.mark.parametrize("metadata", [None, {"config": "{}"}, {"artifact": "[]"}])
def test_tensors_that_are_not_an_artifact_are_found(
    tensors: Path, metadata: dict[str, str] | None
) -> None:
    save_file({"x": np.zeros(3)}, tensors, metadata)
    with pytest.raises(DamagedArtifactError, match=str(tensors)):
        load_tensors(tensors)


def test_a_cut_in_a_table_is_found(table: Path) -> None:
    """Anywhere but at the end of a row, where what is left is a table too."""
    whole = table.read_bytes()
    for size in range(len(whole)):
        if size > whole.index(b"\n") + 1 and whole[size - 1] == ord("\n"):
            continue
        table.write_bytes(whole[:size])
        with pytest.raises(DamagedArtifactError, match=str(table)):
            load_table(table)


@pytest.mark.parametrize(
    "damaged",
    [b"", b"\n", b"a,b\n", b"a,b\n1,2,3\n", b"a,b\n1,2\n3\n", b"a,b\n\xff\xfe,2\n", b'a,b\n"1,2\n'],
)
def test_what_is_no_table_is_found(table: Path, damaged: bytes) -> None:
    table.write_bytes(damaged)
    with pytest.raises(DamagedArtifactError, match=str(table)):
        load_table(table)


def test_tensors_are_no_table(tensors: Path) -> None:
    with pytest.raises(DamagedArtifactError, match=str(tensors)):
        load_table(tensors)


@pytest.mark.parametrize("load", [load_table, load_tensors])
def test_missing_files_and_folders_are_named(
    tmp_path: Path, load: Callable[[Path], object]
) -> None:
    with pytest.raises(FileNotFoundError, match=str(tmp_path / "absent")):
        load(tmp_path / "absent")
    with pytest.raises(DamagedArtifactError, match=str(tmp_path)):
        load(tmp_path)


def test_the_message_says_what_to_do(tensors: Path) -> None:
    tensors.write_bytes(b"")
    with pytest.raises(DamagedArtifactError, match="delete it and run again"):
        load_tensors(tensors)


# Writing


def test_a_failing_writer_leaves_nothing(tmp_path: Path) -> None:
    def write(path: Path) -> None:
        path.write_text("half")
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_atomically(tmp_path / "x.csv", write)
    assert list(tmp_path.iterdir()) == []


def test_a_failing_writer_leaves_what_was_there(table: Path) -> None:
    before = table.read_bytes()

    class Unprintable:
        def __str__(self) -> str:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save_table(table, pd.DataFrame({"a": [1, Unprintable()]}))
    assert table.read_bytes() == before
    assert list(table.parent.iterdir()) == [table]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, None])
def test_a_table_without_a_number_where_one_belongs_is_not_written(
    tmp_path: Path, value: float | None
) -> None:
    table = pd.DataFrame({"setting": "n15", "d_r": [12, 24, 48], "mse": [0.1, value, value]})
    table["mse"] = table["mse"].astype(float)
    with pytest.raises(NotANumberError) as raised:
        save_table(tmp_path / "errors.csv", table)
    message = str(raised.value)
    for part in (
        f"{tmp_path / 'errors.csv'} is not written: mse is no finite number in 2 of 3 rows",
        "the first of them setting = n15, d_r = 24, mse =",
        "lower the learning rate",
    ):
        assert part in message
    assert list(tmp_path.iterdir()) == []


def test_a_number_that_may_be_missing_may_not_be_infinite(tmp_path: Path) -> None:
    table = pd.DataFrame({"d_r": [12, 24], "factor": [np.nan, 2.0], "cost": [1.0, np.nan]})
    save_table(tmp_path / "x.csv", table, ["factor", "cost"])
    assert (tmp_path / "x.csv").read_text() == "d_r,factor,cost\n12,,1.0\n24,2.0,\n"
    with pytest.raises(NotANumberError, match="cost is no finite number in 1 of 2 rows"):
        save_table(tmp_path / "x.csv", table, ["factor"])
    with pytest.raises(NotANumberError, match="factor is no finite number in 1 of 2 rows"):
        save_table(tmp_path / "x.csv", table.replace(2.0, np.inf), ["factor", "cost"])


def test_no_two_writers_share_a_file(tmp_path: Path) -> None:
    """Two machines may write the same artifact at once, with processes of the same number."""
    used: list[Path] = []

    def write(path: Path) -> None:
        used.append(path)
        path.write_text("whole")

    for _ in range(2):
        write_atomically(tmp_path / "x.csv", write)
    assert used[0] != used[1]
    assert all(path.name.startswith(".x.") and path.suffix == ".csv" for path in used)


def test_the_file_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "x.csv"

    def write(path: Path) -> None:
        assert path.parent == target.parent  # a rename must not cross file systems
        path.write_text("whole")
        assert not target.exists()

    write_atomically(target, write)
    assert [p.name for p in tmp_path.iterdir()] == ["x.csv"]
    assert target.read_text() == "whole"


SCRIPT = """
import os, sys
os.umask(int(sys.argv[2], 8))
from pathlib import Path
from tests.unit.test_artifacts import CONFIG, MADE_WITH, MAY_BE_EMPTY, TABLE, TENSORS
from icl_contrastive.artifacts.files import save_table, save_tensors
save_tensors(Path(sys.argv[1], "x.safetensors"), dict(reversed(TENSORS.items())), CONFIG, MADE_WITH)
save_table(Path(sys.argv[1], "x.csv"), TABLE, MAY_BE_EMPTY)
"""


@pytest.mark.parametrize(("umask", "mode"), [("022", 0o644), ("077", 0o600), ("002", 0o664)])
def test_bytes_and_modes_in_other_processes(
    tensors: Path, table: Path, tmp_path: Path, umask: str, mode: int
) -> None:
    """Deterministic bytes, whatever the hash seed, and permissions as the user's umask says."""
    python("-c", SCRIPT, tmp_path, umask, PYTHONHASHSEED=umask.lstrip("0"))
    for name, here in (("x.safetensors", tensors), ("x.csv", table)):
        there = tmp_path / name
        assert there.read_bytes() == here.read_bytes()
        assert stat.S_IMODE(there.stat().st_mode) == mode
