"""What a config may say of random-feature families, without loading them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from icl_contrastive.config.schema import meant, one_of
from icl_contrastive.plug_ins import plug_in_module


@dataclass(frozen=True)
class Known:
    """What ``features.family.Family`` says of a family, for a check before anything runs.

    Attributes:
        projections: those that it can be drawn with, its default first.
        multiple: what d_r must be a multiple of.
        nonnegative: whether layers can be trained with it.
    """

    projections: tuple[str, ...] = ("independent", "orthogonal", "simplex")
    multiple: int = 1
    nonnegative: bool = True


FAMILIES: dict[str, Known] = {
    "positive": Known(),
    "hyperbolic": Known(multiple=2),
    "trigonometric": Known(multiple=2, nonnegative=False),
    "oprf": Known(),
    "sderf": Known(),
    "elu+1": Known(projections=()),
    "balanced": Known(),
    "balanced+oprf": Known(),
    "balanced+sderf": Known(),
}


def feature_problems(
    features: Mapping[str, Any], key: Callable[[str], str], *, trained: bool
) -> Iterator[str]:
    """A line for each problem of ``family``, ``projection`` and ``d_r``, which may be left out.

    Of a family of the user's own only its module can say what it has.

    Args:
        features: the entry.
        key: from a key of the entry to the config's.
        trained: whether layers are trained with it.
    """
    name, projection, d_r = features["family"], features.get("projection"), features.get("d_r")
    known = FAMILIES.get(name)
    if known is None:
        if plug_in_module(name) is None:
            own = f"or module:Class for one of your own{meant(name, FAMILIES)}"
            yield f"{key('family')}: {name!r} is not allowed; must be {one_of(FAMILIES)}, {own}"
        return
    if trained and not known.nonnegative:
        fit = [name for name, other in FAMILIES.items() if other.nonnegative]
        yield (
            f"{key('family')}: {name!r} is not allowed in training, since its estimates can be "
            f"negative; must be {one_of(fit)}"
        )
    if projection is not None and projection not in known.projections:
        yield (
            f"{key('projection')}: {projection!r} is not allowed with family: {name}; must be left "
            "out, since nothing is drawn"
        )
    if d_r is not None and d_r % known.multiple:
        yield (
            f"{key('d_r')}: {d_r} is not allowed with family: {name}; must be a multiple of "
            f"{known.multiple}"
        )
