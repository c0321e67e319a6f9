"""What a source has shown so far: its speed, its round trip, and whether it is worth asking just now.

After failures that are about the host, the source rests for a growing, jittered time, and then one connection tries
alone (a circuit breaker). Failures that are about one file never count here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

OPEN_AFTER: Final = 3  # failures in a row
FIRST_REST: Final = 0.2  # seconds, doubled with each failure in a row
LONGEST_REST: Final = 3.0  # one connection asks so seldom while the source is down
_NEW: Final = 0.3  # weight of a new sample


@dataclass(frozen=True, slots=True)
class Score:
    """Speeds are bytes a second of one connection, `setup` is seconds to the first byte."""

    speed: float = 0.0
    setup: float = 0.1
    failures: int = 0  # in a row, about the host
    rested_at: float = 0.0  # our own arithmetic: the next byte that comes makes it void
    asked_until: float = 0.0  # the server's word: nothing makes it void

    @property
    def ready_at(self) -> float:
        """When the source may be asked again."""
        return max(self.rested_at, self.asked_until)

    @property
    def is_suspect(self) -> bool:
        """One probe at a time until a byte comes."""
        return self.failures >= OPEN_AFTER


def after_speed(score: Score, speed: float) -> Score:
    return replace(score, speed=speed if score.speed == 0 else (1 - _NEW) * score.speed + _NEW * speed)


def after_first_byte(score: Score, seconds: float) -> Score:
    return replace(score, setup=(1 - _NEW) * score.setup + _NEW * min(seconds, 5.0), failures=0, rested_at=0.0)


def after_failure(score: Score, now: float, jitter: float, retry_after: float | None = None) -> Score:
    """`jitter` in [0, 1) is the caller's draw; `retry_after` (seconds) is a floor that the server set.

    Many connections that break at once are one failure: what comes in while the source rests does not add to it.
    """
    failures = score.failures + (now >= score.ready_at)
    rest = min(LONGEST_REST / 1.5, FIRST_REST * 2.0 ** min(failures - 1, 16)) * (0.5 + jitter)
    asked = now + retry_after + jitter if retry_after is not None else 0.0
    return replace(
        score,
        failures=failures,
        rested_at=max(score.rested_at, now + rest),
        asked_until=max(score.asked_until, asked),
    )
