"""The report page: verdicts, figures, contradictions and provenance in one HTML file."""

import argparse
import json
import logging
from pathlib import Path
from typing import Any

import yaml

from icl_contrastive.artifacts.files import write_atomically
from icl_contrastive.command import run_step
from icl_contrastive.config import Experiment
from icl_contrastive.report.page import Results, render
from icl_contrastive.report.provenance import trace
from icl_contrastive.report.reference import differences, subject

log = logging.getLogger(__name__)


def main(arguments: argparse.Namespace, config: dict[str, Any]) -> None:
    """Write the page; ``config`` is the whole config, with its defaults.

    The artifacts lie where the workflow puts them, in the folder of the page.
    """
    folder: Path = arguments.output.parent
    claims = yaml.safe_load(arguments.claims.read_text(encoding="utf-8"))
    page = render(
        Results(folder, Experiment(config)),
        arguments.texts,
        claims["statistics"],
        trace(arguments.artifacts, folder / "benchmarks", arguments.claims.parent, config),
        differences(subject(config, claims), json.loads(arguments.reference.read_text("utf-8"))),
    )
    write_atomically(arguments.output, lambda path: path.write_text(page, encoding="utf-8"))
    log.info("%s: %.1f MB", arguments.output, len(page.encode()) / 1e6)


if __name__ == "__main__":
    run_step(main, "claims", "reference", "texts", "output", many=["artifacts"])
