"""How many claims hold together in each universe, and in the best ones on fresh runs."""

import argparse
from typing import Any

import numpy as np
import pandas as pd

from icl_contrastive.artifacts.files import load_table, save_table
from icl_contrastive.artifacts.tables import MAY_BE_EMPTY
from icl_contrastive.command import run_step
from icl_contrastive.multiverse.flips import count_together
from icl_contrastive.multiverse.judge import HOLDS
from icl_contrastive.multiverse.judged import Judged
from icl_contrastive.multiverse.space import changes


def main(arguments: argparse.Namespace, config: dict[str, Any]) -> None:
    """Write universe, trained, changes, tested, holds, chosen; of the chosen ones, fresh counts.

    ``arguments.judged``: the verdicts of all universes, and, if some were chosen, which ones and
    their verdicts on runs that they were not chosen by.
    """
    path, *more = arguments.judged
    judged = Judged.read(path, config)
    grid, default = judged.verdicts(), judged.universes[judged.default]
    chosen: list[str] = []
    fresh = pd.DataFrame()
    if more:
        chosen = list(load_table(more[0])["universe"])
        fresh = Judged.read(more[1], config).verdicts()
    rows = []
    for universe in map(str, grid.index):
        verdicts = np.array(grid.loc[universe])
        here = count_together(verdicts)
        row = {
            "universe": universe,
            "trained": judged.trained[universe],
            "changes": len(changes(judged.universes[universe], default)),
            **here._asdict(),
            "chosen": universe in chosen,
            "fresh_tested": np.nan,
            "fresh_holds": np.nan,
            "hold_again": np.nan,
        }
        if universe in chosen:
            again = np.array(fresh.loc[universe])
            there = count_together(again)
            both = int(((verdicts == HOLDS) & (again == HOLDS)).sum())
            row |= {"fresh_tested": there.tested, "fresh_holds": there.holds, "hold_again": both}
        rows.append(row)
    table = pd.DataFrame(rows).sort_values("holds", ascending=False, kind="stable")
    save_table(arguments.output, table, MAY_BE_EMPTY["multiverse_joint"])


if __name__ == "__main__":
    run_step(main, "output", many=["judged"])
