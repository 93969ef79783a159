"""Which universes are trained when there are too many: a fraction that is balanced in pairs.

Universes are chosen one after the other, the default first, each so that the pairs of values that
it has are those met least so far. So a larger design begins with the smaller one, and nothing that
has been trained is lost when its size is raised, or when a value is added to a decision.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations
from math import ceil
from typing import Literal

from icl_contrastive.multiverse.space import Choices, Space, Value, universe_name

Size = int | Literal["all"]
Pair = tuple[tuple[str, Value], tuple[str, Value]]


def design(space: Space, size: Size) -> list[dict[str, Value]]:
    """The universes that are trained, in the order of their choice.

    As many as ``size`` of the values declared first; to these come, value by value, those with a
    value that was added, until it is met as often as the others of its decision are on average.
    """
    universes = space.universes()
    if size == "all":
        return universes
    declared = space.declared
    first = [one for one in universes if all(one[name] in declared[name] for name in declared)]
    chosen = _Chosen(space)
    chosen.extend(first, size)
    known = {name: list(values) for name, values in declared.items()}
    for decision in space.decisions.values():
        for value in decision.added:
            share = ceil(len(chosen.universes) / len(known[decision.name]))
            known[decision.name].append(value)
            having = [
                one
                for one in universes
                if one[decision.name] == value and all(one[name] in known[name] for name in known)
            ]
            chosen.extend(having, share)
    return chosen.universes


class _Chosen:
    """The universes chosen so far, and how often each value and pair of values is among them."""

    def __init__(self, space: Space) -> None:
        self.universes: list[dict[str, Value]] = []
        self._counts: Counter[object] = Counter()
        self._values = {
            name: len(one.values) + len(one.added) for name, one in space.decisions.items()
        }

    def extend(self, candidates: Sequence[dict[str, Value]], count: int) -> None:
        """Choose so many more of the candidates, which are none of those chosen before."""
        left = {universe_name(one): one for one in candidates}
        for _ in range(min(count, len(left))):
            name = (
                min(left, key=lambda name: (self._imbalance(left[name]), name))
                if self.universes
                else next(iter(left))
            )
            one = left.pop(name)
            self.universes.append(one)
            self._counts.update([*one.items(), *_pairs(one)])

    def _imbalance(self, choices: Choices) -> int:
        """What a universe adds to Σ (number of values) · count², over values and their pairs.

        The factor makes decisions with few values, whose counts are large, count no more.
        """
        values, counts = self._values, self._counts
        single = sum(values[name] * (2 * counts[name, one] + 1) for name, one in choices.items())
        return single + sum(
            values[a[0]] * values[b[0]] * (2 * counts[a, b] + 1) for a, b in _pairs(choices)
        )


def _pairs(choices: Choices) -> Iterator[Pair]:
    return combinations(choices.items(), 2)
