"""What fits into a room that is too small for everything."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as some

from acestep_fetch.core.fitting import most_that_fit

SIZES = some.lists(some.integers(0, 50), min_size=1, max_size=7)


@given(sizes=SIZES, must=some.booleans(), room=some.integers(0, 200))
def test_no_choice_has_more_in_it(sizes: list[int], must: bool, room: int) -> None:
    things = list(range(len(sizes)))
    first = things[:1] if must else []

    def needed(some_of: Sequence[int]) -> int:
        return sum(sizes[thing] for thing in some_of)

    chosen = most_that_fit(things, first, needed, room)
    assert chosen == sorted(set(chosen))
    assert needed(chosen) <= room
    others = (c for n in range(len(things) + 1) for c in combinations(things, n) if set(first) <= set(c))
    assert len(chosen) == max((len(c) for c in others if needed(c) <= room), default=0)


def test_what_is_shared_is_counted_once() -> None:
    parts = {"a": {1, 2, 3}, "b": {3, 4}, "c": {5, 6, 7}}

    def needed(names: Sequence[str]) -> int:
        return len({part for name in names for part in parts[name]})

    assert most_that_fit(list(parts), ["a"], needed, 4) == ["a", "b"]
    assert most_that_fit(list(parts), ["a"], needed, 2) == []
