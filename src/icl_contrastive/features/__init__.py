"""Random-feature families by the name that the config gives them under ``family``."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from icl_contrastive.features.elu import EluPlusOne
from icl_contrastive.features.family import ExponentialFamily, Family, Statistics
from icl_contrastive.features.hyperbolic import Hyperbolic
from icl_contrastive.features.oprf import OPRF
from icl_contrastive.features.positive import Positive
from icl_contrastive.features.sderf import SDERF
from icl_contrastive.features.trigonometric import Trigonometric

FAMILIES: dict[str, type[Family]] = {
    "positive": Positive,
    "hyperbolic": Hyperbolic,
    "trigonometric": Trigonometric,
    "oprf": OPRF,
    "sderf": SDERF,
    "elu+1": EluPlusOne,
}

_NAME = r"[A-Za-z_]\w*"
PLUG_IN = re.compile(rf"(?P<module>{_NAME}(?:\.{_NAME})*):(?P<family>{_NAME})", re.ASCII)
"""A family of the user's own: ``module:Class``, such as ``my_features:Cosine``."""

__all__ = [
    "FAMILIES",
    "ExponentialFamily",
    "Family",
    "Statistics",
    "UnknownFamilyError",
    "build_family",
]


class UnknownFamilyError(ValueError):
    """A family that the config names and that there is not; the message says what is allowed."""


def build_family(features: Mapping[str, Any]) -> Family:
    """Family of a config entry, such as ``{"family": "oprf", "projection": "orthogonal"}``.

    ``family`` is a name in ``FAMILIES`` or ``module:Class``, a subclass of ``Family`` in a module
    that can be imported or that lies in the working directory. Other keys are left alone.

    Raises UnknownFamilyError, or ValueError for a projection that the family does not have.
    """
    name = features["family"]
    return (FAMILIES.get(name) or _plug_in(name))(features.get("projection"))


def _plug_in(name: str) -> type[Family]:
    match = PLUG_IN.fullmatch(name)
    if match is None:
        raise UnknownFamilyError(
            f"family: {name!r} is not one of {', '.join(FAMILIES)}, and no module:Class either"
        )
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # at the end: nothing there can stand in for an installed module
    try:
        module = import_module(match["module"])
    except ImportError as error:
        raise UnknownFamilyError(
            f"family: the module of {name!r} cannot be imported ({error}); it must lie in the "
            "working directory or on PYTHONPATH"
        ) from error
    family = getattr(module, match["family"], None)
    if not (isinstance(family, type) and issubclass(family, Family)):
        raise UnknownFamilyError(
            f"family: {match['family']!r} in the module {module.__name__} is not a class derived "
            f"from {Family.__module__}.{Family.__name__}"
        )
    return family
