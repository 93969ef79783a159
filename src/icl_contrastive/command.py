"""The command line of steps and figures, and the errors that end a job with one message."""

import argparse
import json
import logging
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from icl_contrastive.artifacts.files import ArtifactError, load_config
from icl_contrastive.artifacts.origin import record

log = logging.getLogger(__name__)

CELL = ("setting", "variant")
"""What says in the log which of several jobs a line is from."""

OWN = ("prompts", "epochs", "checkpoints")
"""What is each step's own, under one name: how many prompts it draws or reads, for how long it
trains or descends, and what it keeps on the way. In all else a step and the steps that made its
inputs must agree."""


NO_MEMORY = re.compile(
    "(out of|not enough) memory|(can't|cannot|could not|unable to) allocate|alloc_failed|bad_alloc",
    re.IGNORECASE,
)
"""What torch, CUDA and the system say when memory runs out."""


class StepError(RuntimeError):
    """A job that cannot go on; the message says which artifact, row or run, and what to do."""


class Config(dict[str, Any]):
    """A JSON object whose missing keys are reported as the user's mistake, not as a traceback."""

    def __missing__(self, key: str) -> Any:
        raise StepError(f"--config: the key {key!r} is missing; there are {sorted(self)}")


def read_config(text: str) -> Config:
    """Parse the value of ``--config``; raises StepError when it is no JSON object."""
    try:
        config = json.loads(text, object_hook=Config)
    except json.JSONDecodeError as error:
        raise StepError(f"--config: not valid JSON: {error}") from None
    if not isinstance(config, Config):
        raise StepError(f"--config: expected a JSON object, got {text!r}")
    return config


def check_origin(config: dict[str, Any], *paths: Path) -> None:
    """Raise StepError for an artifact that another config made, as old results may be.

    Args:
        config: the step's slice, compared where the artifact's has the same key, `OWN` aside.
        paths: of safetensors files.
    """
    for path in paths:
        made_by = load_config(path)
        for key in sorted(config.keys() & made_by.keys() - {*OWN}):
            if config[key] != made_by[key]:
                raise StepError(
                    f"{path} was made with {key} = {made_by[key]!r}, and the config now says "
                    f"{config[key]!r}; delete it and run again to make it anew"
                )


def run_step(
    main: Callable[[argparse.Namespace, Config], None],
    *paths: str,
    many: Sequence[str] = (),
    options: Sequence[str] = (),
    argv: Sequence[str] | None = None,
    of: Callable[..., Any] | None = None,
) -> None:
    """Parse the arguments, log to standard error, and report an error as one message.

    Args:
        main: gets the parsed arguments and the job's slice of the config.
        paths: names of required options that take one path.
        many: names of required options that take one path or more.
        options: names of required options that take a word.
        argv: the arguments, by default the program's.
        of: a function of the module that is run, by default ``main``.
    """
    of = of or main
    spec = of.__globals__.get("__spec__")  # not of `python -c`
    module = spec.name if spec else of.__module__
    # An argument may be at most 128 KiB long; @file takes them from a file, one on a line.
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}".replace(".figures.", ".figures "),
        description=(of.__globals__.get("__doc__") or "").partition("\n")[0],
        fromfile_prefix_chars="@",
    )
    parser.add_argument("--config", default="{}", metavar="JSON", help="slice of the config")
    parser.add_argument(
        "--code", type=Path, nargs="*", default=[], help="what the job consists of, for the record"
    )
    for name in paths:
        parser.add_argument(f"--{name}", type=Path, required=True)
    for name in options:
        parser.add_argument(f"--{name}", required=True)
    for name in many:
        parser.add_argument(f"--{name}", type=Path, nargs="+", required=True)
    arguments = parser.parse_args(argv)
    try:
        config = read_config(arguments.config)
        cell = "/".join(str(config[key]) for key in CELL if key in config)
        prefix = "%(asctime)s " + (f"{cell}: ".replace("%", "%%") if cell else "")
        logging.basicConfig(level=logging.INFO, format=prefix + "%(message)s", stream=sys.stderr)
        main(arguments, config)
        log.info(record(module.partition(".")[2], config, arguments.code))
    except (StepError, ArtifactError, OSError, ArithmeticError) as error:
        sys.exit(f"error: {error}")
    except (MemoryError, RuntimeError) as error:
        # Of memory torch tells in a RuntimeError, which may be about anything.
        if isinstance(error, RuntimeError) and not NO_MEMORY.search(str(error)):
            raise
        sys.exit(f"error: out of memory ({error}); run fewer jobs at once or on a larger machine")
    except KeyboardInterrupt:
        sys.exit("error: interrupted")
