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
SPAN_SECONDS: Final = 6.0
SHORTEST_SECONDS: Final = 1.0
WORTH_STEALING: Final = 0.5  # seconds that the victim must still need: its connection is lost by it
SMALLEST_STEAL: Final = 256 * 1024


def span_length(speed: float, unassigned: int, connections: int) -> int:
    """Bytes of the next span for a connection that moves `speed` bytes a second (0: not known yet).

    Near the end spans shrink, so that `connections` of them finish at about the same time, but never below what is
    worth a round trip; what is uneven after that is stolen.
    """
    wanted = SPAN_SECONDS * speed if speed else FIRST_SPAN
    share = unassigned / max(1, 2 * connections)
    shortest = max(SHORTEST_SPAN, SHORTEST_SECONDS * speed)
    return int(min(max(shortest, min(wanted, share)), LONGEST_SPAN))


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
    if _seconds(victim) <= max(2 * setup, WORTH_STEALING):
        return None
    # Both end together: (remaining - take) / victim.speed = setup + take / speed
    take = int(speed * (victim.remaining - victim.speed * setup) / (victim.speed + speed))
    take = min(take, victim.remaining)
    if take < max(SMALLEST_STEAL, int(setup * speed)):
        return None
    return Theft(index, take)


def _seconds(target: Target) -> float:
    return target.remaining / target.speed if target.speed > 0 else float(target.remaining)
