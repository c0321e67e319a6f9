"""A theft ends both at once, stays within the victim, and does not happen where it is not worth a request."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from acestep_fetch.core.stealing import (
    Target,
    Theft,
    choose_hedge,
    choose_victim,
    span_length,
)

# As docs/design.md has them.
KIB, MIB = 1 << 10, 1 << 20
SHORTEST_SPAN, LONGEST_SPAN, FIRST_SPAN = MIB, 128 * MIB, 8 * MIB
SPAN_SECONDS, SHORTEST_SECONDS = 2.5, 0.6
SMALLEST_STEAL, WORTH_STEALING = 16 * KIB, 0.3
LARGEST_HEDGE, WORTH_HEDGING = MIB, 0.05

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
        ([Target(MIB * 100, 0.0)], 0.0, 0.1),  # nor has the victim
        ([Target(0, 0.0)], 1e6, 0.1),
        ([Target(16 * KIB - 1, 0.0)], 1e6, 0.1),
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


def test_the_smallest_theft_is_sixteen_kib() -> None:
    assert choose_victim([Target(16 * KIB, 0.0)], 1e6, 0.1) == Theft(0, 16 * KIB)


@pytest.mark.parametrize(("setup", "pays"), [(0.28, True), (0.32, False)])
def test_a_theft_pays_where_the_end_comes_three_tenths_of_a_second_earlier(setup: float, pays: bool) -> None:
    """Victim and thief are alike and 0.9 s are left, so with no set-up both would end after 0.45 s, 0.45 s earlier; of
    every second of set-up half is lost."""
    assert (choose_victim([Target(900_000, 1e6)], 1e6, setup) is not None) is pays


def test_a_flight_with_nothing_left_hides_nobody() -> None:
    over = [Target(0, 0.0), Target(0, 1e6)]
    theft = choose_victim([*over, Target(100 * MIB, 1e6)], 1e6, 0.1)
    assert theft is not None
    assert theft.index == 2
    assert choose_hedge([*over, Target(500_000, 1e6)], 1e7, 0.1) == 2


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


@settings(deadline=None, max_examples=200)
@given(
    speed=speeds,
    unassigned=st.integers(0, 1 << 42),
    others=st.floats(0, 1e10),
    connections=st.integers(0, 256),
)
def test_a_span_is_no_shorter_than_it_need_be(speed: float, unassigned: int, others: float, connections: int) -> None:
    length = span_length(speed, unassigned, speed + others, connections)
    half = unassigned / (speed + others) / 2  # of the time that is left
    assert length >= int(min(LONGEST_SPAN, speed * max(SHORTEST_SECONDS, min(SPAN_SECONDS, half))) * 0.999)


@pytest.mark.parametrize(
    ("unassigned", "connections", "length"),
    [
        (1 << 40, 4, 8 * MIB),
        (40 * MIB, 4, 5 * MIB),
        (40 * MIB, 16, 40 * MIB // 32),
        (6 * MIB, 16, MIB),
        (4 * MIB, 0, 4 * MIB),
    ],
)
def test_while_no_speed_is_known_there_is_a_second_span_for_everybody(
    unassigned: int, connections: int, length: int
) -> None:
    assert span_length(0, unassigned, 0, connections) == length


@pytest.mark.parametrize(
    ("unassigned", "length"),
    [
        (1 << 40, 25_000_000),  # two and a half seconds
        (160_000_000, 20_000_000),  # four seconds are left for all: half of them
        (8_000_000, 6_000_000),  # never less than 0.6 s
    ],
)
def test_a_connection_of_ten_megabytes_a_second_beside_three_others(unassigned: int, length: int) -> None:
    assert span_length(10e6, unassigned, 40e6, 4) == length


# -- hedges


@settings(deadline=None, max_examples=300)
@given(
    flights=st.lists(st.builds(Target, st.integers(0, 2 * MIB), st.just(0.0) | st.floats(1e3, 1e8)), max_size=6),
    speed=st.just(0.0) | speeds,
    setup=st.floats(0.001, 5),
)
def test_a_hedge_is_of_the_last_bytes_of_who_ends_last_and_pays(
    flights: list[Target], speed: float, setup: float
) -> None:
    def comes_earlier(flight: Target) -> bool:
        return setup + flight.remaining / speed + WORTH_HEDGING < seconds(flight)

    def ends(flight: Target) -> tuple[float, int]:  # of those that stand still the one that lacks most is last
        return seconds(flight), 0 if flight.speed else flight.remaining

    index = choose_hedge(flights, speed, setup)
    last = [flight for flight in flights if ends(flight) == max(map(ends, flights))]
    if index is not None:
        assert flights[index] in last
        assert 0 < flights[index].remaining <= LARGEST_HEDGE
        assert comes_earlier(flights[index])
    elif last and speed:
        assert not all(0 < flight.remaining <= LARGEST_HEDGE and comes_earlier(flight) for flight in last)


@pytest.mark.parametrize(
    ("flights", "speed", "hedged"),
    [
        ([], 1e6, None),
        ([Target(MIB, 0.0)], 0.0, None),  # somebody who has not moved a byte yet
        ([Target(MIB, 0.0)], 1e6, 0),  # who stands still needs for ever
        ([Target(1, 0.0)], 1e6, 0),
        ([Target(MIB + 1, 0.0)], 1e6, None),
        ([Target(0, 0.0)], 1e6, None),
        ([Target(100_000, 1e6), Target(100_000, 1e5)], 1e6, 1),
        ([Target(100_000, 1e6), Target(100_000, 0.0), Target(100_000, 1e5)], 1e6, 1),
        ([Target(100_000, 0.0), Target(200_000, 0.0)], 1e6, 1),
        ([Target(260_000, 1e6)], 1e7, 0),  # 0.26 s; with set-up 0.1 + 0.026
        ([Target(150_000, 1e6)], 1e7, None),  # 0.15 s are not 0.05 s more than 0.115
        ([Target(180_000, 1e6)], 1e7, 0),  # 0.18 are more than 0.168
    ],
)
def test_who_is_hedged(flights: list[Target], speed: float, hedged: int | None) -> None:
    assert choose_hedge(flights, speed, 0.1) == hedged
