"""Reading and writing of artifacts: whole or not at all, and never silently damaged."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

if TYPE_CHECKING:
    import pandas as pd

Array = npt.NDArray[Any]

_UMASK = os.umask(0)  # it can only be read by setting it
os.umask(_UMASK)


class DamagedArtifactError(RuntimeError):
    """An artifact that cannot be read; the message names the file and says what to do."""

    def __init__(self, path: Path, why: object) -> None:
        super().__init__(f"{path} is damaged ({why}); delete it and run again to make it anew")


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Have ``write`` fill a temporary file beside ``path``, then rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        write(temporary)
        os.chmod(temporary, 0o666 & ~_UMASK)  # some writers make files private
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def save_tensors(path: Path, tensors: Mapping[str, Array], config: Mapping[str, Any]) -> None:
    """Write a safetensors file that carries the slice of the config that made it.

    The slice is one JSON text, since safetensors writes several metadata keys in random order.
    """
    arrays = {name: np.ascontiguousarray(tensors[name]) for name in sorted(tensors)}
    metadata = {"config": json.dumps(config, sort_keys=True)}
    write_atomically(path, lambda temporary: save_file(arrays, temporary, metadata))


def load_tensors(path: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """Tensors of a safetensors file, and the slice of the config that made it.

    Raises FileNotFoundError, or DamagedArtifactError if the file is truncated or not one.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    try:
        with safe_open(path, framework="numpy") as file:
            config = json.loads((file.metadata() or {})["config"])
            return {name: file.get_tensor(name) for name in file.keys()}, config  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise DamagedArtifactError(path, error) from error


def save_table(path: Path, table: pd.DataFrame) -> None:
    """Write a tidy table as CSV, floats at full precision."""
    write_atomically(path, lambda temporary: table.to_csv(temporary, index=False))


def load_table(path: Path, as_text: bool = False) -> pd.DataFrame:
    """A table that ``save_table`` wrote, its fields as they were written if ``as_text``.

    Raises FileNotFoundError, or DamagedArtifactError if it is empty or ragged.
    """
    import pandas as pd

    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    try:
        if as_text:
            table = pd.read_csv(path, dtype=str, keep_default_na=False)
        else:
            table = pd.read_csv(path, float_precision="round_trip")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise DamagedArtifactError(path, error) from error
    if table.empty:
        raise DamagedArtifactError(path, "no rows")
    return table
