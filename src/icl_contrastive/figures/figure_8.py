"""Figure 8: the reference model's prediction along its descent, as figure 3 (left), for N = 31.

Config: ``setting, variant, run``. Tables: ``trajectory``.
"""

from matplotlib.figure import Figure

from icl_contrastive.artifacts.tables import Table
from icl_contrastive.command import Config
from icl_contrastive.figures import style
from icl_contrastive.figures.trajectory import descent_numbers, draw_descent, read_descent
from icl_contrastive.figures.wording import Claimed, Numbers

KEYS = ("setting", "variant", "run")


def draw(config: Config, trajectory: Table) -> Figure:
    """One descent in a column's width."""
    figure = Figure(figsize=(style.COLUMN_WIDTH, 2.3), layout="constrained")
    draw_descent(figure.subplots(), read_descent(config, trajectory, scheme="single_sample"))
    return figure


def caption_numbers(config: Config, trajectory: Table, claims: Claimed) -> Numbers:
    """Of the descent."""
    return descent_numbers(config, trajectory, 0.2767, 0.2915, claims["quoted_prompt_n31"])
