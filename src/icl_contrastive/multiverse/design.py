"""Which universes are trained when there are too many: a fraction that is balanced in pairs.

Universes are chosen one after the other, the default first, each so that the pairs of values that
it has are those met least so far. So a larger design begins with the smaller one, and nothing that
has been trained is lost when its size is raised, or when a value is added to a decision.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from math import ceil
from typing import Literal

from icl_contrastive.multiverse.space import Choices, Space, Value, universe_name

Size = int | Literal["all"]


def design(space: Space, size: Size) -> list[dict[str, Value]]:
    """The universes that are trained, in the order of their choice.

    As many as ``size`` of the values declared first; to these come, value by value, those with a
    value that was added, until it is met as often as the others of its decision are on average.
    """
    universes = space.universes()
    if size == "all":
        return universes
    values = {name: len(one.values) + len(one.added) for name, one in space.decisions.items()}
    chosen: list[dict[str, Value]] = []
    counts: Counter[object] = Counter()  # of each value and pair of values among those chosen

    def imbalance(choices: Choices) -> int:
        """What a universe adds to Σ (number of values) · count², over values and their pairs.

        The factor makes decisions with few values, whose counts are large, count no more.
        """
        single = sum(values[name] * (2 * counts[name, one] + 1) for name, one in choices.items())
        return single + sum(
            values[a[0]] * values[b[0]] * (2 * counts[a, b] + 1)
            for a, b in combinations(choices.items(), 2)
        )

    def choose(known: Mapping[str, Sequence[Value]], count: int, **given: Value) -> None:
        """So many more of the universes with known values, and some given, none chosen before."""
        left = {
            universe_name(one): one
            for one in universes
            if all(one[name] in known[name] for name in known) and given.items() <= one.items()
        }
        for _ in range(min(count, len(left))):
            name = (
                min(left, key=lambda name: (imbalance(left[name]), name))
                if chosen
                else next(iter(left))
            )
            one = left.pop(name)
            chosen.append(one)
            counts.update([*one.items(), *combinations(one.items(), 2)])

    known = {name: [*declared] for name, declared in space.declared.items()}
    choose(known, size)
    for decision in space.decisions.values():
        for value in decision.added:
            share = ceil(len(chosen) / len(known[decision.name]))
            known[decision.name].append(value)
            choose(known, share, **{decision.name: value})
    return chosen
