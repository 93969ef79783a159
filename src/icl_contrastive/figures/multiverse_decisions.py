"""How much of each claim's number every decision explains, alone and with all others.

Config: empty. Tables: ``multiverse_decisions``.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from icl_contrastive.artifacts.tables import Table
from icl_contrastive.command import Config
from icl_contrastive.figures import style
from icl_contrastive.figures.universes import draw_no_claim, label
from icl_contrastive.figures.wording import Numbers, percent

_PANELS = {"alone": "alone", "total": "with interactions"}
_ROW = 0.155  # inches
_DARK = 0.45  # shares above it carry white figures


def draw(config: Config, multiverse_decisions: Table) -> Figure:
    """Claims by decisions, the share in percent, darker for more."""
    grids = {share: _grid(multiverse_decisions, share) for share in _PANELS}
    if grids["alone"].empty:
        return draw_no_claim()
    claims, decisions = grids["alone"].index, grids["alone"].columns
    height = _ROW * len(claims) + 0.95
    figure = Figure(figsize=(style.PAGE_WIDTH, height), layout="constrained")
    panels = figure.subplots(1, len(_PANELS), sharey=True)
    for axes, (share, title) in zip(panels, _PANELS.items(), strict=True):
        _draw_grid(axes, grids[share].to_numpy(np.float64))
        axes.set_title(title)
        axes.set_xticks(range(len(decisions)), list(decisions), rotation=60, ha="right")
    panels[0].set_yticks(range(len(claims)), [label(str(one)) for one in claims])
    return figure


def _grid(table: Table, share: str) -> pd.DataFrame:
    """Of the claims with such numbers, the shares by decision, both in the order of the table."""
    rows = table.rows.dropna(subset=["alone"]).drop_duplicates(["id", "decision"])
    grid = rows.pivot(index="id", columns="decision", values=share)
    return grid.reindex(index=rows["id"].unique(), columns=rows["decision"].unique())


def _draw_grid(axes: Axes, shares: np.ndarray) -> None:
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    for (y, x), share in np.ndenumerate(shares):
        ink = "white" if share > _DARK else style.DARK_GREY
        axes.text(x, y, f"{round(100 * share)}", color=ink, ha="center", va="center", fontsize=6)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def caption_numbers(config: Config, multiverse_decisions: Table) -> Numbers:
    """Which decisions explain most on average over the claims."""
    grid = _grid(multiverse_decisions, "total")
    if grid.empty:
        return {"most": ""}
    means = grid.mean().sort_values(ascending=False, kind="stable")
    return {"most": ", ".join(f"{name} ({percent(share)})" for name, share in means[:3].items())}
