"""How many connections a hub is given for large files: start wide, halve when it is busy, grow back slowly.

State is a value and every step a function of it and of the time, so that another policy can take this one's place.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

WIDE: Final = 16  # connections that fill most links; more of them only fight for it
GROW_EVERY: Final = 10.0  # seconds between one connection more after a back-off
HALVE_ONCE_IN: Final = 2.0  # seconds in which several "busy" answers count as one


@dataclass(frozen=True, slots=True)
class Pace:
    """`limit` connections now, never above `ceiling`; `halved` and `changed` are when it was last halved or moved."""

    limit: int
    ceiling: int
    changed: float = 0.0
    halved: float = float("-inf")


def wide_start(allowed: int, now: float) -> Pace:
    ceiling = min(allowed, WIDE)
    return Pace(limit=ceiling, ceiling=ceiling, changed=now)


def after_busy(pace: Pace, now: float) -> Pace:
    """The host answered 429 or 503."""
    if now - pace.halved < HALVE_ONCE_IN:
        return pace
    return replace(pace, limit=max(1, pace.limit // 2), changed=now, halved=now)


def after_tick(pace: Pace, now: float) -> Pace:
    """A quiet second has passed."""
    if pace.limit >= pace.ceiling or now - pace.changed < GROW_EVERY:
        return pace
    return replace(pace, limit=pace.limit + 1, changed=now)
