"""Figure 8: the reference model's prediction along its descent, as figure 3 (left), for N = 31.

Config: ``setting, variant, run``. Tables: ``trajectory``.
"""

from matplotlib.figure import Figure

from icl_contrastive.figures import style
from icl_contrastive.figures.common import Config, Table, main
from icl_contrastive.figures.trajectory import draw_descent, read_descent


def draw(config: Config, trajectory: Table) -> Figure:
    """One descent in a column's width."""
    figure = Figure(figsize=(style.COLUMN_WIDTH, 2.3), layout="constrained")
    draw_descent(figure.subplots(), read_descent(config, trajectory, scheme="single_sample"))
    return figure


if __name__ == "__main__":
    main(draw)
