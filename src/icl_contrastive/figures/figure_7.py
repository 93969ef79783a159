"""Figure 7: the exact output matrix beside its estimates for growing d_r.

Config: ``setting``. Tables: ``matrices``.
"""

from functools import partial

from matplotlib.figure import Figure

from icl_contrastive.artifacts.tables import Table
from icl_contrastive.command import Config
from icl_contrastive.figures.comparison import draw_estimates, estimate_numbers

KEYS = ("setting",)


def draw(config: Config, matrices: Table) -> Figure:
    """One row of matrices on one color scale."""
    return draw_estimates(config, matrices, "output")


caption_numbers = partial(estimate_numbers, name="output")
