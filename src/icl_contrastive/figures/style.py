"""The one look of all figures: sizes, type, colors.

The figures are built with `matplotlib.figure.Figure` and never with pyplot's functions: no window
system and no global list of figures.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import font_manager
from matplotlib.colors import to_hex

# Widths in inches of the two-column layout of the paper.
COLUMN_WIDTH = 3.3
PAGE_WIDTH = 7.0

# Okabe and Ito's palette (2008), which readers with any color vision can tell apart. The hues also
# differ in lightness, and every use pairs them with a line style or a marker, for grey print.
BLACK = "#000000"
BLUE = "#0072B2"
VERMILLION = "#D55E00"
GREEN = "#009E73"
PURPLE = "#CC79A7"
ORANGE = "#E69F00"
SKY = "#56B4E9"
GREY = "#7F7F7F"
DARK_GREY = "#4D4D4D"

HUES = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)


def hues(count: int) -> list[str]:
    """So many colors, all different: the palette's, or more of them with less between them."""
    if count <= len(HUES):
        return list(HUES[:count])
    colors = matplotlib.colormaps["turbo"]
    return [to_hex(colors(index / (count - 1))) for index in range(count)]


# The paper's legend entries, the same in every figure that compares them.
TRUE_LINE: dict[str, Any] = {"color": BLACK, "linestyle": ":", "linewidth": 1.1}
TRANSFORMER_LINE: dict[str, Any] = {"color": BLUE, "linestyle": (0, (5, 2)), "linewidth": 1.2}
GD_CL_LINE: dict[str, Any] = {"color": VERMILLION, "linestyle": "-", "linewidth": 1.1}

# Zero is light in all three, so that large values carry the ink.
SEQUENTIAL_MAP = "magma_r"
SIGNED_MAP = "RdBu_r"
DIFFERENCE_MAP = "PuOr_r"

_TEXT_SIZE = 8.0
_SMALL_SIZE = 7.0

_SETTINGS: dict[str, Any] = {
    "font.family": "STIXGeneral",
    "mathtext.fontset": "stix",
    "font.size": _TEXT_SIZE,
    "axes.titlesize": _TEXT_SIZE,
    "axes.labelsize": _TEXT_SIZE,
    "xtick.labelsize": _SMALL_SIZE,
    "ytick.labelsize": _SMALL_SIZE,
    "legend.fontsize": _SMALL_SIZE,
    "legend.frameon": False,
    "legend.handlelength": 2.2,
    "legend.borderaxespad": 0.3,
    "legend.labelspacing": 0.25,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlepad": 4.0,
    "axes.labelpad": 2.0,
    "axes.unicode_minus": True,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.0,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "xtick.major.pad": 2.0,
    "ytick.major.pad": 2.0,
    "figure.constrained_layout.h_pad": 0.02,
    "figure.constrained_layout.w_pad": 0.02,
    "figure.dpi": 300,
    # Type 42 keeps a PDF's text selectable and is what journals ask for; the default is type 3.
    "pdf.fonttype": 42,
}

SMALL: dict[str, Any] = {"fontsize": _SMALL_SIZE}


@contextmanager
def applied() -> Iterator[None]:
    """Draw with this style, whatever the user's own matplotlib configuration says."""
    bundled = Path(matplotlib.get_data_path())
    # Only matplotlib's own fonts: a system font of the same name would change the bytes.
    font_manager.fontManager.ttflist = [
        font for font in font_manager.fontManager.ttflist if bundled in Path(font.fname).parents
    ]
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)  # type: ignore[arg-type]  # keys are literals there
        yield
