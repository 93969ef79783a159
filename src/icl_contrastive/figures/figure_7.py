"""Figure 7: the exact output matrix beside its estimates for growing d_r.

Config: ``setting``. Tables: ``matrices``.
"""

from matplotlib.figure import Figure

from icl_contrastive.figures.common import Config, Table, main
from icl_contrastive.figures.comparison import draw_estimates


def draw(config: Config, matrices: Table) -> Figure:
    """One row of matrices on one color scale."""
    return draw_estimates(matrices, config["setting"], "output")


if __name__ == "__main__":
    main(draw)
