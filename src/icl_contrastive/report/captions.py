"""Captions: what a figure shows, what this run found, and what the paper says beside it.

The words of a caption are a template in ``workflow/report``, the numbers in them come from the
figure's own tables, by ``caption_numbers`` in its module. What the scorecard has a number of is
quoted from it.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from docutils.core import publish_parts
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from icl_contrastive.artifacts.files import load_table
from icl_contrastive.artifacts.tables import read_table
from icl_contrastive.command import read_config
from icl_contrastive.figures.wording import Claimed, Numbers
from icl_contrastive.report.text import mathematical


@dataclass(frozen=True)
class Caption:
    """A figure's caption.

    Attributes:
        title: one sentence, plain text.
        body: the rest as HTML; the fields ``This run`` and ``The paper`` are a definition list.
        alt: what the image shows, for those who do not see it.
    """

    title: str
    body: Markup
    alt: str


def write_caption(
    template: str, figure: str, config: Mapping[str, Any], numbers: Mapping[str, str]
) -> Caption:
    """Fill a template in and take it apart.

    Args:
        template: reStructuredText with Jinja in it, as Snakemake's own report takes it. The first
            line is the title, bold; a comment ``.. alt:`` describes the image.
        figure: its name, the title if there is none.
        config: the whole config.
        numbers: see `caption_numbers`.
    """
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)  # noqa: S701  # no HTML
    text = environment.from_string(template).render(
        snakemake={"config": config, "params": {"numbers": numbers}}
    )
    settings = {"halt_level": 2, "file_insertion_enabled": False, "raw_enabled": False}
    html = publish_parts(text, writer="html5", settings_overrides=settings)["body"]
    title = re.search(r"\*\*(.+?)\*\*", text, re.DOTALL)
    alt = re.search(r"^\.\. alt: (.+(?:\n   .+)*)", text, re.MULTILINE)
    body = re.sub(r"<!--.*?-->\s*", "", html, flags=re.DOTALL)
    body = re.sub(r"^<p><strong>.+?</strong>\s*", "<p>", body, count=1, flags=re.DOTALL)
    return Caption(
        title=_one_line(title[1]) if title else figure.replace("_", " "),
        body=mathematical(Markup(body)),  # noqa: S704  # docutils escapes
        alt=_one_line(alt[1]) if alt else "",
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())


def caption_numbers(figure: str, config: str, tables: Mapping[str, Path]) -> Numbers:
    """The numbers of a figure's caption; none for a figure whose module has no function for them.

    Args:
        figure: its name.
        config: the figure's own part of the config, JSON.
        tables: the paths of its tables, and of ``claims`` if it quotes numbers of the scorecard.
    """
    numbers = getattr(import_module(f"icl_contrastive.figures.{figure}"), "caption_numbers", None)
    if numbers is None:
        return {}
    read = {
        name: read_claimed(Path(path)) if name == "claims" else read_table(name, Path(path))
        for name, path in tables.items()
    }
    found: Numbers = numbers(read_config(config), **read)
    return found


def read_claimed(path: Path) -> Claimed:
    """The scorecard's numbers by the id of the claim; NaN for others, or where there is none."""
    numbers: Claimed = defaultdict(lambda: np.nan)
    if path.exists():
        rows = load_table(path)
        numbers |= zip(rows["id"], pd.to_numeric(rows["ours"]), strict=True)
    return numbers
