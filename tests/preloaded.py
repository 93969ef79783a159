"""Snakemake and what it imports, loaded once for many runs, each of which is a process of its own.

A line of standard input is a run: its folder, its arguments, its environment and the file for its
output, as JSON. The answer is a line with its exit status.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence

import jsonschema  # noqa: F401  the workflow's check of the config needs it
import snakemake.cli


def run(folder: str, arguments: Sequence[str], environment: Mapping[str, str], output: str) -> None:
    """What ``python -m snakemake`` does; ends this process."""
    for number, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, output, os.O_WRONLY | os.O_CREAT),
    ):
        os.dup2(os.open(path, flags), number)
    os.dup2(1, 2)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[0] = folder
    sys.argv[1:] = arguments
    snakemake.cli.main(arguments)


def main() -> None:
    for line in sys.stdin:
        child = os.fork()
        if not child:
            run(**json.loads(line))
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
