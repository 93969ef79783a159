"""Random streams: named by purpose, independent of each other and of the order of use."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from icl_contrastive.streams import stream

names = st.lists(st.one_of(st.text("abc ω", max_size=4), st.integers(0, 20)), max_size=3)


@given(st.integers(0, 2**63), names)
def test_equal_names_give_equal_numbers(seed: int, parts: list[str | int]) -> None:
    first, second = (stream(seed, *parts).standard_normal(5) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@given(st.tuples(st.integers(0, 9), names), st.tuples(st.integers(0, 9), names))
def test_other_names_give_other_numbers(
    one: tuple[int, list[str | int]], other: tuple[int, list[str | int]]
) -> None:
    same = [str(p) for p in (one[0], *one[1])] == [str(p) for p in (other[0], *other[1])]
    first, second = (stream(seed, *parts).integers(2**63, size=4) for seed, parts in (one, other))
    assert np.array_equal(first, second) == same


def test_parts_of_a_name_do_not_run_together() -> None:
    labels = [("ab", "c"), ("a", "bc"), ("abc",), ("a", "b", "c"), ("abc", "")]
    draws = {stream(1, *label).integers(2**63) for label in labels}
    assert len(draws) == len(labels)
    assert stream(1, 23).integers(2**63) != stream(12, 3).integers(2**63)


def test_a_new_stream_changes_no_other() -> None:
    alone = stream(7, "omega", "n15", 0).random(3)
    stream(7, "something new").random(1000)
    np.testing.assert_array_equal(stream(7, "omega", "n15", 0).random(3), alone)


def test_streams_of_neighbors_are_uncorrelated() -> None:
    """100 streams of 4000 normal draws: largest correlation within 5 standard errors."""
    draws = np.stack(
        [stream(2023, "omega", "n15", run).standard_normal(4000) for run in range(100)]
    )
    correlations = (draws @ draws.T / 4000)[np.triu_indices(100, 1)]
    assert np.abs(correlations).max() < 5 / np.sqrt(4000)


def test_numbers_are_the_same_on_every_machine() -> None:
    """Philox and SHA-256 are exact: these numbers may never change."""
    numbers = stream(2023, "omega", "n15", 0).integers(2**32, size=3)
    assert numbers.tolist() == [
        2843035759,
        3379253562,
        3286668709,
    ]
    assert stream(0).integers(10, size=5).tolist() == [8, 9, 1, 7, 4]
