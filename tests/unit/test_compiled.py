"""Compiled code is kept on disk where that is possible, and done without where it is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from .processes import python

pytestmark = pytest.mark.slow

TRIPLED = """
import logging
logging.basicConfig(format="%(message)s")
from icl_contrastive.training.compiled import entry, jit

@jit
def double(x):
    return 2 * x

@entry
def tripled(x):
    return double(x) + x

assert tripled(7) == 21
print(sum(tripled.stats.cache_hits.values()))
"""
"""Prints how often code that is on disk was taken."""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text(TRIPLED, encoding="utf-8")
    return path


def test_code_is_compiled_once(program: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    first, second = (python(program, NUMBA_CACHE_DIR=str(folder)) for _ in range(2))
    assert (first.stdout, second.stdout) == ("0\n", "1\n")
    assert first.stderr == second.stderr == ""


def test_a_copy_elsewhere_is_not_compiled_again(program: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere" / program.name
    copy.parent.mkdir()
    copy.write_bytes(program.read_bytes())
    for path, hits in ((program, "0\n"), (copy, "1\n")):
        assert python(path, NUMBA_CACHE_DIR=str(tmp_path / "cache")).stdout == hits


@pytest.mark.parametrize("given", ["/dev/null/cache", "/proc/cache"])
def test_without_a_place_for_a_cache_there_is_none(program: Path, given: str) -> None:
    done = python(program, NUMBA_CACHE_DIR=given)
    assert done.stdout == "0\n"
    assert done.stderr.startswith("compiled code is not kept on disk (nothing can be written in ")
    assert done.stderr.count("\n") == 1


def test_what_is_damaged_is_compiled_anew(program: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    python(program, NUMBA_CACHE_DIR=str(folder))
    for kind in ("*.nbi", "*.nbc"):  # index and code
        (kept,) = folder.rglob(kind)
        kept.write_bytes(kept.read_bytes()[:10])
        hits = [python(program, NUMBA_CACHE_DIR=str(folder)) for _ in range(2)]
        assert [(done.stdout, done.stderr) for done in hits] == [("0\n", ""), ("1\n", "")]


def test_a_full_disk_ends_nothing(program: Path, tmp_path: Path) -> None:
    """Here: a quota that leaves no file a byte."""
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
    program.write_text(limit + TRIPLED, encoding="utf-8")
    done = python(program, NUMBA_CACHE_DIR=str(tmp_path / "cache"))
    assert done.stdout == "0\n"
    assert done.stderr.startswith("compiled code is not kept on disk (File too large)")
    assert done.stderr.count("\n") == 1


COPIED = """
import numpy as np
from icl_contrastive.training.compiled import entry
from icl_contrastive.training.simd import load, store

@entry
def copy(source, target):
    store(target, 0, load(source, 0))

x, y = np.arange(16, dtype=np.float32), np.zeros(16, np.float32)
copy(x, y)
print(y.sum())
"""


def test_numba_cannot_be_disabled(program: Path, tmp_path: Path) -> None:
    program.write_text(COPIED, encoding="utf-8")
    done = python(program, NUMBA_DISABLE_JIT="1", NUMBA_CACHE_DIR=str(tmp_path))
    assert done.stdout == "120.0\n"
    assert done.stderr.startswith("NUMBA_DISABLE_JIT is not heeded")
    assert done.stderr.count("\n") == 1
