"""Is a failure worth another attempt, and after how long? Time and chance are arguments.

The server's word goes before our own arithmetic: Hugging Face says with ``RateLimit`` when its window opens again
(https://huggingface.co/docs/hub/rate-limits), everybody else with ``Retry-After`` (RFC 9110, 10.2.3).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

from acestep_fetch.core.errors import Failure

TRANSIENT: Final = frozenset({Failure.UNREACHABLE, Failure.STALLED, Failure.SHORT, Failure.BUSY})

_DELTA: Final = re.compile(r"\d{1,9}(?:\.\d{1,6})?")
_LIMIT: Final = re.compile(r";\s*(r|t)\s*=\s*(\d{1,9})(?=[;,\s]|$)")


class RateLimit(NamedTuple):
    """What is left of a quota, and the seconds until it is full again."""

    remaining: int
    reset: float


def is_busy(status: int) -> bool:
    """Whether a status says "later", not "no": 408, 425, 429 and every 5xx."""
    return status in (408, 425, 429) or 500 <= status <= 599


def backoff(attempt: int, jitter: float, *, first: float = 0.5, longest: float = 8.0) -> float:
    """Seconds to wait after failed `attempt` (1, 2, ...): doubled each time up to `longest`, and spread.

    `jitter` in [0, 1) is the caller's draw; the result is in [1/2, 1] of the full wait.
    """
    full = min(longest, first * 2.0 ** min(attempt - 1, 32))
    return full * (0.5 + jitter / 2)


def parse_retry_after(value: str | None, now: float) -> float | None:
    """Seconds from a ``Retry-After`` of either form; None for what is neither. `now` is seconds since the epoch."""
    text = (value or "").strip()
    if _DELTA.fullmatch(text):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:  # "-0000": UTC of an unknown place (RFC 5322, 3.3)
            moment = moment.replace(tzinfo=UTC)
        return max(0.0, moment.timestamp() - now)
    except (ValueError, IndexError, OverflowError):
        return None


def parse_rate_limit(value: str | None) -> RateLimit | None:
    """The tightest limit of a ``RateLimit`` header such as ``"resolvers";r=0;t=172``; None where there is none."""
    found = list[RateLimit]()
    for item in (value or "").split(","):
        fields = {name: int(number) for name, number in _LIMIT.findall(item)}
        if "r" in fields:
            found.append(RateLimit(fields["r"], float(fields.get("t", 0))))
    return min(found, key=lambda limit: (limit.remaining, -limit.reset), default=None)


def asked_wait(status: int, headers: Mapping[str, str], now: float) -> float | None:
    """How long the server asks us to wait; None where it does not say. Header names are lower case.

    A 429 with something left of the quota is not about the window, so the window's end means nothing then.
    """
    limit = parse_rate_limit(headers.get("ratelimit")) if status == 429 else None
    if limit is not None and limit.remaining == 0 and limit.reset > 0:
        return limit.reset + 1
    return parse_retry_after(headers.get("retry-after"), now)
