"""The fewest decisions that turn a verdict, and where most claims hold together."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from icl_contrastive.multiverse.judge import FAILED, HOLDS, UNTESTED
from icl_contrastive.multiverse.space import Choices, Value, changes


class Flip(NamedTuple):
    """A universe with another verdict than the default one, and in what it differs."""

    universe: str
    verdict: str
    changes: Mapping[str, Value]


def smallest_flips(
    verdicts: Mapping[str, str], universes: Mapping[str, Choices], default: Choices
) -> list[Flip]:
    """Those with the fewest changes among the universes in which a claim turns.

    It turns where it holds and does not in the default universe, or the other way. None if it does
    nowhere, or is not decided in the default universe.

    Args:
        verdicts: on one claim by universe.
        universes: what is decided in each.
        default: in the default one.
    """
    own = next((verdicts[name] for name, one in universes.items() if one == default), UNTESTED)
    if own in (FAILED, UNTESTED):
        return []
    turned = [
        Flip(name, verdict, changes(universes[name], default))
        for name, verdict in verdicts.items()
        if verdict not in (FAILED, UNTESTED) and (verdict == HOLDS) != (own == HOLDS)
    ]
    least = min((len(flip.changes) for flip in turned), default=0)
    return [flip for flip in turned if len(flip.changes) == least]


def best_universes(together: pd.DataFrame, count: int) -> pd.DataFrame:
    """The universes in which most claims hold, one for each training, at most so many.

    Of equal ones the one with the fewest changes from the default, then by name.

    Args:
        together: universe, trained, changes, holds.
        count: of universes.
    """
    order = together.sort_values(["holds", "changes", "universe"], ascending=[False, True, True])
    return order.drop_duplicates("trained").head(count)


def in_words(changed: Mapping[str, Value] | Sequence[tuple[str, Value]]) -> str:
    """Changes as ``normalization = none; epochs = 0.33``."""
    return "; ".join(f"{name} = {value}" for name, value in dict(changed).items())
