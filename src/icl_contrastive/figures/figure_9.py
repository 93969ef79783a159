"""Figure 9: exact and estimated attention and output for N = 31, and their difference.

Config: ``setting`` and ``d_r``, the number of features of the estimate. Tables: ``matrices``.
"""

from matplotlib.figure import Figure

from icl_contrastive.artifacts.tables import Table
from icl_contrastive.command import Config
from icl_contrastive.figures.comparison import draw_pairs, pair_numbers

KEYS = ("setting", "d_r")


def draw(config: Config, matrices: Table) -> Figure:
    """Two rows, attention and output, of three matrices each."""
    return draw_pairs(config, matrices)


caption_numbers = pair_numbers
