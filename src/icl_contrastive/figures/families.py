"""Error of the estimated kernel and attention by d_r, for every random-feature family.

Config: ``setting`` and ``features`` (``family, projection, d_r``), those of the trained layers.
Tables: ``families, family_closed_forms, family_requirements``.
"""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from icl_contrastive.artifacts.tables import Array, Table
from icl_contrastive.command import Config
from icl_contrastive.figures import style
from icl_contrastive.figures.wording import Numbers

KEYS = ("setting", "features")

# How ω is drawn: color, marker, and line between what is measured.
_LAWS: dict[str, dict[str, Any]] = {
    "independent": {"color": style.VERMILLION, "marker": "o", "linestyle": "-"},
    "orthogonal": {"color": style.BLUE, "marker": "s", "linestyle": (0, (4, 1.5))},
    "simplex": {"color": style.GREEN, "marker": "^", "linestyle": (0, (1, 1))},
}
_NO_LAW = "none"  # of a family without randomness
_REFERENCE: dict[str, Any] = {"color": style.GREY, "linewidth": 2.2, "alpha": 0.5}
_TARGET: dict[str, Any] = {"color": style.BLACK, "linestyle": ":", "linewidth": 0.8}
_FIXED: dict[str, Any] = {"color": style.PURPLE, "linestyle": (0, (4, 1, 1, 1)), "linewidth": 0.9}

_NAMES = {"oprf": "OPRF", "sderf": "SDERF"}
_ROWS = {
    "kernel": "kernel entries,\nrelative MSE × $d_r$",
    "attention": "attention matrix,\nMSE",
    "output": "output matrix,\nMSE",
}
_HEADROOM = 8.0  # how far above the reference's largest error the axes go at most
_KERNEL_RANGE = 4.0  # how far from the closed forms' range the axes go


def draw(
    config: Config, families: Table, family_closed_forms: Table, family_requirements: Table
) -> Figure:
    """A column for each family that is drawn at random, a row for each matrix."""
    errors = families.where(setting=config["setting"])
    # Unless it is given, the law is the one that the family has in the table.
    laws = _laws(errors, config["features"]["family"])
    features = {"projection": laws[0]} | config["features"]
    theory = family_closed_forms.where(setting=config["setting"])
    needed = family_requirements.where(setting=config["setting"], error="mse")
    drawn = errors.rows["projection"] != _NO_LAW
    columns = errors.rows[drawn]["family"].unique()
    fixed = errors.rows[~drawn]["family"].unique()

    figure = Figure(figsize=(style.PAGE_WIDTH, 4.4), layout="constrained")
    grid = figure.subplots(len(_ROWS), len(columns), sharex=True, sharey="row", squeeze=False)
    for axes in grid.flat:
        axes.set(xscale="log", yscale="log")
        axes.minorticks_off()
    for axes, label in zip(grid[:, 0], _ROWS.values(), strict=True):
        axes.set_ylabel(label)
    for axes, family in zip(grid[0], columns, strict=True):
        axes.set_title(_display(family))
        _draw_points_and_closed_forms(axes, errors.where(matrix="kernel"), theory, family)
    computed = theory.array("mse") * theory.array("d_r")
    if np.isfinite(computed).any():
        low, high = np.nanmin(computed), np.nanmax(computed)
        grid[0, 0].set_ylim(low / _KERNEL_RANGE, high * _KERNEL_RANGE)
    for row, matrix in zip(grid[1:], ("attention", "output"), strict=True):
        measured = errors.where(matrix=matrix)
        sizes, reference = _mean(measured, features["family"], features["projection"])
        for axes, family in zip(row, columns, strict=True):
            axes.plot(sizes, reference, zorder=1, **_REFERENCE)
            axes.axhline(np.interp(features["d_r"], sizes, reference), zorder=1, **_TARGET)
            for name in fixed:
                axes.axhline(_mean(measured, name, _NO_LAW)[1][0], zorder=1, **_FIXED)
            for law in _laws(measured, family):
                axes.plot(*_mean(measured, family, law), **_look(law))
        low, high = row[0].get_ylim()
        # Some estimates are off by many orders of magnitude.
        row[0].set_ylim(low, min(high, _HEADROOM * reference.max()))
        for axes, family in zip(row, columns, strict=True):
            _note_requirement(axes, needed.where(matrix=matrix, family=family))
    for axes in grid[-1]:
        axes.set_xticks([10, 100, 1000], ["10", "100", "1000"])
    figure.supxlabel(r"number of random features $d_r$", fontsize="medium")
    figure.legend(handles=_legend(errors, features, fixed), loc="outside upper center", ncols=4)
    return figure


def _display(family: str) -> str:
    return _NAMES.get(family, family.rpartition(":")[2])


def _laws(errors: Table, family: str) -> list[str]:
    return list(errors.where(family=family).rows["projection"].unique())


def _look(law: str) -> dict[str, Any]:
    return {"markersize": 2.4, "linewidth": 0.9, **_LAWS[law]}


def _mean(errors: Table, family: str, projection: str) -> tuple[Array, Array]:
    """d_r and the mean over the repeats."""
    mean = errors.where(family=family, projection=projection).rows.groupby("d_r")["mse"].mean()
    return mean.index.to_numpy(dtype=np.float64), mean.to_numpy(dtype=np.float64)


def _draw_points_and_closed_forms(axes: Axes, errors: Table, theory: Table, family: str) -> None:
    """What is measured as markers, with two standard errors; what is computed as lines."""
    computed = theory.rows[theory.rows["family"] == family].dropna(subset="mse")
    for law in _laws(errors, family):
        look = _look(law)
        sizes, mean = _mean(errors, family, law)
        groups = errors.where(family=family, projection=law).rows.groupby("d_r")["mse"]
        spread = 2 * groups.sem().to_numpy(dtype=np.float64)
        bars = look | {"linestyle": "none", "elinewidth": 0.5}
        axes.errorbar(sizes, sizes * mean, sizes * spread, **bars)
        if law in set(computed["projection"]):
            sizes, curve = _mean(theory, family, law)
            axes.plot(sizes, sizes * curve, **(look | {"marker": "none"}))


def _note_requirement(axes: Axes, needed: Table) -> None:
    """The d_r with which the family reaches the target, over its laws of ω."""
    sizes = needed.rows["d_r"].dropna()
    shown = [line for line in axes.lines if line.get_marker() != "None"]
    if sizes.empty:
        above = all(np.min(line.get_ydata()) > axes.get_ylim()[1] for line in shown)
        note = "above the scale" if above else "target\nnot reached"
    else:
        low, high = int(sizes.min()), int(sizes.max())
        # The least d_r of the sweep may be more than is needed.
        sign = r"\leq" if (needed.rows["reached"] == "at once").any() else "="
        note = f"target at\n$d_r {sign} {low}$" + (f"–{high}" if high > low else "")
        if len(sizes) < len(needed.rows):
            note += f"\n({len(sizes)} of {len(needed.rows)})"
    axes.text(0.05, 0.05, note, transform=axes.transAxes, va="bottom", **style.SMALL)


def _legend(errors: Table, features: Config, fixed: Array) -> list[Line2D]:
    laws = [law for law in _LAWS if law in set(errors.rows["projection"])]
    handles = [Line2D([], [], label=rf"{law} $\omega$", **_look(law)) for law in laws]
    law = "" if features["projection"] == _NO_LAW else rf", {features['projection']} $\omega$"
    paper = _display(features["family"]) + law
    handles.append(Line2D([], [], label=paper, **_REFERENCE))
    target = rf"its error at $d_r = {features['d_r']}$: the target"
    handles.append(Line2D([], [], label=target, **_TARGET))
    handles += [Line2D([], [], label=_display(name), **_FIXED) for name in fixed]
    return handles


def caption_numbers(
    config: Config, families: Table, family_closed_forms: Table, family_requirements: Table
) -> Numbers:
    """The d_r that the families need for the error of the trained features."""
    trained = config["features"]
    law = trained.get("projection", "")
    numbers = {
        "trained": f"{trained['family']}{', ' * bool(law)}{law}",
        "d_r": str(trained["d_r"]),
    }
    for matrix in ("attention", "output"):
        rows = family_requirements.where(setting=config["setting"], matrix=matrix, error="mse").rows
        drawn = rows[rows["projection"] != _NO_LAW]
        reached = drawn.dropna(subset="d_r").sort_values("d_r", kind="stable")
        least = [
            f"{_size(one)} ({one['family']}, {one['projection']})"
            for one in reached.head(1).to_dict("records")
        ]
        own = drawn[drawn["family"] == trained["family"]].to_dict("records")
        numbers |= {
            f"{matrix}_least": least[0] if least else "more than were tried",
            f"{matrix}_own": ", ".join(f"{_size(one)} ({one['projection']})" for one in own),
            f"{matrix}_missed": f"{drawn['d_r'].isna().sum()} of {len(drawn)}",
        }
    return numbers


def _size(needed: Mapping[Hashable, Any]) -> str:
    """The d_r that a row of the requirements gives, which may be a bound."""
    if np.isnan(needed["d_r"]):
        return "more than were tried"
    return f"{'≤ ' if needed['reached'] == 'at once' else ''}{needed['d_r']:,.0f}"
