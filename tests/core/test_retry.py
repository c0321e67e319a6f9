"""When to ask again: the server's word first, our own arithmetic where it says nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acestep_fetch.core.retry import RateLimit, asked_wait, backoff, is_busy, parse_rate_limit, parse_retry_after
from tests.support.clocks import zone

NOW = 784111777.0  # Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110


@pytest.mark.parametrize(("status", "busy"), [(200, False), (404, False), (408, True), (425, True), (429, True)])
def test_busy(status: int, busy: bool) -> None:
    assert is_busy(status) is busy
    assert [is_busy(edge) for edge in (499, 500, 599, 600)] == [False, True, True, False]


@given(attempt=st.integers(1, 10_000), jitter=st.floats(0, 1, exclude_max=True))
def test_a_pause_grows_and_is_bounded(attempt: int, jitter: float) -> None:
    assert 0.25 <= backoff(attempt, jitter) <= 8.0
    assert backoff(attempt, jitter) <= backoff(attempt + 1, jitter)


@given(attempt=st.integers(1, 200), jitter=st.floats(0, 1, exclude_max=True))
def test_each_pause_is_twice_the_last_until_eight_seconds(attempt: int, jitter: float) -> None:
    assert 0.25 <= backoff(1, jitter) <= 0.5
    assert backoff(attempt + 1, jitter) == pytest.approx(min(2 * backoff(attempt, jitter), backoff(99, jitter)))
    assert backoff(99, 0.0) == 4.0
    assert backoff(99, 1.0) == 8.0  # so those that fail together are spread over half of the time


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        (" 120 ", 120.0),
        ("1.5", 1.5),
        ("Sun, 06 Nov 1994 08:49:47 GMT", 10.0),
        ("Sun, 06 Nov 1994 08:49:47 -0000", 10.0),
        ("Sunday, 06-Nov-94 08:49:47 GMT", 10.0),
        ("Sun, 06 Nov 1994 08:00:00 GMT", 0.0),
        ("-1", None),
        ("1e9", None),
        ("999999999", 999999999.0),
        ("0.000001", 0.000001),
        ("9999999999", None),  # three hundred years
        ("9" * 5000, None),
        ("0.0000001", None),
        ("Sun, 06 Nov 99999999999999999999 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 08:49:37 +99999999999999999999", None),
        ("soon", None),
        ("", None),
        (None, None),
        ("nan", None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    with zone("Asia/Tokyo"):
        assert parse_retry_after(value, NOW) == seconds


@given(st.text(max_size=60))
def test_no_header_is_too_odd(text: str) -> None:
    wait = parse_retry_after(text, NOW)
    assert wait is None or wait >= 0
    limit = parse_rate_limit(text)
    assert limit is None or limit.remaining >= 0


@pytest.mark.parametrize(
    ("value", "limit"),
    [
        ('"resolvers";r=2999;t=172', RateLimit(2999, 172)),
        ('"api"; r=0; t=12', RateLimit(0, 12)),
        ('"api";r=5;t=9, "pages";r=0;t=30, "x";r=0;t=40', RateLimit(0, 40)),
        ('"api";r=3', RateLimit(3, 0)),
        ('"api";r=999999999;t=999999999', RateLimit(999999999, 999999999)),
        ('"api";r=9999999999', None),
        ('"api";t=3', None),
        ('"api";r=x', None),
        ("", None),
        (None, None),
    ],
)
def test_rate_limit(value: str | None, limit: RateLimit | None) -> None:
    assert parse_rate_limit(value) == limit


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 300)), min_size=1, max_size=6))
def test_the_tightest_of_several_limits_counts_wherever_it_stands(limits: list[tuple[int, int]]) -> None:
    found = parse_rate_limit(", ".join(f'"limit-{n}";r={left};t={reset}' for n, (left, reset) in enumerate(limits)))
    fewest = min(left for left, _ in limits)
    assert found == RateLimit(fewest, max(reset for left, reset in limits if left == fewest))


@pytest.mark.parametrize(
    ("status", "headers", "wait"),
    [
        (429, {"ratelimit": '"api";r=0;t=1', "retry-after": "3"}, 2.0),
        (429, {"ratelimit": '"api";r=0;t=0', "retry-after": "3"}, 3.0),  # its window is open again
        (429, {"ratelimit": '"api";r=0'}, None),
        (429, {"ratelimit": '"api";r=0;t=12', "retry-after": "3"}, 13.0),
        (429, {"ratelimit": '"api";r=7;t=12', "retry-after": "3"}, 3.0),
        (429, {"ratelimit": '"api";r=7;t=12'}, None),
        (503, {"ratelimit": '"api";r=0;t=12', "retry-after": "3"}, 3.0),
        (503, {}, None),
    ],
)
def test_the_servers_word(status: int, headers: dict[str, str], wait: float | None) -> None:
    assert asked_wait(status, headers, NOW) == wait
