"""Is a run alive, and if not, what is to be done? Decided from what a watchdog sees at each look.

Time is what the watchdog itself lived through: a look that comes late counts as one that came in time, so that a
process that was stopped, or a machine that slept, was not silent meanwhile. Silence counts only where nothing explains
it: an announced wait does until its end, and a disk that has not answered does for as long as that takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from types import MappingProxyType
from typing import Final

from acestep_fetch.core.scoring import LONGEST_REST

TICK: Final = 1.0  # seconds between two looks
LIST_PATIENCE: Final = 60.0  # seconds after which a hub's list is given up
SLOW_DISK: Final = 30.0  # seconds without an answer from the disk before that is said,
SAID_AT_LEAST_EVERY: Final = 600.0  # and the longest time until it is said again
_SAFE: Final = 1.5  # a false alarm is worse than a late one


def longest_silence(give_up_after: float, stall_timeout: float, connect_timeout: float) -> float:
    """Seconds without a sign of life that nothing in the engine can explain: by then every file would have been given
    up, with the attempt that was under way and the rest that the hub had been given."""
    return _SAFE * (give_up_after + connect_timeout + 3 * stall_timeout + LONGEST_REST)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look sees. `beats` counts signs of life and `answers` those of the event loop. `explained` says that an
    announced wait has not ended yet. `disk` are the numbers of the calls that are under way, oldest first."""

    beats: int
    answers: int
    explained: bool = False
    disk: tuple[int, ...] = ()


class Verdict(Enum):
    ALIVE = auto()
    SLOW_DISK = auto()  # to be said now, and waited for
    DISK_IS_BACK = auto()  # it was said to be slow
    STUCK = auto()  # nothing moves, and nothing says why
    BLOCKED = auto()  # and the event loop itself stands still


@dataclass(frozen=True, slots=True)
class Watched:
    """What earlier looks came to. Seconds are the watchdog's own."""

    looked: float  # on the clock
    seen: Seen
    silent: float = 0.0  # since a sign of life, while nothing explains it
    deaf: float = 0.0  # since the event loop answered
    ages: Mapping[int, float] = field(default_factory=lambda: MappingProxyType({}))  # of the disk's calls
    said_at: float = 0.0  # the age of a call at which the disk was last called slow; 0: it is not

    @property
    def oldest(self) -> float:
        """Seconds for which the disk has not answered."""
        return max(self.ages.values(), default=0.0)


def after_look(before: Watched, now: float, seen: Seen, bound: float) -> tuple[Watched, Verdict]:
    """`bound` is the `longest_silence`."""
    lived = min(max(0.0, now - before.looked), 2 * TICK)
    ages = {call: before.ages[call] + lived if call in before.ages else 0.0 for call in seen.disk}
    moved, explained = seen.beats != before.seen.beats, seen.explained or bool(seen.disk)
    watched = Watched(
        looked=now,
        seen=seen,
        silent=0.0 if moved else before.silent + (0.0 if explained else lived),
        deaf=0.0 if seen.answers != before.seen.answers else before.deaf + lived,
        ages=ages,
        said_at=before.said_at,
    )
    return _judged(watched, bound)


def _judged(watched: Watched, bound: float) -> tuple[Watched, Verdict]:
    if watched.deaf >= bound:
        return watched, Verdict.BLOCKED
    if watched.silent >= bound and watched.deaf <= 2 * TICK:
        return watched, Verdict.STUCK
    if watched.said_at and watched.oldest < SLOW_DISK:
        return replace(watched, said_at=0.0), Verdict.DISK_IS_BACK
    if watched.oldest >= max(SLOW_DISK, watched.said_at + min(watched.said_at, SAID_AT_LEAST_EVERY)):
        return replace(watched, said_at=watched.oldest), Verdict.SLOW_DISK
    return watched, Verdict.ALIVE
