"""When a hub rests, on a clock that the test winds."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acestep_fetch.core.scoring import Score, after_failure, after_first_byte, after_speed

# As docs/design.md and docs/reliability.md have them.
OPEN_AFTER, LONGEST_REST = 3, 3.0

jitters = st.floats(0, 1, exclude_max=True)


@settings(deadline=None, max_examples=200)
@given(st.lists(jitters, min_size=1, max_size=60))
def test_a_source_never_rests_longer_than_three_seconds_of_its_own(draws: list[float]) -> None:
    score, now = Score(), 100.0
    for draw in draws:
        score = after_failure(score, now, draw, None)
        assert 0 <= score.ready_at - now <= LONGEST_REST + 1e-6
        now = max(now, score.ready_at) + 0.01


def test_a_host_that_is_down_for_days_still_gets_its_probes() -> None:
    score, now = Score(), 0.0
    for _ in range(5000):
        score = after_failure(score, now, 0.5, None)
        now = score.ready_at + 0.01
    assert score.ready_at <= now
    assert score.is_suspect


def test_rests_grow_and_a_first_byte_ends_them() -> None:
    score, now, rests = Score(), 0.0, list[float]()
    for _ in range(OPEN_AFTER + 6):
        score = after_failure(score, now, 0.5, None)
        rests.append(score.ready_at - now)
        now = score.ready_at + 0.01
    assert 0 < rests[0] <= 0.3
    assert all(later >= earlier - 1e-9 for earlier, later in pairwise(rests))
    assert rests[-1] > rests[OPEN_AFTER - 1]
    healed = after_first_byte(score, 0.1)
    assert (healed.failures, healed.ready_at, healed.is_suspect) == (0, 0.0, False)


def test_the_third_failure_in_a_row_makes_a_suspect_and_no_one_before() -> None:
    score, suspect = Score(), list[bool]()
    for _ in range(3):
        score = after_failure(score, score.ready_at, 0.5, None)  # as soon as it may be asked
        suspect.append(score.is_suspect)
    assert suspect == [False, False, True]


@given(jitters)
def test_rests_are_spread_and_double_up_to_the_longest(draw: float) -> None:
    score, rests = Score(), list[float]()
    for _ in range(8):
        now = score.ready_at
        score = after_failure(score, now, draw, None)
        rests.append(score.ready_at - now)
    assert rests[0] == pytest.approx(0.1 + 0.2 * draw)
    assert rests[1:4] == pytest.approx([2 * rest for rest in rests[:3]])
    assert rests[-1] == pytest.approx(1.0 + 2.0 * draw)


@given(st.integers(1, 64))
def test_connections_that_break_while_the_source_rests_do_not_prolong_the_rest_by_their_number(count: int) -> None:
    score = Score(failures=OPEN_AFTER - 1)
    for n in range(count):
        score = after_failure(score, 10.0 + n / 1000, 0.0, None)
    assert score.failures == OPEN_AFTER
    assert score.ready_at - 10.0 <= 0.5 + count / 1000


def test_connections_that_break_at_once_are_one_failure() -> None:
    score = Score()
    for _ in range(16):
        score = after_failure(score, 10.0, 0.5, None)
    assert score.failures == 1


@settings(deadline=None, max_examples=100)
@given(asked=st.floats(0, 1e6), draw=jitters, failures=st.integers(0, 40))
def test_what_the_server_asks_for_is_a_floor(asked: float, draw: float, failures: int) -> None:
    score = after_failure(Score(failures=failures), 50.0, draw, asked)
    assert score.ready_at >= 50.0 + asked
    assert score.ready_at - 50.0 <= max(LONGEST_REST, asked + 1) + 1e-6


def test_a_later_failure_without_a_word_does_not_cut_the_servers_rest_short() -> None:
    score = after_failure(Score(), 0.0, 0.0, 60.0)
    assert after_failure(score, 1.0, 0.0, None).ready_at == 60.0
    assert after_failure(score, 1.0, 0.0, 5.0).ready_at == 60.0


def test_a_byte_on_another_connection_does_not_cut_the_servers_rest_short() -> None:
    score = after_failure(Score(), 0.0, 0.0, 60.0)
    assert after_first_byte(score, 0.1).ready_at == 60.0


@given(st.lists(st.floats(1, 1e10), min_size=1, max_size=30))
def test_a_speed_lies_between_its_samples_and_starts_at_the_first(samples: list[float]) -> None:
    score = Score()
    for sample in samples:
        score = after_speed(score, sample)
    assert min(samples) * 0.999 <= score.speed <= max(samples) * 1.001
    assert after_speed(Score(), samples[0]).speed == samples[0]


@given(before=st.floats(1e3, 1e9), sample=st.floats(1e3, 1e9))
def test_one_sample_moves_a_speed_but_does_not_overturn_it(before: float, sample: float) -> None:
    speed = after_speed(Score(speed=before), sample).speed
    assert abs(speed - before) <= abs(speed - sample) + 1e-3
    assert sample == pytest.approx(before) or speed != before


@given(before=st.floats(0.001, 5), seconds=st.floats(0, 600))
def test_one_slow_answer_moves_a_setup_time_but_does_not_overturn_it(before: float, seconds: float) -> None:
    setup = after_first_byte(Score(setup=before), seconds).setup
    counted = min(seconds, 5.0)  # more tells of a hiccup, and nothing of the next request
    assert min(before, counted) - 1e-9 <= setup <= max(before, counted) + 1e-9
    assert abs(setup - before) <= abs(setup - counted) + 1e-9
    assert counted == pytest.approx(before, rel=1e-3) or setup != before


def test_what_is_not_known_yet_is_taken_to_be_usual() -> None:
    assert (Score().speed, Score().ready_at, Score().is_suspect) == (0.0, 0.0, False)
