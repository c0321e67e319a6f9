"""The watchdog's judgement, under a clock of our own."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acestep_fetch.core.liveness import (
    SLOW_DISK,
    TICK,
    Seen,
    Verdict,
    Watched,
    after_look,
    longest_silence,
)
from acestep_fetch.core.scoring import LONGEST_REST
from acestep_fetch.options import Options

BOUND = 20.0
Look = tuple[float, Seen]


def judged(looks: Iterable[Look]) -> list[tuple[float, Verdict]]:
    """What is found, and when; looks that find nothing are left out."""
    watched, found = Watched(0.0, Seen(0, 0)), list[tuple[float, Verdict]]()
    for now, seen in looks:
        watched, verdict = after_look(watched, now, seen, BOUND)
        if verdict is not Verdict.ALIVE:
            found.append((now, verdict))
    return found


def seconds(count: int, start: int = 1) -> range:
    return range(start, start + count)


def test_a_run_that_moves_is_alive() -> None:
    assert judged((n, Seen(beats=n, answers=n)) for n in seconds(500)) == []


def test_silence_is_a_fault_once_the_bound_is_over() -> None:
    (at, verdict), *_ = judged((n, Seen(0, answers=n)) for n in seconds(60))
    assert (at, verdict) == (BOUND, Verdict.STUCK)


def test_one_sign_of_life_starts_it_over() -> None:
    (at, verdict), *_ = judged((n, Seen(beats=int(n >= 15), answers=n)) for n in seconds(60))
    assert (at, verdict) == (15 + BOUND, Verdict.STUCK)


def test_an_announced_wait_explains_silence_until_its_end() -> None:
    (at, verdict), *_ = judged((n, Seen(0, n, explained=n <= 1000)) for n in seconds(1100))
    assert (at, verdict) == (1000 + BOUND, Verdict.STUCK)


def test_waits_that_are_announced_again_and_again_do_not_hide_what_is_between_them() -> None:
    found = judged((n, Seen(0, n, explained=n % 5 < 3)) for n in seconds(100))
    assert found[0] == (49.0, Verdict.STUCK)


def test_a_loop_that_does_not_answer_is_blocked_whatever_was_announced() -> None:
    found = judged((n, Seen(0, 0, explained=True)) for n in seconds(30))
    assert found[0] == (BOUND, Verdict.BLOCKED)
    assert {verdict for _, verdict in found} == {Verdict.BLOCKED}


def test_a_blocked_loop_is_not_called_stuck() -> None:
    """Nothing moves then either, but the cause is another."""
    found = judged((n, Seen(0, min(n, 3))) for n in seconds(60))
    assert found[0] == (3 + BOUND, Verdict.BLOCKED)


def test_a_disk_that_does_not_answer_is_said_seldom_and_waited_for() -> None:
    found = judged((n, Seen(0, n, disk=(7,))) for n in seconds(int(100 * SLOW_DISK)))
    assert {verdict for _, verdict in found} == {Verdict.SLOW_DISK}
    times = [at - 1 for at, _ in found]
    assert times[:4] == [SLOW_DISK, 2 * SLOW_DISK, 4 * SLOW_DISK, 8 * SLOW_DISK]
    assert times[-1] - times[-2] == 600


def test_many_calls_that_come_back_are_no_slow_disk() -> None:
    assert judged((n, Seen(n, n, disk=(n, n + 1))) for n in seconds(200)) == []


def test_that_the_disk_answers_again_is_said_once() -> None:
    looks = [(n, Seen(0, n, disk=(7,))) for n in seconds(40)]
    looks += [(n, Seen(1, n, disk=(8,))) for n in seconds(15, 41)]
    assert [verdict for _, verdict in judged(looks)] == [Verdict.SLOW_DISK, Verdict.DISK_IS_BACK]


@pytest.mark.parametrize("seen", [Seen(0, 0), Seen(0, 0, disk=(7,))])
def test_a_process_that_was_stopped_was_not_silent(seen: Seen) -> None:
    """SIGSTOP, a suspended laptop, a machine that has no time for us."""
    assert judged([(1.0, seen), (2.0, seen), (100_000.0, seen)]) == []


def test_a_clock_that_goes_back_is_no_sign_of_anything() -> None:
    assert judged([(100.0, Seen(0, 0)), (1.0, Seen(0, 0)), (2.0, Seen(0, 0))]) == []


looks = st.lists(st.tuples(st.floats(0.0, 50.0), st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=120)


@given(looks)
def test_nothing_is_ended_sooner_than_so_many_looks_after_it_moved(steps: list[tuple[float, bool, bool, bool]]) -> None:
    """However late looks come: a look stands for two ticks at the most."""
    watched, now, beats, answers, quiet, deaf = Watched(0.0, Seen(0, 0)), 0.0, 0, 0, 0, 0
    for late, moves, explained, answered in steps:
        now += TICK + late
        beats, answers = beats + moves, answers + answered
        quiet = 0 if moves else quiet + (not explained)
        deaf = 0 if answered else deaf + 1
        watched, verdict = after_look(watched, now, Seen(beats, answers, explained), BOUND)
        if verdict is Verdict.STUCK:
            assert 2 * TICK * quiet >= BOUND
        if verdict is Verdict.BLOCKED:
            assert 2 * TICK * deaf >= BOUND


def test_the_bound_is_longer_than_every_patience_of_the_engine() -> None:
    options = Options()
    bound = longest_silence(options.give_up_after, options.stall_timeout, options.connect_timeout)
    assert bound > options.give_up_after + options.connect_timeout + 3 * options.stall_timeout
    assert bound > 1.2 * options.give_up_after


@pytest.mark.parametrize(("patience", "times"), [((1, 0, 0), 1), ((0, 0, 1), 1), ((0, 1, 0), 3)])
def test_each_patience_counts_with_half_as_much_again(patience: tuple[float, float, float], times: int) -> None:
    """A stalled attempt is made three times."""
    assert longest_silence(*patience) - longest_silence(0, 0, 0) == pytest.approx(1.5 * times)
    assert longest_silence(0, 0, 0) == 1.5 * LONGEST_REST


def test_a_look_that_comes_late_stands_for_two_seconds_at_the_most() -> None:
    assert judged((n, Seen(0, answers=n)) for n in range(2, 100, 2))[0] == (BOUND, Verdict.STUCK)
    assert judged((n, Seen(0, answers=n)) for n in range(3, 100, 3))[0] == (1.5 * BOUND, Verdict.STUCK)


def test_looks_without_time_between_them_are_no_silence() -> None:
    assert judged((1.0, Seen(0, 0)) for _ in range(100)) == []


@pytest.mark.parametrize(("deaf", "verdicts"), [(2, [Verdict.STUCK]), (3, [])])
def test_who_is_silent_and_has_answered_a_moment_ago_is_stuck(deaf: int, verdicts: list[Verdict]) -> None:
    last = int(BOUND)
    assert [verdict for _, verdict in judged((n, Seen(0, min(n, last - deaf))) for n in seconds(last))] == verdicts


def test_the_oldest_call_is_the_one_that_counts() -> None:
    found = judged((n, Seen(0, n, disk=(7, 1000 + n))) for n in seconds(35))
    assert found == [(1 + SLOW_DISK, Verdict.SLOW_DISK)]


def test_a_disk_that_still_owes_an_old_answer_is_not_back() -> None:
    """Of two calls the older one ends when the other is as old as what was said."""
    looks = [(n, Seen(0, n, disk=(7, 8) if n > 1 else (7,))) for n in seconds(31)]
    looks += [(n, Seen(1, n, disk=(8,))) for n in seconds(30, 32)]
    assert Verdict.DISK_IS_BACK not in [verdict for _, verdict in judged(looks)]
