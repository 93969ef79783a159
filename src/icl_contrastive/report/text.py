"""Times, and symbols in HTML, as a reader is to see them."""

import math
import re
from datetime import datetime

from markupsafe import Markup, escape

from icl_contrastive.figures.wording import MINUS


def duration(seconds: float) -> str:
    """A time span: ``4 s``, ``12 min``, ``1 h 5 min``."""
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def moment(time: datetime) -> str:
    """A point in time: ``3 May 2026, 09:30``."""
    return f"{time.day} {time:%B %Y, %H:%M}"


_CODE = re.compile(r"`([^`]+)`")
_TAG = re.compile(r"(<[^>]*>)")
_LITERAL = re.compile(r"<(/?)(?:code|tt|pre)\b")
_INDEX = re.compile(r"(?<![\w.])([^\W\d_]['′]?|[^\W\d_]̂)_(?:\{([^}]+)\}|([A-Za-z0-9]+))(?!\w)")
_RAISED = re.compile(r"\^\(([^)]+)\)")
_NEGATIVE = re.compile(r"(?<![\w.-])-(?=\d)")
_TOGETHER = re.compile(r"(?<=\S) [=×<>] (?=\S)|(?<=\d) %")
_EXPONENT = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)e([+-]?\d+)\b")


def mathematical(html: str) -> Markup:
    """HTML with ``d_r``, ``h_{N+1}`` and ``1e-10`` set as in a text, but in code as they are.

    Takes safe HTML (``Markup``), or plain text, which is escaped and may have code in backquotes.
    """
    if not isinstance(html, Markup):
        html = _CODE.sub(r"<code>\1</code>", str(escape(html)))
    parts = _TAG.split(html)
    inside = 0
    for place, part in enumerate(parts):
        if place % 2:
            if literal := _LITERAL.match(part):
                inside += -1 if literal[1] else 1
        elif not inside:
            part = _EXPONENT.sub(_power, _INDEX.sub(_subscript, part))
            part = _NEGATIVE.sub(MINUS, _RAISED.sub(r"<sup>\1</sup>", part))
            parts[place] = _TOGETHER.sub(_unbroken, part)
    return Markup("".join(parts))  # noqa: S704  # text was escaped, tags were safe before


def _subscript(found: re.Match[str]) -> str:
    return f"<var>{found[1]}</var><sub>{found[2] or found[3]}</sub>"


def _unbroken(found: re.Match[str]) -> str:
    return found[0].replace(" ", "\N{NO-BREAK SPACE}")


def _power(found: re.Match[str]) -> str:
    factor = "" if float(found[1]) == 1 else f"{found[1]} × "
    return f"{factor}10<sup>{int(found[2])}</sup>".replace("-", MINUS)
