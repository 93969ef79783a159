"""Random-feature families by the name that the config gives them under ``family``."""

from collections.abc import Mapping
from typing import Any

from icl_contrastive.features.balanced import Balanced, BalancedOPRF, BalancedSDERF
from icl_contrastive.features.elu import EluPlusOne
from icl_contrastive.features.family import ExponentialFamily, Family, Statistics
from icl_contrastive.features.hyperbolic import Hyperbolic
from icl_contrastive.features.oprf import OPRF
from icl_contrastive.features.positive import Positive
from icl_contrastive.features.sderf import SDERF
from icl_contrastive.features.trigonometric import Trigonometric
from icl_contrastive.plug_ins import load_plug_in, plug_in_module

FAMILIES: dict[str, type[Family]] = {
    "positive": Positive,
    "hyperbolic": Hyperbolic,
    "trigonometric": Trigonometric,
    "oprf": OPRF,
    "sderf": SDERF,
    "balanced": Balanced,
    "balanced+oprf": BalancedOPRF,
    "balanced+sderf": BalancedSDERF,
    "elu+1": EluPlusOne,
}

__all__ = [
    "FAMILIES",
    "ExponentialFamily",
    "Family",
    "Statistics",
    "build_family",
]


def build_family(features: Mapping[str, Any]) -> Family:
    """Family of a config entry, such as ``{"family": "oprf", "projection": "orthogonal"}``.

    ``family`` is a name in ``FAMILIES`` or ``module:Class``, a subclass of ``Family`` in a module
    that can be imported or that lies in the working directory. Other keys are left alone.

    Raises ValueError for a name or a projection that there is not.
    """
    name = str(features.get("family"))
    family = FAMILIES.get(name)
    if family is None and plug_in_module(name) is None:
        raise ValueError(
            f"family: {features.get('family')!r} is not one of {', '.join(FAMILIES)}, and no "
            "module:Class either"
        )
    if family is None:
        family = load_plug_in(name, Family)  # type: ignore[type-abstract]
    try:
        return family(features.get("projection"))
    except TypeError as error:
        raise ValueError(f"family: {name!r} must take a projection or None ({error})") from error
