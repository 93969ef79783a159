"""Reading and writing of artifacts: whole or not at all, and never silently damaged."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from icl_contrastive.artifacts.checksum import sha256

if TYPE_CHECKING:
    import pandas as pd

Array = npt.NDArray[Any]

written: dict[str, str] = {}
"""Checksums of the files that this process wrote, by name, for the record."""

_UMASK = os.umask(0)  # it can only be read by setting it
os.umask(_UMASK)


class ArtifactError(RuntimeError):
    """An artifact that cannot serve; the message names it."""


class DamagedArtifactError(ArtifactError):
    """An artifact that cannot be read; the message names the file and says what to do."""

    def __init__(self, path: Path, why: object) -> None:
        super().__init__(f"{path} is damaged ({why}); delete it and run again to make it anew")


class OtherArtifactError(ArtifactError):
    """An artifact of another kind or version; the message names the file and what it lacks."""

    def __init__(self, path: Path, lacking: Iterable[object], there: Iterable[object]) -> None:
        super().__init__(
            f"{path} is of another kind or version: it has no {', '.join(map(repr, lacking))}, but "
            f"{', '.join(map(str, there))}; delete it and run again if it is an old one"
        )


class NotANumberError(ArithmeticError):
    """A table that is not written, since it has no number where one belongs; it says where."""

    def __init__(self, path: Path, column: object, rows: int, wrong: pd.DataFrame) -> None:
        first = ", ".join(f"{name} = {value}" for name, value in wrong.iloc[0].items())
        super().__init__(
            f"{path} is not written: {column} is no finite number in {len(wrong)} of {rows} rows, "
            f"the first of them {first}; a computation has left the range of floating point, as "
            "with a layer whose weights have grown too large: lower the learning rate of its "
            "pretraining"
        )


class Contents(dict[str, Any]):
    """What an artifact holds, by name; raises OtherArtifactError for what it does not hold."""

    def __init__(self, path: Path, contents: Mapping[str, Any]) -> None:
        super().__init__(contents)
        self._path = path

    def __missing__(self, name: str) -> Any:
        raise OtherArtifactError(self._path, [name], self)


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Have ``write`` fill a temporary file beside ``path``, then rename it.

    Raises OSError, naming ``path``, if the disk is full or the folder cannot be written to.
    """
    # Another machine may have the folder too: its processes can be known by the same numbers.
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(8)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(temporary)
            checksum = sha256(temporary)
            temporary.chmod(0o666 & ~_UMASK)  # some writers make files private
            temporary.replace(path)
            written[path.name] = checksum
        finally:
            temporary.unlink(missing_ok=True)
    except (SafetensorError, OSError) as error:
        why = getattr(error, "strerror", None) or error
        raise OSError(
            f"{path} cannot be written ({why}); with space and permission, run again: "
            "nothing finished is lost"
        ) from error


def save_tensors(
    path: Path,
    tensors: Mapping[str, Array],
    config: Mapping[str, Any],
    made_with: Mapping[str, Any] | None = None,
) -> None:
    """Write a safetensors file that carries a checksum and what made it.

    All of it is in one JSON text, since safetensors writes several metadata keys in random order.

    Args:
        path: of the file.
        tensors: arrays by name.
        config: the slice of the config.
        made_with: code, libraries and random streams (`icl_contrastive.artifacts.origin.origin`).
    """
    arrays = {name: np.ascontiguousarray(tensors[name]) for name in sorted(tensors)}
    about = {"config": config, "made_with": made_with or {}}
    metadata = {"artifact": _with_checksum(json.dumps(about, sort_keys=True), arrays)}
    write_atomically(path, lambda temporary: save_file(arrays, temporary, metadata))


def _with_checksum(about: str, arrays: Mapping[str, Array]) -> str:
    """A JSON object with a checksum over its very characters and the arrays as its first value."""
    digest = hashlib.blake2b(about.encode(), digest_size=16)
    for name, array in sorted(arrays.items()):
        digest.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return f'{{"checksum": "{digest.hexdigest()}", {about.removeprefix("{")}'


def load_tensors(path: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """Tensors of a safetensors file, and the slice of the config that made it.

    Raises FileNotFoundError, or DamagedArtifactError if the file is not as it was written; what it
    does not hold is an OtherArtifactError for whoever asks for it.
    """
    with _opened(path) as (file, stored):
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if stored != _with_checksum("{" + stored.partition(", ")[2], tensors):
            raise ValueError("its checksum does not match its contents")
        config: dict[str, Any] = json.loads(stored)["config"]
    return Contents(path, tensors), Contents(path, config)


def load_config(path: Path) -> dict[str, Any]:
    """The slice of the config alone; raises as ``load_tensors``, but looks at no tensor."""
    with _opened(path) as (_, stored):
        return Contents(path, json.loads(stored)["config"])


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, str]]:
    """The file, and the JSON text that it carries."""
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    try:
        with safe_open(path, framework="numpy") as file:
            yield file, (file.metadata() or {})["artifact"]
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedArtifactError(path, error) from error


def save_table(path: Path, table: pd.DataFrame, may_be_empty: Collection[str] = ()) -> None:
    """Write a tidy table as CSV, floats at full precision.

    Raises NotANumberError for a number that is not finite; in the columns of ``may_be_empty`` it
    may be missing.
    """
    for column in table.select_dtypes("number"):
        values = table[column].to_numpy(np.float64, na_value=np.nan)
        wrong = np.isinf(values) if column in may_be_empty else ~np.isfinite(values)
        if wrong.any():
            raise NotANumberError(path, column, len(table), table[wrong])
    write_atomically(path, lambda temporary: table.to_csv(temporary, index=False))


def load_table(path: Path, columns: Iterable[str] = ()) -> pd.DataFrame:
    """A table that ``save_table`` wrote, its fields as they were written.

    Raises FileNotFoundError, DamagedArtifactError if it is empty, ragged or cut off in a row, or
    OtherArtifactError if it lacks one of the columns.
    """
    import pandas as pd

    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    try:
        text = path.read_bytes().decode()
        if not text.strip():
            raise ValueError("the file is empty")
        if not text.endswith("\n"):
            raise ValueError("its last row is cut off")
        if len({len(row) for row in csv.reader(io.StringIO(text))}) != 1:
            raise ValueError("its rows are not equally long")
        table = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
        if table.empty:
            raise ValueError("no rows")
    except (OSError, ValueError, csv.Error) as error:  # pandas' errors are ValueErrors
        raise DamagedArtifactError(path, error) from error
    if lacking := [column for column in columns if column not in table]:
        raise OtherArtifactError(path, lacking, table)
    return table
