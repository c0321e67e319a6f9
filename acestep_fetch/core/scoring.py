"""What a source has shown so far: its speed, its round trip, and whether it is worth asking just now.

After failures that are about the host, the source rests for a growing, jittered time, and then one connection tries
alone (a circuit breaker). Failures that are about one file never count here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

OPEN_AFTER: Final = 3  # failures in a row
LONGEST_REST: Final = 30.0
_NEW: Final = 0.3  # weight of a new sample


@dataclass(frozen=True, slots=True)
class Score:
    """Speeds are bytes a second of one connection, `setup` is seconds to the first byte."""

    speed: float = 0.0
    setup: float = 0.1
    failures: int = 0  # in a row, about the host
    ready_at: float = 0.0

    @property
    def is_suspect(self) -> bool:
        """One probe at a time until a byte comes."""
        return self.failures >= OPEN_AFTER


def after_speed(score: Score, speed: float) -> Score:
    return replace(score, speed=speed if score.speed == 0 else (1 - _NEW) * score.speed + _NEW * speed)


def after_first_byte(score: Score, seconds: float) -> Score:
    return replace(score, setup=(1 - _NEW) * score.setup + _NEW * min(seconds, 5.0), failures=0, ready_at=0.0)


def after_failure(score: Score, now: float, jitter: float, retry_after: float | None) -> Score:
    """`jitter` in [0, 1) is the caller's draw; `retry_after` (seconds) is a floor that the server set.

    Many connections that break at once are one failure: what comes in while the source rests does not add to it.
    """
    failures = score.failures + (now >= score.ready_at)
    rest = 0.0
    if failures >= OPEN_AFTER:
        rest = min(LONGEST_REST / 1.5, 0.5 * 2.0 ** min(failures - OPEN_AFTER, 16)) * (0.5 + jitter)
    if retry_after is not None:
        rest = max(rest, retry_after + jitter)
    return replace(score, failures=failures, ready_at=max(score.ready_at, now + rest))
