"""The space of decisions: their values, what is left out of it, and how universes are named."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, get_args

from icl_contrastive.choices import Init, Normalization, Omega, Order

Value = str | float
Choices = Mapping[str, Value]
"""A value for each decision; a universe is known by them."""

TRAINED: dict[str, tuple[Value, ...] | None] = {
    "normalization": get_args(Normalization),
    "initialization": None,
    "omega": get_args(Omega),
    "projection": ("independent", "orthogonal", "simplex"),
    "prompts": ("fixed", "fresh"),
    "order": get_args(Order),
}
"""Decisions that take a training of their own, with the values that there are; None: see below."""

ANALYZED: dict[str, tuple[Value, ...] | None] = {
    "epochs": None,
    "matrix": ("normalized", "unnormalized"),
    "average": ("mean", "median"),
    "queries": ("all", "last"),
}
"""Decisions about what is read off a training; ``epochs`` is a share of the setting's."""

ABOUT = {
    "normalization": "What section 3.1 does to keys and queries.",
    "initialization": "Law of the initial weights, and perhaps a factor: uniform x 0.2.",
    "omega": "Whether a run keeps one draw of the random features.",
    "projection": "Law of the random features.",
    "prompts": "Whether all epochs have the same prompts.",
    "order": "Whether all epochs take them in the same order.",
    "epochs": "When training stops, as a share of the setting's epochs.",
    "matrix": "Whether errors are of the attention, or of the kernel before it is normalized.",
    "average": "What is taken over the prompts of a run.",
    "queries": "Whether errors are those of all columns of a matrix, or of the query token's.",
}
"""What is decided, in words."""

_INITIALIZATION = re.compile(rf"({'|'.join(get_args(Init))})(?: x (\d+(?:\.\d+)?))?", re.ASCII)


@dataclass(frozen=True)
class Decision:
    """One thing that the paper leaves open.

    Attributes:
        name: one of ``TRAINED`` or ``ANALYZED``.
        values: those declared before any universe was judged, the default first.
        added: those that came later, in their order.
    """

    name: str
    values: tuple[Value, ...]
    added: tuple[Value, ...] = ()

    @property
    def default(self) -> Value:
        return self.values[0]


@dataclass(frozen=True)
class Space:
    """Decisions in their order, and the rules of what cannot be combined.

    A rule leaves out the universes with one of its values in every decision that it names.
    """

    decisions: Mapping[str, Decision]
    rules: tuple[Mapping[str, Sequence[Value]], ...] = ()

    @classmethod
    def of(cls, section: Mapping[str, Any]) -> Space:
        """The space that the section ``multiverse`` of a config declares."""
        decisions = {
            name: Decision(name, tuple(entry["values"]), tuple(entry["added"]))
            for name, entry in section["decisions"].items()
        }
        return cls(decisions, tuple(rule["where"] for rule in section["exclude"]))

    def part(self, names: Iterable[str]) -> Space:
        """The same of some of the decisions, in their order; of others the default is taken."""
        kept = {name: self.decisions[name] for name in names if name in self.decisions}
        return Space(kept, self.rules)

    @property
    def trained(self) -> Space:
        """What is decided before training."""
        return self.part(name for name in self.decisions if name in TRAINED)

    @property
    def analyzed(self) -> Space:
        """What is decided after it."""
        return self.part(name for name in self.decisions if name in ANALYZED)

    @property
    def default(self) -> dict[str, Value]:
        """The universe of first values, which is the experiment's own unless that was changed."""
        return {name: decision.default for name, decision in self.decisions.items()}

    @property
    def declared(self) -> dict[str, tuple[Value, ...]]:
        """The values of each decision without those that were added later."""
        return {name: decision.values for name, decision in self.decisions.items()}

    def allows(self, choices: Choices) -> bool:
        """Whether no rule leaves them out, as none does that names a decision not among them."""
        return not any(
            all(name in choices and choices[name] in values for name, values in rule.items())
            for rule in self.rules
        )

    def universes(self) -> list[dict[str, Value]]:
        """All combinations that the rules allow, the default first."""
        values = [(*one.values, *one.added) for one in self.decisions.values()]
        every = (dict(zip(self.decisions, chosen, strict=True)) for chosen in product(*values))
        return [choices for choices in every if self.allows(choices)]


def universe_name(choices: Choices) -> str:
    """Eight hexadecimal digits that depend on what is decided, not on the order it is said in."""
    text = json.dumps(dict(choices), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def changes(choices: Choices, default: Choices) -> dict[str, Value]:
    """The decisions in which a universe differs from another."""
    return {name: value for name, value in choices.items() if value != default[name]}


def read_initialization(value: Value) -> tuple[str, float] | None:
    """The law of the initial weights and the factor on them of, say, ``uniform x 0.2``.

    None for text that says neither, or a factor that is no finite number above 0.
    """
    found = _INITIALIZATION.fullmatch(str(value))
    factor = float(found[2] or 1) if found else 0.0
    return (found[1], factor) if found and 0 < factor < math.inf else None
