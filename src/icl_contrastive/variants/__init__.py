"""The variants: one module each, by the name that the config gives them under ``model``.

A module is loaded when its variant is built, and none is listed here: so a job depends on its own
variant's module alone, and a new variant runs no other's jobs again.
"""

import pkgutil
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any

from icl_contrastive.mixing import Mixing
from icl_contrastive.variants.base import Variant

__all__ = ["Mixing", "Variant", "build_variant", "models", "variant_class"]


def models() -> list[str]:
    """Names of the modules that hold a variant."""
    return [module.name for module in pkgutil.iter_modules(__path__) if module.name != "base"]


@cache
def variant_class(name: str) -> type[Variant]:
    """The class of a model; raises KeyError for an unknown one."""
    if name not in models():
        raise KeyError(f"model: no variant {name!r}; there are {', '.join(models())}")
    module = import_module(f"{__name__}.{name}")
    (kind,) = (
        kind
        for kind in vars(module).values()
        if isinstance(kind, type)
        and issubclass(kind, Variant)
        and kind.__module__ == module.__name__
    )
    return kind


def build_variant(model: Mapping[str, Any]) -> Variant:
    """Variant of a config entry, such as ``{"model": "augmented", "g1": 1}``.

    Raises KeyError for an unknown model, TypeError for a hyperparameter that it does not have or
    that is missing, ValueError for a value that one cannot have.
    """
    kind = variant_class(str(model.get("model")))
    return kind(**{key: value for key, value in model.items() if key != "model"})
