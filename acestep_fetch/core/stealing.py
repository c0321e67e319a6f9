"""What an idle connection should fetch next: how long a fresh span should be, and whose tail to take when none is left.

Judged by time, not by bytes: the victim is the flight that would end last, and it gives so much that both end together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

MIB: Final = 1 << 20
FIRST_SPAN: Final = 8 * MIB  # while the speed is not known
SHORTEST_SPAN: Final = 1 * MIB
LONGEST_SPAN: Final = 128 * MIB
SPAN_SECONDS: Final = 2.5
SHORTEST_SECONDS: Final = 0.6
WORTH_STEALING: Final = 0.3  # seconds by which the end must come earlier: what is under way to the victim is wasted
STANDING: Final = 1e9  # seconds that what stands still is taken to need
SMALLEST_STEAL: Final = 16 * 1024
LARGEST_HEDGE: Final = 1 * MIB  # bytes that are fetched twice, at the most
WORTH_HEDGING: Final = 0.05  # seconds by which the end must come earlier


def span_length(speed: float, unassigned: int, together: float, connections: int) -> int:
    """Bytes of the next span for a connection that moves `speed` bytes a second (0: not known yet), while all
    `connections` `together` move so many.

    Near the end each takes half of the time that is left, so that all finish at about the same time, but never less
    than what is worth a round trip; what is uneven after that is stolen.
    """
    if not speed:
        return max(SHORTEST_SPAN, min(FIRST_SPAN, unassigned // max(1, 2 * connections)))
    left = unassigned / max(together, speed)
    seconds = max(SHORTEST_SECONDS, min(SPAN_SECONDS, left / 2))
    return int(min(max(SHORTEST_SPAN, seconds * speed), LONGEST_SPAN))


@dataclass(frozen=True, slots=True)
class Target:
    """A flight that could give some of its tail."""

    remaining: int  # bytes still to come
    speed: float  # bytes a second; 0 where nothing is moving


@dataclass(frozen=True, slots=True)
class Theft:
    index: int
    take: int  # bytes off the victim's tail


def choose_victim(targets: Sequence[Target], speed: float, setup: float) -> Theft | None:
    """Which of `targets` gives how much to a thief that expects `speed` bytes a second after `setup` seconds."""
    if not targets or speed <= 0:
        return None
    index = max(range(len(targets)), key=lambda i: _seconds(targets[i]))
    victim = targets[index]
    # Both end together: (remaining - take) / victim.speed = setup + take / speed
    take = int(speed * (victim.remaining - victim.speed * setup) / (victim.speed + speed))
    if take < SMALLEST_STEAL or _seconds(victim) - (setup + take / speed) < WORTH_STEALING:
        return None
    return Theft(index, take)


def choose_hedge(targets: Sequence[Target], speed: float, setup: float) -> int | None:
    """Which of `targets` is to be fetched a second time, from where it is now: the one that would end last, where
    somebody who expects `speed` bytes a second after `setup` seconds would have the same bytes earlier. It goes on
    meanwhile, so that nothing is lost if that was wrong but bandwidth that nobody wanted."""
    if not targets or speed <= 0:
        return None
    index = max(range(len(targets)), key=lambda i: _seconds(targets[i]))
    victim = targets[index]
    if victim.remaining > LARGEST_HEDGE:
        return None
    return index if _seconds(victim) > setup + victim.remaining / speed + WORTH_HEDGING else None


def _seconds(target: Target) -> float:
    if not target.remaining:
        return 0.0
    return target.remaining / target.speed if target.speed > 0 else STANDING + target.remaining
