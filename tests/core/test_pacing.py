"""The pace on links that are emulated without a network (`tests.core.fluid`), and what must hold whatever it sees."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acestep_fetch.core.pacing import (
    GROW_EVERY,
    HALVE_ONCE_IN,
    START,
    TICK,
    Newcomer,
    Pace,
    Phase,
    Sample,
    after_busy,
    after_tick,
    first,
)
from tests.core.fluid import MBIT, Link, Moment, Paced, World, constant, outcomes, percentile, run

LINE_100 = World((Link(0.06, 100 * MBIT), Link(0.18, 100 * MBIT)), access=100 * MBIT)
CAPPED = World((Link(0.08, 400 * MBIT, cap=50 * MBIT), Link(0.12, 200 * MBIT, cap=30 * MBIT)))


def goodput(moments: Iterable[Moment], since: float, until: float) -> float:
    """Bytes a second in a part of a run."""
    part = [moment for moment in moments if since <= moment.now <= until]
    return (part[-1].total - part[0].total) / (part[-1].now - part[0].now)


# -- named links


@pytest.mark.parametrize("seed", range(10))
def test_a_home_line_is_full_with_at_most_twelve_connections(seed: int) -> None:
    moments = list(run(LINE_100, Paced(2), 120, seed))
    assert max(sum(moment.connections) for moment in moments) <= 12
    assert goodput(moments, 2, 120) >= 0.97 * 100 * MBIT


@pytest.mark.parametrize("seed", range(10))
def test_caps_on_connections_are_answered_with_more_of_them_at_once(seed: int) -> None:
    moments = list(run(CAPPED, Paced(2), 10, seed))
    wide = list(run(CAPPED, constant(16), 10, seed))
    enough = next(m.now for m in moments if m.connections[0] >= 8 and m.connections[1] >= 7)
    assert enough <= 2.0
    assert wide[-1].total - moments[-1].total <= 0.5 * 600 * MBIT  # no more than half a second behind


def test_loss_is_answered_with_all_connections_that_are_allowed() -> None:
    lossy = World(tuple(Link(0.12, 400 * MBIT, loss=0.002) for _ in range(2)))
    moments = list(run(lossy, Paced(2, allowed=32), 10))
    assert moments[-1].connections == (32, 32)


def test_a_thousand_megabits_at_ten_each_are_reached_in_eight_seconds() -> None:
    moments = list(run(World((Link(0.05, 1000 * MBIT, cap=10 * MBIT),)), Paced(1, allowed=128), 20))
    assert goodput(moments, 8, 20) >= 0.93 * 1000 * MBIT


@pytest.mark.parametrize("cap", [15, 30, 1000])
@pytest.mark.parametrize("fair", [False, True])
def test_a_hub_that_throttles_above_eight_connections_is_found_out(cap: int, fair: bool) -> None:
    link = Link(0.08, 200 * MBIT, cap=cap * MBIT, fair=fair, most=8)
    moments = list(run(World((link,)), Paced(1), 60))
    best = min(200, 8 * cap) * MBIT
    assert goodput(moments, 20, 60) >= 0.8 * best


def test_a_hub_that_begins_to_throttle_is_found_out() -> None:
    link = Link(0.08, 200 * MBIT, cap=20 * MBIT, most=8, strict_from=15)
    moments = list(run(World((link,)), Paced(1), 90))
    assert goodput(moments, 35, 90) >= 0.8 * 8 * 20 * MBIT


def test_growth_into_a_throttle_is_undone() -> None:
    links = Link(0.08, 400 * MBIT, cap=30 * MBIT, most=8), Link(0.12, 200 * MBIT, cap=30 * MBIT)
    moments = list(run(World(links), Paced(2), 60))
    assert goodput(moments, 10, 60) >= 0.8 * (8 * 30 + 200) * MBIT


@pytest.mark.parametrize("cap", [20, 1000])
def test_a_rate_that_changes_is_followed(cap: int) -> None:
    link = Link(0.05, 50 * MBIT, cap=cap * MBIT, steps=((15, 500 * MBIT), (60, 50 * MBIT)))
    moments = list(run(World((link,)), Paced(1), 90))
    assert goodput(moments, 5, 15) >= 0.95 * 50 * MBIT
    assert goodput(moments, 40, 60) >= 0.9 * 500 * MBIT
    assert goodput(moments, 62, 90) >= 0.95 * 50 * MBIT


@pytest.mark.slow
def test_a_few_hundred_random_links_lose_little_against_the_best_constant_number() -> None:
    found = outcomes(120)
    regrets = [outcome.regret for outcome in found]
    assert statistics.median(regrets) <= 0.02
    assert percentile(regrets, 0.95) <= 0.2  # a fast line is given sixteen and not looked at again for ten seconds
    assert statistics.fmean(o.connections for o in found) < 0.7 * statistics.fmean(o.best for o in found)


# -- whatever is seen

newcomers = st.builds(lambda least, more: Newcomer(least + more, least), st.floats(0.001, 1), st.floats(0, 1))
seen = st.tuples(
    st.floats(0.01, 3),  # seconds
    st.integers(0, 100_000_000),  # bytes
    st.integers(0, 80),  # flights
    st.lists(newcomers, max_size=3),
    st.booleans(),  # busy
)


@settings(deadline=None, max_examples=300)
@given(allowed=st.integers(1, 64), hubs=st.integers(1, 3), events=st.lists(seen, max_size=60))
def test_a_pace_stays_within_its_bounds(
    allowed: int, hubs: int, events: list[tuple[float, int, int, list[Newcomer], bool]]
) -> None:
    pace, now, received = first(allowed, hubs), 0.0, 0
    assert 1 <= pace.limit <= min(allowed, START)
    assert sum(first(64, hubs, rank).limit for rank in range(hubs)) <= START
    for passed, more, flights, new, is_busy in events:
        now, received = now + passed, received + more
        before = pace
        if is_busy:
            pace = after_busy(pace, now)
            assert pace.limit == before.limit or pace.limit == max(1, before.limit // 2)
        else:
            pace = after_tick(pace, now, Sample(received, received // 2, flights, tuple(new)))
        assert 1 <= pace.limit <= allowed
        assert 1 <= pace.base <= allowed
        if pace.phase is not Phase.DOWN and pace.phase is not Phase.BUSY:
            assert pace.limit >= pace.base


@given(st.lists(st.tuples(st.floats(0.01, 2), st.floats(0, 15e6)), max_size=60))
def test_on_a_home_line_there_is_no_step_up_without_a_newcomer(steps: list[tuple[float, float]]) -> None:
    pace, now, received = first(32, 2), 0.0, 0.0
    for passed, speed in steps:
        now, received = now + passed, received + speed * passed
        pace = after_tick(pace, now, Sample(int(received), 0, 32))
        assert pace.limit <= first(32, 2).limit + 1


def test_what_the_other_hub_takes_on_a_shared_line_is_no_collapse() -> None:
    pace, now, own, others = replace(first(32, 2), phase=Phase.HOLD, until=1e9), 0.0, 0.0, 0.0
    for tick in range(400):
        now, slow = tick * TICK, tick > 200
        own, others = own + (1e5 if slow else 5e5) * TICK, others + (9e5 if slow else 5e5) * TICK
        pace = after_tick(pace, now, Sample(int(own), int(others), 7))
        assert pace.phase is Phase.HOLD


def test_goodput_that_collapses_is_tried_with_a_quarter() -> None:
    pace, own = replace(first(32, 1), phase=Phase.HOLD, until=1e9), 0.0
    for tick in range(400):
        own += (1e4 if tick > 200 else 1e6) * TICK
        pace = after_tick(pace, tick * TICK, Sample(int(own), 0, 10))
        if pace.phase is Phase.DOWN:
            break
    assert pace.limit == START // 4


def test_a_burst_after_a_stall_widens_no_full_line() -> None:
    pace, own = replace(first(32, 2), phase=Phase.HOLD, until=1e9), 0.0
    for tick in range(400):
        own += 0 if 200 <= tick < 220 else 12e6 * TICK * (21 if tick == 220 else 1)
        pace = after_tick(pace, tick * TICK, Sample(int(own), 0, 7))
        assert pace.limit == first(32, 2).limit


def test_too_little_to_do_tells_nothing() -> None:
    pace = first(32, 1)
    for tick in range(200):
        pace = after_tick(pace, tick * TICK, Sample(tick * 10**6, flights=START - 1, newcomers=(Newcomer(0.1, 0.1),)))
    assert pace.limit == START


def test_a_newcomer_that_waited_while_we_were_late_is_no_evidence() -> None:
    late, punctual = _looked(late=0.3), _looked(late=0.0)
    assert late.phase is punctual.phase is Phase.HOLD
    assert late.until < punctual.until
    assert late.step > punctual.step


def _looked(late: float) -> Pace:
    pace = first(32, 2)
    for tick in range(1, 200):
        looking = pace.phase is Phase.LOOK
        new = (Newcomer(0.3, 0.1),) if looking else ()
        pace = after_tick(pace, tick * TICK, Sample(tick * 10**5, 0, 8, new, late if looking else 0.0))
        if looking:
            return pace
    raise AssertionError("never looked")


def test_a_line_that_gets_fast_later_is_given_sixteen_after_three_seconds_of_it() -> None:
    pace, own, others = replace(first(32, 2), phase=Phase.HOLD, until=1e9), 0.0, 0.0
    widened = None
    for tick in range(400):
        half = (12e6 if tick >= 200 else 3e6) * TICK  # each hub brings one
        own, others = own + half, others + half
        pace = after_tick(pace, tick * TICK, Sample(int(own), int(others), 16))
        widened = widened or (pace.limit == 16 and tick)
    assert widened
    assert 2.0 <= (widened - 200) * TICK <= 3.5


def test_a_pace_remembers_a_few_seconds_and_no_more() -> None:
    pace = first(32, 2)
    for tick in range(2000):
        pace = after_tick(pace, tick * TICK, Sample(tick * 10**5, 0, 8))
    assert len(pace.marks) <= 4.0 / TICK


@pytest.mark.parametrize(("late", "limit"), [(0.0, 16), (0.3, 6)])
def test_a_line_is_fast_only_if_we_were_not_late_ourselves(late: float, limit: int) -> None:
    pace = first(32, 2)
    for tick in range(8):
        pace = after_tick(pace, tick * TICK, Sample(int(tick * TICK * 40e6), 0, 6, (), late if tick == 2 else 0.0))
    assert pace.limit == limit


def test_a_look_to_which_nobody_comes_ends_after_two_seconds() -> None:
    pace, looked = first(32, 2), list[float]()
    for tick in range(1, 400):
        pace = after_tick(pace, tick * TICK, Sample(tick * 10**5, 0, 8))
        if pace.phase is Phase.LOOK:
            looked.append(tick * TICK)
        elif looked:
            break
    assert pace.phase is Phase.HOLD
    assert looked[-1] - looked[0] == pytest.approx(2.0, abs=2 * TICK)


@pytest.mark.parametrize(
    ("setup", "least", "waited"),
    [(0.115, 0.1, False), (0.125, 0.1, True), (0.025, 0.01, False), (1.1, 1.0, False), (1.2, 1.0, True)],
)
def test_a_newcomer_has_waited_if_it_took_longer_by_twenty_milliseconds_and_fifteen_percent(
    setup: float, least: float, waited: bool
) -> None:
    assert Newcomer(setup, least).waited is waited


@pytest.mark.parametrize(
    ("base", "limit", "sheds", "overlaps"),
    [
        (16, 16, False, True),
        (32, 33, False, True),
        (15, 15, False, False),
        (16, 4, False, False),
        (16, 16, True, False),
    ],
)
def test_spans_overlap_where_a_hub_has_its_sixteen_and_none_is_too_many(
    base: int, limit: int, sheds: bool, overlaps: bool
) -> None:
    assert replace(first(32, 1), base=base, limit=limit, sheds=sheds).overlaps is overlaps


@pytest.mark.parametrize(
    ("phase", "base", "speeds_up"),
    [
        (Phase.START, 6, True),
        (Phase.START, 16, True),
        (Phase.RAMP, 6, True),
        (Phase.RAMP, 16, False),
        (Phase.LOOK, 6, False),
        (Phase.HOLD, 6, False),
    ],
)
def test_the_first_connections_are_left_alone_until_they_are_up_to_speed(
    phase: Phase, base: int, speeds_up: bool
) -> None:
    assert replace(first(32, 1), phase=phase, base=base).speeds_up is speeds_up


def test_every_hub_gets_a_connection_and_the_first_one_most() -> None:
    assert first(32, 2) == first(32, 2, 0)
    assert [first(32, 2, rank).limit for rank in range(2)] == [6, 3]
    assert first(32, 1).limit == 9
    assert first(32, 6, 5).limit == 1
    assert not any(first(32, hubs).sheds for hubs in (1, 2))


# -- a hub that says that it is busy


def test_a_busy_hub_gets_half_and_what_is_under_way_is_not_cut() -> None:
    pace = after_busy(replace(first(32, 1), base=16, limit=20, sheds=True), 5.0)
    assert (pace.phase, pace.limit, pace.base, pace.sheds) == (Phase.BUSY, 10, 10, False)


def test_a_busy_hub_gets_its_connections_back_even_if_there_is_little_to_do() -> None:
    pace = after_busy(first(32, 1), 0.0)
    for second in range(1, 60):
        pace = after_tick(pace, float(second), Sample(second * 10**6, flights=1))
    assert pace.limit == START


def test_many_busy_answers_at_once_halve_once() -> None:
    pace = first(32, 1)
    for n in range(16):
        pace = after_busy(pace, 5.0 + n / 10)
    assert pace.limit == START // 2
    assert after_busy(pace, 5.0 + HALVE_ONCE_IN).limit == START // 4


def test_a_hub_that_is_quiet_again_gets_its_connections_back_one_by_one() -> None:
    pace = after_busy(after_busy(first(32, 1), 0.0), HALVE_ONCE_IN)
    limits = list[int]()
    for second in range(int(HALVE_ONCE_IN) + 1, 200):
        pace = after_tick(pace, float(second), Sample(second * 10**6, 0, pace.limit))
        if pace.phase is not Phase.BUSY:
            break
        limits.append(pace.limit)
    assert sorted(set(limits)) == list(range(START // 4, START + 1))
    assert limits == sorted(limits)
    assert max(limits.count(n) for n in set(limits)) <= GROW_EVERY
