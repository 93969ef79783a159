"""What the modules of figures say of themselves, read without loading them and their libraries.

A figure is a module in ``figures/`` with ``draw``, which takes its part of the config and its
tables, and perhaps ``caption_numbers``, which takes the same, and may take the scorecard's numbers
as ``claims``. ``KEYS`` are the keys of its part of the config, and what it needs of other parts; a
figure without is drawn by a target of its own.
"""

import ast
from dataclasses import dataclass
from pathlib import Path

ELSEWHERE = ("d_r", "features", "task", "epochs")
"""What a figure may need that other parts of the config say; see ``jobs.figure``."""

FOLDER = Path(__file__).parents[1] / "figures"


@dataclass(frozen=True)
class FigureFile:
    """A figure.

    Attributes:
        title: first line of its docstring.
        keys: its ``KEYS``; None if the config cannot ask for it.
        tables: those that it is drawn from.
        quotes_claims: whether its caption has numbers of the scorecard.
    """

    title: str
    keys: tuple[str, ...] | None
    tables: tuple[str, ...]
    quotes_claims: bool

    def needs(self, key: str) -> bool:
        """Whether the figure needs what has this name."""
        return key in (self.keys or ())


def _read(path: Path) -> FigureFile | None:
    module = ast.parse(path.read_bytes())
    parameters, keys = {}, None
    for one in module.body:
        if isinstance(one, ast.FunctionDef):
            parameters[one.name] = tuple(argument.arg for argument in one.args.args)
        elif isinstance(one, ast.Assign) and ast.unparse(one.targets[0]) == "KEYS":
            keys = ast.literal_eval(one.value)
    if "draw" not in parameters:
        return None
    return FigureFile(
        title=(ast.get_docstring(module) or "").partition("\n")[0],
        keys=keys,
        tables=parameters["draw"][1:],
        quotes_claims="claims" in parameters.get("caption_numbers", ()),
    )


FIGURES: dict[str, FigureFile] = {
    path.stem: figure for path in sorted(FOLDER.glob("*.py")) if (figure := _read(path))
}
"""Every figure by its name, which is that of its module."""
