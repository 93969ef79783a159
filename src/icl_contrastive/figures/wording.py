"""Numbers as a reader is to see them, in captions and figures."""

import math

Numbers = dict[str, str]
"""Of a caption, by the names that its template has for them."""

Claimed = dict[str, float]
"""The scorecard's numbers by the id of the claim; NaN where there is none."""

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
MINUS = "\N{MINUS SIGN}"
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
        return f"{value:,.{max(digits - 1 - power, 0)}f}".replace("-", MINUS)
    superscript = str(power).translate(_SUPERSCRIPTS)
    return f"{mantissa} × 10{superscript}".replace("-", MINUS)


def fixed(value: float, decimals: int = 4) -> str:
    """A number to so many decimals, as the paper prints its predictions: ``−0.6490``."""
    return f"{round(value, decimals) + 0.0:.{decimals}f}".replace("-", MINUS)


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


def scientific(value: float, digits: int = 1) -> str:
    r"""A number as mathtext for running text, e.g. ``$3.1\times10^{-16}$``; zero is ``0``."""
    if value == 0.0:
        return "0"
    mantissa, exponent = f"{value:.{digits}e}".split("e")
    if -2 <= int(exponent) <= digits:
        return f"{value:.{digits - int(exponent)}f}"
    return rf"${mantissa}\times10^{{{int(exponent)}}}$"
