"""One claim's numbers in all universes, run by run."""

import numpy as np
import pandas as pd

from icl_contrastive.claims import Claim
from icl_contrastive.multiverse.inference import headline, margins
from icl_contrastive.multiverse.judge import read_effects


class Numbers:
    """One claim's numbers in the universes that have any.

    Attributes:
        universes: their names.
        values: by run, as they are averaged, (universes, runs).
        limit: what they are held against, likewise.
        is_ratio: whether they are logarithms.
        margins: see ``inference.margins``, (universes, parts, runs).
    """

    def __init__(self, rows: pd.DataFrame, claim: Claim) -> None:
        effects = [read_effects(text) for text in rows["effects"]]
        there = [i for i, one in enumerate(effects) if one]
        self.universes = list(rows["universe"].iloc[there])
        found = [headline(claim.criterion, effects[i]) for i in there]
        self.values = np.array([values for values, _ in found])
        self.limit = found[0][1] if found else 0.0
        self.is_ratio = bool(there) and effects[there[0]][0].scale == "ratio"
        sided = [margins(claim.criterion, effects[i]) for i in there]
        self.margins = np.array(sided) if sided and sided[0] is not None else None
