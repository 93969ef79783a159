"""The command line that all steps share."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from icl_contrastive.artifacts import DamagedArtifactError

CELL = ("setting", "variant")
"""What says in the log which of several jobs a line is from."""


class StepError(RuntimeError):
    """A step that cannot go on; the message says which artifact, row or run, and what to do."""


def run_step(
    main: Callable[[argparse.Namespace, dict[str, Any]], None],
    *paths: str,
    many: str | None = None,
    options: tuple[str, ...] = (),
) -> None:
    """Parse the arguments, log to standard error, and report an error as one message.

    Args:
        main: gets the parsed arguments and the step's slice of the config.
        paths: names of required options that take one path.
        many: name of a required option that takes one path or more.
        options: names of required options that take a word.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {main.__module__}")
    parser.add_argument("--config", type=json.loads, default={}, help="slice of the config, JSON")
    for name in paths:
        parser.add_argument(f"--{name}", type=Path, required=True)
    for name in options:
        parser.add_argument(f"--{name}", required=True)
    if many is not None:
        parser.add_argument(f"--{many}", type=Path, nargs="+", required=True)
    arguments = parser.parse_args()
    cell = "/".join(arguments.config[key] for key in CELL if key in arguments.config)
    prefix = "%(asctime)s " + (f"{cell}: ".replace("%", "%%") if cell else "")
    logging.basicConfig(level=logging.INFO, format=prefix + "%(message)s", stream=sys.stderr)
    try:
        main(arguments, arguments.config)
    except (StepError, DamagedArtifactError, OSError, ArithmeticError) as error:
        sys.exit(f"error: {error}")
