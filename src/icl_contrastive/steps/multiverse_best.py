"""The universes in which most claims hold together, to be trained again on fresh runs."""

import argparse
from typing import Any

from icl_contrastive.artifacts.files import save_table
from icl_contrastive.command import run_step
from icl_contrastive.multiverse.flips import best_universes
from icl_contrastive.multiverse.judged import Judged


def main(arguments: argparse.Namespace, config: dict[str, Any]) -> None:
    """Write universe and trained, the best first."""
    together = Judged.read(arguments.judged, config).together()
    best = best_universes(together, config["confirmed"])
    save_table(arguments.output, best[["universe", "trained"]])


if __name__ == "__main__":
    run_step(main, "judged", "output")
