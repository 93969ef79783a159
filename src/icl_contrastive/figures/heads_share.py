"""What share of each head's output comes from the token itself, and how much weight one token gets.

Config: empty. Tables: ``heads``.
"""

import numpy as np
from matplotlib.figure import Figure

from icl_contrastive.artifacts.tables import Table
from icl_contrastive.command import Config
from icl_contrastive.figures import style
from icl_contrastive.figures.wording import Numbers, percent

_PANELS = (
    ("own_share", r"share of the output from $W_0$"),
    ("cosine_gain", "cosine with the labels:\ngain by one step"),
    ("log10_d_r_positive", r"features needed, $\log_{10} d_r$"),
)


def draw(config: Config, heads: Table) -> Figure:
    """Three measures of a head over its largest weight, a dot for each head, a color by network."""
    figure = Figure(figsize=(style.PAGE_WIDTH, 2.3), layout="constrained")
    networks = heads.rows["network"].unique()
    colors = style.hues(len(networks))
    panels = figure.subplots(1, len(_PANELS), sharex=True)
    for axes, (column, label) in zip(panels, _PANELS, strict=True):
        for number, (name, color) in enumerate(zip(networks, colors, strict=True)):
            one = heads.where(network=name)
            axes.plot(
                one.array("largest_weight"),
                one.array(column),
                "os^Dv<>"[number % 7],
                color=color,
                markersize=2.5,
                markeredgewidth=0,
                alpha=0.8,
                label=name,
            )
        axes.set_xlabel("largest weight of a token")
        axes.set_ylabel(label)
    for axes in panels[:2]:
        axes.axhline(0, color=style.GREY, linewidth=0.5, zorder=0)
    panels[0].legend()
    return figure


def caption_numbers(config: Config, heads: Table) -> Numbers:
    """Medians over the heads by network, and how often the cosine rises."""
    described = []
    for name in heads.rows["network"].unique():
        one = heads.where(network=name)
        share, gain = (float(np.median(one.array(c))) for c in ("own_share", "largest_weight"))
        described.append(f"{name}: {percent(share)} from the token itself, {percent(gain)} largest")
    rises = float((heads.array("cosine_gain") > 0).mean())
    return {"networks": "; ".join(described), "rises": percent(rises)}
