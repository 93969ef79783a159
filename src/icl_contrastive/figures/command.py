"""What every figure needs besides its drawing: the command line, and saving.

A figure module defines ``draw(config, <table>, ...) -> Figure``; `main` makes the command line
``--config JSON --<table> PATH ... --output X.pdf X.png`` from it. Whatever is wrong with an input
ends the program with one line that names the file or the key.
"""

import argparse
import inspect
import io
import json
from collections.abc import Callable, Mapping, Sequence
from operator import methodcaller
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure

from icl_contrastive.artifacts.files import write_atomically
from icl_contrastive.artifacts.origin import origin
from icl_contrastive.artifacts.tables import read_table
from icl_contrastive.command import Config, StepError, run_step
from icl_contrastive.figures import style

# Not `savefig`, which draws everything twice: for the layout, and for the file.
_PRINT: dict[str, Callable[[Figure], Callable[..., None]]] = {
    ".png": lambda figure: FigureCanvasAgg(figure).print_png,
    ".pdf": lambda figure: FigureCanvasPdf(figure).print_pdf,
}


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
    dpi = figure.dpi
    # The layout is the PNG's, whose renderer measures texts at 300 dpi, where the PDF's does at 72.
    for path in sorted(paths, key=lambda path: path.suffix, reverse=True):
        buffer = io.BytesIO()
        _PRINT[path.suffix](figure)(buffer, metadata=metadata[path.suffix])
        figure.dpi = dpi  # that of a PDF is 72 while it is drawn
        figure.set_layout_engine("none")
        rendered.append((path, buffer.getvalue()))
    for path, content in rendered:
        write_atomically(path, methodcaller("write_bytes", content))


def main(draw: Callable[..., Figure], argv: Sequence[str] | None = None) -> None:
    """Run one figure from the command line.

    `draw` takes the config and one `Table` for each further parameter, which is a table's name.
    """
    tables = list(inspect.signature(draw).parameters)[1:]

    def make(arguments: argparse.Namespace, config: Config) -> None:
        for path in arguments.output:
            if path.suffix not in _PRINT:
                raise StepError(f"--output: {str(path)!r} ends neither in .pdf nor in .png")
        with style.applied():
            read = {name: read_table(name, getattr(arguments, name)) for name in tables}
            made_by = {"config": config, "made_with": origin(arguments.code)}
            save(draw(config, **read), arguments.output, made_by)

    run_step(make, *tables, many=["output"], argv=argv, of=draw)
