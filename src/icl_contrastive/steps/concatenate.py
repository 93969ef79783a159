"""One tidy table from those of several jobs."""

import argparse
from typing import Any

import pandas as pd

from icl_contrastive.artifacts.files import load_table, save_table
from icl_contrastive.command import StepError, run_step


def main(arguments: argparse.Namespace, config: dict[str, Any]) -> None:
    """Write the rows of all tables, in the order given, as they are."""
    first, *others = arguments.tables
    tables = [load_table(first)]
    for path in others:
        tables.append(load_table(path))
        if list(tables[-1]) != list(tables[0]):
            raise StepError(
                f"{path} and {first} have different columns: one is of another version; delete "
                "the old one and run again"
            )
    save_table(arguments.output, pd.concat(tables))


if __name__ == "__main__":
    run_step(main, "output", many=["tables"])
