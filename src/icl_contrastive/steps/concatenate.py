"""One tidy table from those of several jobs."""

from __future__ import annotations

import argparse
from typing import Any

import pandas as pd

from icl_contrastive.artifacts import load_table, save_table
from icl_contrastive.steps.common import run_step


def main(arguments: argparse.Namespace, config: dict[str, Any]) -> None:
    """Write the rows of all tables, in the order given, as they are."""
    tables = [load_table(path) for path in arguments.tables]
    save_table(arguments.output, pd.concat(tables))


if __name__ == "__main__":
    run_step(main, "output", many="tables")
