from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acestep_fetch.core.retry import RateLimit, asked_wait, backoff, is_busy, parse_rate_limit, parse_retry_after

NOW = 784111777.0  # Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110


@pytest.mark.parametrize(("status", "busy"), [(200, False), (404, False), (408, True), (425, True), (429, True)])
def test_busy(status: int, busy: bool) -> None:
    assert is_busy(status) is busy
    assert [is_busy(edge) for edge in (499, 500, 599, 600)] == [False, True, True, False]


@given(attempt=st.integers(1, 10_000), jitter=st.floats(0, 1, exclude_max=True))
def test_a_pause_grows_and_is_bounded(attempt: int, jitter: float) -> None:
    assert 0.25 <= backoff(attempt, jitter) <= 8.0
    assert backoff(attempt, jitter) <= backoff(attempt + 1, jitter)


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
        ("9" * 5000, None),
        ("soon", None),
        ("", None),
        (None, None),
        ("nan", None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
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
        ('"api";t=3', None),
        ('"api";r=x', None),
        ("", None),
        (None, None),
    ],
)
def test_rate_limit(value: str | None, limit: RateLimit | None) -> None:
    assert parse_rate_limit(value) == limit


@pytest.mark.parametrize(
    ("status", "headers", "wait"),
    [
        (429, {"ratelimit": '"api";r=0;t=12', "retry-after": "3"}, 13.0),
        (429, {"ratelimit": '"api";r=7;t=12', "retry-after": "3"}, 3.0),
        (429, {"ratelimit": '"api";r=7;t=12'}, None),
        (503, {"ratelimit": '"api";r=0;t=12', "retry-after": "3"}, 3.0),
        (503, {}, None),
    ],
)
def test_the_servers_word(status: int, headers: dict[str, str], wait: float | None) -> None:
    assert asked_wait(status, headers, NOW) == wait
