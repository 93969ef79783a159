"""Figure 9: exact and estimated attention and output for N = 31, and their difference.

Config: ``setting`` and ``d_r``, the number of features of the estimate. Tables: ``matrices``.
"""

from matplotlib.figure import Figure

from icl_contrastive.figures.common import Config, Table, main
from icl_contrastive.figures.comparison import draw_pairs


def draw(config: Config, matrices: Table) -> Figure:
    """Two rows, attention and output, of three matrices each."""
    return draw_pairs(matrices, config["setting"], config["d_r"])


if __name__ == "__main__":
    main(draw)
