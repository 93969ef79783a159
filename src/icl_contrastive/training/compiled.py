"""Compilation by numba, whose results are kept on disk where that can be written to."""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numba
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator
from numba.misc.appdirs import AppDirs

log = logging.getLogger(__name__)

_HERE = Path(__file__).parent

config: Any = numba.config

if config.DISABLE_JIT:
    log.warning("NUMBA_DISABLE_JIT is not heeded: there are vectors in compiled code alone")


def jit(function: Any, **options: Any) -> Any:
    """Compile for calls by compiled functions alone; those of Python need a wrapper, see ``entry``.

    Functions count no references to their arrays (no NRT): counting took longer than the arithmetic
    of a step. So they can make no arrays, and what they are given must outlive the call.

    Sums keep their order: LLVM would choose between a reordered and a plain loop by where the
    arrays happen to lie in memory, and the same job would not give the same bytes again.

    Each function is optimized again in every caller of it, so one that has a single caller, and
    calls much itself, compiles fastest inlined.
    """
    options = {
        "error_model": "numpy",
        "fastmath": {"contract"},
        "_nrt": False,
        "no_cfunc_wrapper": True,
        "no_cpython_wrapper": True,
        **options,
    }
    disabled, config.DISABLE_JIT = config.DISABLE_JIT, 0
    try:
        return numba.njit(**options)(function)
    finally:
        config.DISABLE_JIT = disabled


def entry(function: Any) -> Any:
    """Compile for calls by Python, and keep the code on disk where that is possible."""
    compiled = jit(function, no_cpython_wrapper=False)
    if cache_folder(config.CACHE_DIR) is not None:
        compiled._cache = _OptionalCache(function)  # type: ignore[no-untyped-call]  # noqa: SLF001
    return compiled


@cache
def cache_folder(given: str) -> Path | None:
    """Where compiled code is kept; None, which the log says once, where nothing can be written.

    Numba does not notice an edit in a module that a cached function imports from, nor in the
    options of the compilation: so the folder belongs to the contents of all modules here.

    Args:
        given: what NUMBA_CACHE_DIR says.
    """
    sources = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(_HERE.glob("*.py"))))
    name = f"numba-{sources.hexdigest()[:16]}"
    mine = AppDirs("numba", appauthor=False).user_cache_dir  # type: ignore[no-untyped-call]
    folders = [Path(given)] if given else [_HERE / "__pycache__", Path(mine)]
    for folder in folders:
        try:
            (folder / name).mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder / name):
                return folder / name
        except OSError:
            pass  # the next one may be writable
    _tell(f"nothing can be written in {' or '.join(map(str, folders))}")
    return None


@cache
def _tell(why: str) -> None:
    log.warning(
        "compiled code is not kept on disk (%s), so it is compiled anew each time; NUMBA_CACHE_DIR "
        "can name a folder for it",
        why,
    )


class _ByContents(_CacheLocator):
    """Numba's own go by the place and the time of a source file, so that each copy compiles."""

    def __init__(self, source: str) -> None:
        self._source = Path(source)

    @classmethod
    def from_function(cls, function: Any, source: str) -> _ByContents:
        return cls(source)

    def get_cache_path(self) -> str:
        return str(cache_folder(config.CACHE_DIR))

    def get_source_stamp(self) -> str:
        return hashlib.sha256(self._source.read_bytes()).hexdigest()

    def get_disambiguator(self) -> None:
        return None


class _Contents(CompileResultCacheImpl):
    _locator_classes: ClassVar[Any] = [_ByContents]  # type: ignore[misc]


class _OptionalCache(FunctionCache):
    """Numba's cache, without which compilation goes on where it is damaged or the disk full."""

    _impl_class = _Contents

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            # The public one first loads all that code could be compiled with, for 0.4 s.
            return self._load_overload(sig, target_context)  # type: ignore[no-untyped-call]
        except Exception:  # unpickling what is damaged can raise any
            self._write(self.flush)
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        self._write(super().save_overload, sig, data)

    def _write(self, how: Callable[..., None], *what: Any) -> None:
        try:
            how(*what)
        except OSError as error:
            _tell(error.strerror or str(error))
