"""What a variant of the layer is: how attention weights become output coefficients, and its dual.

Every layer of the paper reads out ĥ = Σ_i c_i g1(v_i) at the query token, where the coefficients
c come from the attention weights a by the affine map ``Mixing``. The dual is the reference model
f(x) = W φ(x) (Eq. 8) with the variant's own loss and W_0. A variant is one file that states both.
"""

from __future__ import annotations

import math
import unicodedata
from collections import ChainMap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from numbers import Integral, Real
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin, get_type_hints

from icl_contrastive.mixing import Mixing

if TYPE_CHECKING:
    from torch import Tensor

    from icl_contrastive.dual import DualProblem

_hints: Callable[..., dict[str, Any]] = cache(get_type_hints)


@dataclass(frozen=True)
class Variant:
    """The plain layer ĥ = Σ a_i v_i and its dual (Theorem 1); other variants override.

    ``attention`` is ``kernel`` (random features, Eq. 7) or ``exact`` (softmax, Eq. 2, whose
    reference model has the softmax's own kernel). ``g1`` and ``g2`` count the GELU layers
    on values and keys (Eq. 16).
    """

    attention: Literal["kernel", "exact"] = "kernel"
    g1: Annotated[int, {"minimum": 0}] = 0
    g2: Annotated[int, {"minimum": 0}] = 0

    def __post_init__(self) -> None:
        """Raises ValueError for a value that a parameter cannot have."""
        for name, hint in _hints(type(self)).items():
            value = getattr(self, name)
            number = isinstance(value, Real) and not isinstance(value, bool)
            if get_origin(hint) is Literal and value not in get_args(hint):
                raise ValueError(f"{name} {value!r}: must be one of {', '.join(get_args(hint))}")
            if hint is int and not (number and isinstance(value, Integral)):
                raise ValueError(f"{name} {value!r}: must be an integer")
            if hint is float and not (number and math.isfinite(value)):
                raise ValueError(f"{name} {value!r}: must be a number")
        for name, bounds in _bounds(type(self)).items():
            value = getattr(self, name)
            if value < bounds.get("minimum", value):
                raise ValueError(f"{name} {value!r}: must be at least {bounds['minimum']}")
            if value > bounds.get("maximum", value):
                raise ValueError(f"{name} {value!r}: must be at most {bounds['maximum']}")

    def check(self, n_demonstrations: int) -> None:
        """Raises ValueError if so many demonstrations are too few for the variant."""

    @property
    def label(self) -> str:
        """What figures and captions call it, plain text: ``damped, γ = 0.5``.

        Its name and the parameters that are not every variant's.
        """
        common = {field.name for field in fields(Variant)}
        own = [field.name for field in fields(self) if field.name not in common]
        parameters = [f"{_symbol(name)} = {in_words(getattr(self, name))}" for name in own]
        return ", ".join([type(self).__name__.lower(), *parameters])

    def mixing(self, n_demonstrations: int) -> Mixing:
        """The map from attention weights to coefficients."""
        return Mixing.identity(n_demonstrations)

    @property
    def gradient_is_constant(self) -> bool:
        """Whether the loss is linear in W: any number of epochs then ends where one step does."""
        return True

    def initial_weight(self, problem: DualProblem) -> Tensor:
        """W_0 of the reference model (Eq. 12), shape (..., d, m): v_{N+1} φ(k_{N+1})ᵀ / D'."""
        return problem.outer(problem.query_value, problem.query_key_features)

    @property
    def starts_elsewhere(self) -> bool:
        """Whether the paper gives no W_0 but that of Eq. 12, from which this does not start."""
        return False

    def restated(self) -> Variant | None:
        """The variant that the paper takes this one for, where that has the same parameters."""
        return None

    def loss(
        self, weight: Tensor, problem: DualProblem, samples: slice, eta: float, decay: float
    ) -> Tensor:
        """Contrastive loss (Eq. 9) of the demonstrations in ``samples``, shape (...).

        −(1 / η D) Σ_i v_iᵀ W φ(k_i). ``decay`` is the share of a regularizer on W that this step
        carries, for variants that have one.
        """
        return problem.attraction(weight, problem.values[..., samples, :], samples, eta)


def _bounds(kind: type[Variant]) -> dict[str, Mapping[str, float]]:
    """What the annotations of its parameters say about them, the schema's ``minimum`` among it."""
    hints = _hints(kind, include_extras=True)
    return {
        name: ChainMap(*hint.__metadata__)
        for name, hint in hints.items()
        if hasattr(hint, "__metadata__")
    }


def in_words(value: object) -> str:
    """A parameter's value as it is written in a text: ``−0.2``."""
    number = isinstance(value, int | float)
    return f"{value:g}".replace("-", "\N{MINUS SIGN}") if number else str(value)


def _symbol(name: str) -> str:
    """The Greek letter of that name, or the name."""
    try:
        return unicodedata.lookup(f"GREEK SMALL LETTER {name}")
    except KeyError:
        return name
