"""A rate as a line that bytes pass one after the other: each count begins where the one before it ended.

State is a value and every step a function of it and of the time. Nothing is lost to a taker that comes back a little
late, because an idle line keeps a few hundredths of a second; nothing more is made up for, so that every second is the
same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

TOLERANCE: Final = 0.03  # of the rate, by which a second may differ from it
RESERVE: Final = 0.002  # of that, kept for timers that are late
CHUNK_SECONDS: Final = 0.01  # what passes in one go is worth so long, so that turns are short and seconds equal
LARGEST_CHUNK: Final = 256 * 1024
LEAST_SHARE: Final = 128 * 1024  # bytes a second of the rate for each connection: below it, connections only hold more
AHEAD: Final = 4  # connections to each hub's own address that are opened before anything is asked of them
FEWEST_CONNECTIONS: Final = 4  # so many pay in spite of it: small files wait for round trips


@dataclass(frozen=True, slots=True)
class Line:
    """`rate` is bytes a second, `burst` the seconds of it that an idle line keeps for takers that come back late, and
    `until` when all that was let on it so far will have passed, by a clock of the line's own: that is `behind` the real
    one by the seconds that were lost because a taker was woken late.

    In any window of a second it lets pass at most ``rate * (1 + burst)`` bytes and one chunk, and as long as somebody
    always waits and is woken in time, at least `rate` less one chunk.
    """

    rate: int
    burst: float
    until: float = float("-inf")
    behind: float = 0.0
    waiting: int = 0  # counts that were let on it and have not passed: while there are any, it is not idle


def line_of(rate: int) -> Line:
    """A line that keeps all that the tolerance leaves beside one chunk."""
    return Line(rate, burst=max(0.0, TOLERANCE - RESERVE - chunk_size(rate) / rate))


def after_taking(line: Line, count: int, now: float) -> Line:
    """`count` more bytes were let on the line, behind all others; they may pass at the new `until`."""
    begin = line.until if line.waiting else max(line.until, now - line.behind - line.burst)
    return replace(line, until=begin + count / line.rate, waiting=line.waiting + 1)


def seconds_to(line: Line, due: float, now: float) -> float:
    """How long what may pass at `due` has yet to wait; below 0 where it is late."""
    return due - (now - line.behind)


def after_passing(line: Line, due: float, now: float) -> Line:
    """What might have passed at `due` passes now. If the whole program stood still in between, the others are late
    too, and would all pass with it: the line's clock has stood still as well."""
    late = max(0.0, -seconds_to(line, due, now) - line.burst)
    return replace(line, behind=line.behind + late, waiting=line.waiting - 1)


def chunk_size(rate: int) -> int:
    """The most bytes that should pass in one go."""
    return max(1, min(LARGEST_CHUNK, int(rate * CHUNK_SECONDS)))


def useful_connections(allowed: int, rate: int | None) -> int:
    """How many of the `allowed` connections to a hub are worth having under a limit: what each holds ahead in its
    buffers comes over the network at once, whatever the limit says."""
    return allowed if rate is None else min(allowed, max(FEWEST_CONNECTIONS, rate // LEAST_SHARE))
