"""Where the paper contradicts itself, what is done about it here, and the number that shows it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined

from icl_contrastive.figures.wording import Claimed, number, percent


@dataclass(frozen=True)
class Contradiction:
    """One of them; all texts are plain but for code in backquotes.

    Attributes:
        paper: what the paper says, and what speaks against it.
        handling: what is done here.
        number: what this run's scorecard says to it, or that it does not; none if nothing would.
    """

    title: str
    paper: str
    handling: str
    number: str = ""


class _UnmeasuredError(Exception):
    pass


def read_contradictions(
    path: Path, claimed: Claimed, config: Mapping[str, Any]
) -> list[Contradiction]:
    """The list in ``workflow/report``, with the numbers of a run's scorecard and its config."""

    def claim(name: str) -> float:
        if math.isnan(claimed[name]):
            raise _UnmeasuredError
        return claimed[name]

    environment = Environment(undefined=StrictUndefined)  # noqa: S701  # no HTML
    environment.filters |= {"number": number, "percent": percent}
    found = []
    for entry in yaml.safe_load(path.read_text(encoding="utf-8")):
        text = environment.from_string(entry.get("number", ""))
        try:
            shown = text.render(claim=claim, config=config)
        except _UnmeasuredError:
            shown = "Not measured in this run."
        found.append(Contradiction(**entry | {"number": shown}))
    return found
