"""How many claims hold together in each universe, and in the best ones on fresh runs."""

import argparse
from typing import Any

import numpy as np
import pandas as pd

from icl_contrastive.artifacts.files import load_table, save_table
from icl_contrastive.artifacts.tables import MAY_BE_EMPTY
from icl_contrastive.command import run_step
from icl_contrastive.multiverse.judge import HOLDS
from icl_contrastive.multiverse.judged import Judged


def main(arguments: argparse.Namespace, config: dict[str, Any]) -> None:
    """Write universe, trained, changes, tested, holds, chosen; of the chosen ones, fresh counts.

    ``arguments.judged``: the verdicts of all universes, and, if some were chosen, which ones and
    their verdicts on runs that they were not chosen by.
    """
    path, *more = arguments.judged
    judged = Judged.read(path, config)
    chosen: list[str] = []
    again = pd.DataFrame(columns=["fresh_tested", "fresh_holds", "hold_again"])
    if more:
        chosen, fresh = list(load_table(more[0])["universe"]), Judged.read(more[1], config)
        counts = fresh.together().set_index("universe")[["tested", "holds"]]
        again = counts.add_prefix("fresh_").loc[chosen]
        held, held_again = (
            np.array(one.verdicts().loc[chosen]) == HOLDS for one in (judged, fresh)
        )
        again["hold_again"] = (held & held_again).sum(1)
    table = judged.together()
    table["chosen"] = table["universe"].isin(chosen)
    table = table.join(again, on="universe").sort_values("holds", ascending=False, kind="stable")
    save_table(arguments.output, table, MAY_BE_EMPTY["multiverse_joint"])


if __name__ == "__main__":
    run_step(main, "output", many=["judged"])
