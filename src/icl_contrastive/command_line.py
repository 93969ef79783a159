"""What the commands of steps and figures have in common."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def job_parser(**about: Any) -> argparse.ArgumentParser:
    """A parser that knows ``--code`` and takes arguments from a file, too.

    Args:
        about: what the program is, for ``ArgumentParser``.
    """
    # An argument may be at most 128 KiB long; @file takes them from a file, one on a line.
    parser = argparse.ArgumentParser(fromfile_prefix_chars="@", **about)
    parser.add_argument(
        "--code",
        type=Path,
        nargs="*",
        default=[],
        metavar="FILE",
        help="what the job consists of, for the record",
    )
    return parser
