"""What every figure needs besides its drawing: the command line, reading tables, saving.

A figure module defines ``draw(config, <table>, ...) -> Figure`` and hands it to `main`, which makes
the command line ``--config JSON --<table> PATH ... --output X.pdf X.png`` from it. Whatever is
wrong with an input ends the program with one line that names the file or the key.
"""

import argparse
import inspect
import io
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogFormatterMathtext, LogLocator, NullLocator

from icl_contrastive.artifacts.files import (
    DamagedArtifactError,
    OtherArtifactError,
    load_table,
    write_atomically,
)
from icl_contrastive.artifacts.origin import origin, record
from icl_contrastive.artifacts.tables import COLUMNS, MAY_BE_EMPTY
from icl_contrastive.command_line import job_parser
from icl_contrastive.figures import style

Array = npt.NDArray[np.float64]


class Config(dict[str, Any]):
    """A JSON object whose missing keys are reported as the user's mistake, not as a traceback."""

    def __missing__(self, key: str) -> Any:
        raise SystemExit(f"--config: the key {key!r} is missing; there are {sorted(self)}")


def read_config(text: str) -> Config:
    """Parse the value of ``--config``; raises SystemExit when it is no JSON object."""
    try:
        config = json.loads(text, object_hook=Config)
    except json.JSONDecodeError as error:
        raise SystemExit(f"--config: not valid JSON: {error}") from None
    if not isinstance(config, Config):
        raise SystemExit(f"--config: expected a JSON object, got {text!r}")
    return config


@dataclass(frozen=True)
class Table:
    """Rows of a tidy table, with the file they come from for messages."""

    path: Path
    rows: pd.DataFrame

    def where(self, **values: object) -> "Table":
        """The rows whose columns have these values; raises SystemExit when there are none."""
        rows = self.rows
        for column, value in values.items():
            selected = rows[rows[column] == value]
            if selected.empty:
                there = ", ".join(str(other) for other in rows[column].unique()[:20])
                wanted = ", ".join(f"{name} = {wish}" for name, wish in values.items())
                raise SystemExit(
                    f"{self.path}: no row with {wanted}: the column {column!r} has {there}"
                )
            rows = selected
        return Table(self.path, rows)

    def array(self, column: str) -> Array:
        """One column as numbers, in the order of the rows."""
        return self.rows[column].to_numpy(dtype=np.float64)

    def pivot(self, index: str, columns: str | list[str], values: str) -> pd.DataFrame:
        """Spread `values` over a complete grid; raises SystemExit on holes and repeated cells."""
        keys = [index, *([columns] if isinstance(columns, str) else columns)]
        if self.rows.duplicated(keys).any():
            raise SystemExit(f"{self.path}: several rows share the same {', '.join(keys)}")
        grid = self.rows.pivot(index=index, columns=columns, values=values)
        if grid.isna().to_numpy().any():
            raise SystemExit(f"{self.path}: rows are missing for some {', '.join(keys)}")
        return grid

    def matrix(self, **values: object) -> Array:
        """The matrix that the columns ``row, column, value`` of the chosen rows spell out."""
        return self.where(**values).pivot("row", "column", "value").to_numpy(dtype=np.float64)


def read_table(name: str, path: Path) -> Table:
    """Read the table `name`, with its known columns only and every value checked.

    Raises SystemExit, naming the file, when it cannot be read, is empty, was cut off, lacks a
    column or holds something that is no finite number where one belongs.
    """
    columns = COLUMNS[name]
    try:
        fields = load_table(path, columns)
        rows = {}
        for column, kind in columns.items():
            may_be_empty = column in MAY_BE_EMPTY.get(name, ())
            for line, field in enumerate(fields[column], 2):
                if not _is_a(kind, field) and not (may_be_empty and field == ""):
                    why = f"line {line}: the value of {column!r} is {field!r}"
                    raise DamagedArtifactError(path, why)
            rows[column] = fields[column].replace("", "nan").astype(kind)
    except (OSError, DamagedArtifactError, OtherArtifactError) as error:
        raise SystemExit(f"error: {error}") from None
    return Table(path, pd.DataFrame(rows))


def _is_a(kind: type, field: str) -> bool:
    try:
        value = kind(field)
    except ValueError:
        return False
    return field != "" and (kind is not float or math.isfinite(value))


def save(figure: Figure, paths: Sequence[Path], made_by: Mapping[str, Any]) -> None:
    """Write the figure to every path, in the format of its suffix, with what made it as JSON.

    All formats are rendered before the first file appears, and each file appears whole. No date is
    written, so that equal runs give equal bytes.
    """
    origin_of_it = json.dumps(made_by, sort_keys=True)
    metadata: dict[str, dict[str, Any]] = {
        ".pdf": dict.fromkeys(("CreationDate", "Creator", "Producer")) | {"Subject": origin_of_it},
        ".png": {"Software": None, "Source": origin_of_it},
    }
    rendered: list[tuple[Path, bytes]] = []
    for path in paths:
        buffer = io.BytesIO()
        figure.savefig(buffer, format=path.suffix[1:], metadata=metadata[path.suffix])
        rendered.append((path, buffer.getvalue()))
    for path, content in rendered:
        write_atomically(path, partial(_write_bytes, content))


def _write_bytes(content: bytes, path: Path) -> None:
    path.write_bytes(content)


def _output_path(text: str) -> Path:
    path = Path(text)
    if path.suffix not in (".pdf", ".png"):
        raise argparse.ArgumentTypeError(f"{text!r} ends neither in .pdf nor in .png")
    return path


def main(draw: Callable[..., Figure], argv: Sequence[str] | None = None) -> None:
    """Run one figure from the command line.

    `draw` takes the config and one `Table` for each further parameter, which is a table's name; its
    module's docstring is the program's description.
    """
    tables = list(inspect.signature(draw).parameters)[1:]
    description = (inspect.getdoc(inspect.getmodule(draw)) or "").partition("\n")[0]
    parser = job_parser(description=description)
    parser.add_argument("--config", required=True, metavar="JSON", help="the figure's settings")
    for name in tables:
        parser.add_argument(f"--{name}", required=True, type=Path, metavar="CSV")
    parser.add_argument(
        "--output", required=True, type=_output_path, nargs="+", metavar="FILE", help=".pdf, .png"
    )
    arguments = parser.parse_args(argv)
    config = read_config(arguments.config)
    with style.applied():
        figure = draw(
            config, **{name: read_table(name, getattr(arguments, name)) for name in tables}
        )
        made_by = {"config": config, "made_with": origin(arguments.code)}
        try:
            save(figure, arguments.output, made_by)
        except OSError as error:
            raise SystemExit(f"error: {error}") from None
        sys.stderr.write(f"{record(config, arguments.code)}\n")


def place(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Axes at a place given in inches from the figure's lower left corner."""
    across, up = figure.get_size_inches()
    return figure.add_axes((left / across, bottom / up, width / across, height / up))


def use_log_scale(axes: Axes, which: Literal["x", "y"] = "y") -> None:
    """A logarithmic axis; its ticks suit its present range.

    They are plain numbers, or powers of ten where plain ones would have many digits.
    """
    axes.set(**{f"{which}scale": "log"})
    axis, (low, high) = {
        "x": (axes.xaxis, axes.get_xlim()),
        "y": (axes.yaxis, axes.get_ylim()),
    }[which]
    narrow = high < 100 * low
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if narrow else (1,)))
    plain = FuncFormatter(lambda value, _: f"{value:g}")
    axis.set_major_formatter(LogFormatterMathtext() if low < 1e-3 and not narrow else plain)
    axis.set_minor_locator(NullLocator())


def scientific(value: float, digits: int = 1) -> str:
    r"""A number as mathtext for running text, e.g. ``$3.1\times10^{-16}$``; zero is ``0``."""
    if value == 0.0:
        return "0"
    mantissa, exponent = f"{value:.{digits}e}".split("e")
    if -2 <= int(exponent) <= digits:
        return f"{value:.{digits - int(exponent)}f}"
    return rf"${mantissa}\times10^{{{int(exponent)}}}$"
