"""Numbers and symbols as a reader is to see them, in plain text and in HTML."""

from __future__ import annotations

import math
import re
from datetime import datetime

from markupsafe import Markup, escape

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_MINUS = "\N{MINUS SIGN}"
_DASH = "\N{EN DASH}"


def number(value: float, digits: int = 2) -> str:
    """A number to so many significant digits: ``0.23``, ``3.1 × 10⁻¹⁶``; a dash for NaN."""
    if math.isnan(value):
        return _DASH
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    power = int(exponent)
    if -3 <= power <= 5:
        return f"{value:,.{max(digits - 1 - power, 0)}f}".replace("-", _MINUS)
    superscript = str(power).translate(_SUPERSCRIPTS)
    return f"{mantissa} × 10{superscript}".replace("-", _MINUS)


def fixed(value: float, decimals: int = 4) -> str:
    """A number to so many decimals, as the paper prints its predictions: ``−0.6490``."""
    return f"{round(value, decimals) + 0.0:.{decimals}f}".replace("-", _MINUS)


def hyperparameter(value: float) -> str:
    """A number from the config as it stands there: ``−0.2``."""
    return f"{value:g}".replace("-", _MINUS)


def percent(share: float) -> str:
    """A share of 1 in percent: ``37 %``, ``0.21 %``, ``99.7 %``; a dash for NaN."""
    if math.isnan(share):
        return _DASH
    if share in (0, 1):
        return f"{share:.0%}".replace("%", " %")
    value = 100 * share
    digits = 2 if abs(value) < 98 else 3
    return f"{number(value, digits)} %"


def many(count: int, noun: str, nouns: str | None = None) -> str:
    """A count with its noun: ``1 run``, ``10 runs``; ``nouns`` is the plural if it is irregular."""
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"


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
            part = _NEGATIVE.sub(_MINUS, _RAISED.sub(r"<sup>\1</sup>", part))
            parts[place] = _TOGETHER.sub(_unbroken, part)
    return Markup("".join(parts))  # noqa: S704  # text was escaped, tags were safe before


def _subscript(found: re.Match[str]) -> str:
    return f"<var>{found[1]}</var><sub>{found[2] or found[3]}</sub>"


def _unbroken(found: re.Match[str]) -> str:
    return found[0].replace(" ", "\N{NO-BREAK SPACE}")


def _power(found: re.Match[str]) -> str:
    factor = "" if float(found[1]) == 1 else f"{found[1]} × "
    return f"{factor}10<sup>{int(found[2])}</sup>".replace("-", _MINUS)
