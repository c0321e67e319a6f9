"""Every second is the rate, whoever takes, and nobody waits for more than one chunk of each of the others."""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acestep_fetch.core.budget import (
    Line,
    after_passing,
    after_taking,
    chunk_size,
    line_of,
    seconds_to,
    useful_connections,
)

# As docs/design.md has them.
TOLERANCE, LARGEST_CHUNK, CHUNK_SECONDS = 0.03, 256 * 1024, 0.01
BURST = 0.01  # with chunks of a fiftieth
START = 1e6  # clocks do not begin at 0


class Passed(NamedTuple):
    at: float
    taker: int
    count: int
    came: float


class Stall(NamedTuple):
    start: float
    stop: float


class Taker(NamedTuple):
    chunks: list[int]  # over and over
    pauses: list[float]  # before it takes the next one


def played(line: Line, takers: list[Taker], seconds: float, stalls: Sequence[Stall] = ()) -> list[Passed]:
    """What passes while each taker takes, waits until that has passed, pauses and takes again. Nobody moves during a
    stall."""
    passed = list[Passed]()
    heap = list[tuple[float, int, int, tuple[float, float] | None]]()
    for number, taker in enumerate(takers):
        heapq.heappush(heap, (START + taker.pauses[-1], number, 0, None))
    while heap and heap[0][0] < START + seconds:
        now, number, turn, waits = heapq.heappop(heap)
        chunks, pauses = takers[number]
        count = chunks[turn % len(chunks)]
        now = next((stall.stop for stall in stalls if stall.start < now < stall.stop), now)
        if waits is None:
            line = after_taking(line, count, now)
            waits = (line.until, now)
        due, came = waits
        if (wait := seconds_to(line, due, now)) > 1e-9:
            heapq.heappush(heap, (now + wait, number, turn, waits))
            continue
        line = after_passing(line, due, now)
        passed.append(Passed(now, number, count, came))
        heapq.heappush(heap, (now + pauses[turn % len(pauses)], number, turn + 1, None))
    return passed


def windows(passed: list[Passed], begin: float, end: float) -> list[int]:
    """Bytes in each second that begins or ends with something that passes."""
    times = [each.at for each in passed]
    assert times == sorted(times)  # in the order in which they came
    sums = [0, *accumulate(each.count for each in passed)]
    edges = [at + shift for at in times for shift in (0.0, -1.0, 1e-6, 1e-6 - 1.0)]
    return [
        sums[bisect_left(times, edge + 1)] - sums[bisect_left(times, edge)]
        for edge in edges
        if begin <= edge and edge + 1 <= end
    ]


rates = st.integers(100_000, 400_000_000)


@st.composite
def saturating(draw: st.DrawFn) -> tuple[int, list[Taker]]:
    """Takers that always want more: they come back at once, or later by less than a chunk takes."""
    rate = draw(rates)
    most = min(LARGEST_CHUNK, rate // 50)
    sizes = st.integers(max(1, most // 2), most)
    count = draw(st.integers(1, 8))
    late = 0.9 * min(BURST, most / 2 / rate)
    pauses = st.lists(st.floats(0, late), min_size=1, max_size=5)
    return rate, [Taker(draw(st.lists(sizes, min_size=1, max_size=5)), draw(pauses)) for _ in range(count)]


@settings(deadline=None, max_examples=40)
@given(given_=saturating())
def test_every_second_is_the_rate_while_somebody_always_waits(given_: tuple[int, list[Taker]]) -> None:
    rate, takers = given_
    found = windows(played(Line(rate, BURST), takers, 3.0), START + 0.1, START + 2.9)
    assert found
    assert rate * (1 - TOLERANCE) <= min(found)
    assert max(found) <= rate * (1 + TOLERANCE)


@settings(deadline=None, max_examples=40)
@given(given_=saturating(), at=st.floats(0.2, 2.5), length=st.floats(0.001, 0.5))
def test_nothing_is_made_up_for_after_a_standstill(given_: tuple[int, list[Taker]], at: float, length: float) -> None:
    rate, takers = given_
    stall = Stall(START + at, START + at + length)
    passed = played(Line(rate, BURST), takers, 4.0, [stall])
    found = windows(passed, START + 0.1, START + 3.9)
    assert max(found) <= rate * (1 + TOLERANCE)
    total = sum(each.count for each in passed if START + 0.1 <= each.at < START + 3.9)
    assert total >= rate * (3.8 - length) * (1 - TOLERANCE)  # nor is more lost than the standstill took


@settings(deadline=None, max_examples=40)
@given(
    rate=st.integers(100_000, 2_000_000),
    shares=st.lists(st.lists(st.floats(0.02, 1), min_size=1, max_size=4), min_size=1, max_size=6),
    pauses=st.lists(st.floats(0, 0.7), min_size=1, max_size=6),
)
def test_no_second_is_more_than_the_rate_whoever_takes(
    rate: int, shares: list[list[float]], pauses: list[float]
) -> None:
    takers = [
        Taker([max(1, int(s * rate / 50)) for s in mine], pauses[n:] + pauses[:n]) for n, mine in enumerate(shares)
    ]
    found = windows(played(Line(rate, BURST), takers, 5.0), START - 1, START + 6)
    assert max(found, default=0) <= rate * (1 + TOLERANCE)


@settings(deadline=None, max_examples=60)
@given(given_=saturating())
def test_nobody_waits_for_more_than_one_chunk_of_each(given_: tuple[int, list[Taker]]) -> None:
    rate, takers = given_
    for each in played(Line(rate, BURST), takers, 1.0):
        assert each.at - each.came <= sum(max(taker.chunks) for taker in takers) / rate + 1e-6


@settings(deadline=None, max_examples=40)
@given(rate=rates, count=st.integers(2, 32))
def test_those_that_take_alike_get_alike(rate: int, count: int) -> None:
    takers = [Taker([chunk_size(rate)], [0.0])] * count
    turns = Counter(each.taker for each in played(Line(rate, BURST), takers, 2.0))
    assert len(turns) == count
    burst = BURST * rate / chunk_size(rate)  # has been kept for the first that comes
    assert max(turns.values()) - min(turns.values()) <= 2 + burst


@settings(deadline=None, max_examples=60)
@given(rate=st.integers(1, 1 << 40))
def test_chunks_leave_room_in_the_tolerance(rate: int) -> None:
    assert 1 <= chunk_size(rate) <= LARGEST_CHUNK
    assert chunk_size(rate) in (1, LARGEST_CHUNK) or chunk_size(rate) == pytest.approx(CHUNK_SECONDS * rate, abs=1)
    assert line_of(rate).burst >= 0
    beside = TOLERANCE - chunk_size(rate) / rate  # what the tolerance leaves beside one chunk
    assert 0.9 * beside - 0.001 <= line_of(rate).burst < beside or chunk_size(rate) == 1


@pytest.mark.parametrize(
    ("allowed", "rate", "worth"),
    [
        (32, None, 32),
        (32, 80_000_000, 32),
        (32, 8 * 128 * 1024, 8),  # one for each 128 KiB/s
        (32, 9 * 128 * 1024 - 1, 8),
        (32, 100_000, 4),
        (32, 4 * 128 * 1024 + 1, 4),
        (32, 5 * 128 * 1024, 5),
        (2, 100_000, 2),
        (1, None, 1),
    ],
)
def test_a_low_limit_needs_few_connections(allowed: int, rate: int | None, worth: int) -> None:
    assert useful_connections(allowed, rate) == worth


def test_a_line_that_somebody_stands_in_is_not_idle_and_one_without_is() -> None:
    """The program stands still for four seconds while two wait: the second does not pass with the first."""
    first = after_taking(Line(1000, burst=BURST), 1000, START)
    second = after_taking(first, 1000, START + 5)
    assert second.until == pytest.approx(first.until + 1)
    line = after_passing(second, first.until, START + 5)
    assert seconds_to(line, second.until, START + 5) == pytest.approx(1 - BURST)
    line = after_passing(line, second.until, START + 6 - BURST)
    assert line.waiting == 0
    third = after_taking(line, 1000, START + 100)
    assert seconds_to(third, third.until, START + 100) == pytest.approx(1 - BURST)
