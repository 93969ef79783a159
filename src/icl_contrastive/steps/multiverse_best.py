"""The universes in which most claims hold together, to be trained again on fresh runs."""

import argparse
from typing import Any

import pandas as pd

from icl_contrastive.artifacts.files import save_table
from icl_contrastive.command import run_step
from icl_contrastive.multiverse.flips import best_universes, count_together
from icl_contrastive.multiverse.judged import Judged


def main(arguments: argparse.Namespace, config: dict[str, Any]) -> None:
    """Write universe and trained, the best first."""
    judged = Judged.read(arguments.judged, config)
    together = {str(name): count_together(row) for name, row in judged.verdicts().iterrows()}
    default = judged.universes[judged.default]
    decided = judged.universes, judged.trained, default
    names = best_universes(together, *decided, config["confirmed"])
    rows = [{"universe": name, "trained": judged.trained[name]} for name in names]
    save_table(arguments.output, pd.DataFrame(rows))


if __name__ == "__main__":
    run_step(main, "judged", "output")
