"""The numbers of a caption for Snakemake's own report, which fills captions in by itself."""

from collections.abc import Mapping
from pathlib import Path


class CaptionNumbers:
    """A figure's `caption_numbers` as attributes, read from its tables when first asked for.

    Making one costs nothing, so that every rule of a figure can have one among its parameters.
    """

    def __init__(self, figure: str, config: str, tables: Mapping[str, str]) -> None:
        self._arguments = (figure, config, {name: Path(path) for name, path in tables.items()})

    def __getattr__(self, name: str) -> str:
        if name.startswith("_"):
            raise AttributeError(name)
        from icl_contrastive.report.captions import caption_numbers

        numbers = caption_numbers(*self._arguments)
        vars(self).update(numbers)
        if name not in numbers:
            raise AttributeError(name)
        return numbers[name]

    def __str__(self) -> str:
        return "as in the report"
