"""A theft ends both at once, stays within the victim, and does not happen where it is not worth a request."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from acestep_fetch.core.stealing import (
    FIRST_SPAN,
    LONGEST_SPAN,
    MIB,
    SHORTEST_SECONDS,
    SHORTEST_SPAN,
    SMALLEST_STEAL,
    SPAN_SECONDS,
    WORTH_STEALING,
    Target,
    Theft,
    choose_victim,
    span_length,
)

speeds = st.floats(1e3, 1e9)
targets = st.lists(st.builds(Target, st.integers(0, 1 << 40), st.just(0.0) | speeds), max_size=8)


def seconds(target: Target) -> float:
    return target.remaining / target.speed if target.speed else float("inf") if target.remaining else 0.0


@settings(deadline=None, max_examples=400)
@given(flights=targets, speed=speeds, setup=st.floats(0.001, 5))
def test_a_theft_pays_and_both_end_together(flights: list[Target], speed: float, setup: float) -> None:
    theft = choose_victim(flights, speed, setup)
    if theft is None:
        return
    victim = flights[theft.index]
    assert SMALLEST_STEAL <= theft.take <= victim.remaining
    thief_ends = setup + theft.take / speed
    if victim.speed:
        victim_ends = (victim.remaining - theft.take) / victim.speed
        assert thief_ends == pytest.approx(victim_ends, rel=1e-3, abs=2 / min(speed, victim.speed))
        assert thief_ends <= seconds(victim) - WORTH_STEALING * 0.99  # sooner than without
        assert all(seconds(flight) <= seconds(victim) * (1 + 1e-9) for flight in flights if flight.speed)
    else:
        assert theft.take >= victim.remaining - 1 - victim.remaining * 1e-9  # nothing moves there: take all


@settings(deadline=None, max_examples=200)
@given(remaining=st.integers(64 * MIB, 1 << 36), slow=speeds, factor=st.floats(0.5, 20))
def test_what_is_worth_it_is_taken(remaining: int, slow: float, factor: float) -> None:
    assume(remaining / slow > 4 * WORTH_STEALING)
    setup = remaining / slow / 100
    assert choose_victim([Target(remaining, slow)], slow * factor, setup) is not None


@pytest.mark.parametrize(
    ("flights", "speed", "setup"),
    [
        ([], 1e6, 0.1),
        ([Target(MIB * 100, 1e6)], 0.0, 0.1),  # a thief that has not moved a byte yet
        ([Target(0, 1e6)], 1e6, 0.1),
        ([Target(100_000, 1e6)], 1e8, 0.01),  # less than the smallest theft
        ([Target(10_000_000, 1e8)], 1e8, 0.1),  # ends before the thief's first byte
        ([Target(10_000_000, 1e8)], 1e3, 0.01),  # too slow a thief
    ],
)
def test_there_is_no_theft_that_does_not_pay(flights: list[Target], speed: float, setup: float) -> None:
    assert choose_victim(flights, speed, setup) is None


def test_the_victim_is_who_ends_last_not_who_has_most() -> None:
    many_bytes, much_time = Target(100 * MIB, 1e9), Target(10 * MIB, 1e5)
    theft = choose_victim([many_bytes, much_time], 1e6, 0.1)
    assert theft is not None
    assert theft.index == 1


def test_a_flight_that_stands_still_gives_everything() -> None:
    assert choose_victim([Target(8 * MIB, 0.0), Target(8 * MIB, 1e6)], 1e6, 0.1) == Theft(0, 8 * MIB)


@settings(deadline=None, max_examples=200)
@given(
    speed=st.just(0.0) | speeds,
    unassigned=st.integers(0, 1 << 42),
    others=st.floats(0, 1e10),
    connections=st.integers(0, 256),
)
def test_a_span_is_worth_some_seconds_and_half_of_the_time_that_is_left(
    speed: float, unassigned: int, others: float, connections: int
) -> None:
    length = span_length(speed, unassigned, speed + others, connections)
    assert SHORTEST_SPAN <= length <= LONGEST_SPAN
    if not speed:
        assert length <= max(SHORTEST_SPAN, min(FIRST_SPAN, unassigned / max(1, 2 * connections)))
    elif length > max(SHORTEST_SPAN, SHORTEST_SECONDS * speed):
        assert length <= SPAN_SECONDS * speed
        assert length / speed <= unassigned / (speed + others) / 2 + 1e-6
