"""Figure 7: the exact output matrix beside its estimates for growing d_r.

Config: ``setting``. Tables: ``matrices``.
"""

from matplotlib.figure import Figure

from icl_contrastive.artifacts.tables import Table
from icl_contrastive.command import Config
from icl_contrastive.figures.command import main
from icl_contrastive.figures.comparison import draw_estimates, estimate_numbers
from icl_contrastive.figures.wording import Numbers

KEYS = ("setting",)


def draw(config: Config, matrices: Table) -> Figure:
    """One row of matrices on one color scale."""
    return draw_estimates(matrices, config["setting"], "output")


def caption_numbers(config: Config, matrices: Table) -> Numbers:
    """Errors of the estimates by d_r."""
    return estimate_numbers(config, matrices, "output")


if __name__ == "__main__":
    main(draw)
