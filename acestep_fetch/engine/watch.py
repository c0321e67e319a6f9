"""The timer that looks at all flights: it measures, ends the silent and the crawling ones, lets busy hubs have more
connections again, and gives up where nothing can come any more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from acestep_fetch.core import pacing, scoring
from acestep_fetch.core.events import Detail, Waiting
from acestep_fetch.engine.blame import Blame
from acestep_fetch.engine.context import Context
from acestep_fetch.engine.transfer import Flight
from acestep_fetch.engine.workload import Workload

TICK: Final = 0.2  # seconds
_PACE_TICKS: Final = round(TICK / pacing.TICK)  # in one of ours
OUTLIVED: Final = 0.5  # seconds by which other connections must have moved later for a silence to be one's own
_NEW: Final = 0.2  # weight of a new sample of a flight's speed
_YOUNG: Final = 0.5  # seconds in which a flight's speed says nothing yet
_CRAWL: Final = 0.05  # of the usual speed of the hub's connections
_CRAWL_AT: Final = 10_000.0  # bytes a second
_MOST_REPLACED: Final = 3  # flights of one file, and one more for each
_REPLACED_EACH: Final = 64 << 20  # bytes of it
_SAY_WAITING: Final = 5.0


class Watch:
    """Looks until it is cancelled."""

    def __init__(self, context: Context, workload: Workload, blame: Blame, wake: Callable[[], None]) -> None:
        self._context, self._workload, self._blame, self._wake = context, workload, blame, wake
        self._said_waiting, self._began = 0.0, 0.0

    async def run(self) -> None:
        self._began = last = self._context.clock()
        while True:
            for _ in range(_PACE_TICKS):
                due = self._context.clock() + pacing.TICK
                await asyncio.sleep(pacing.TICK)
                self._pace(due)
            now = self._context.clock()
            self._measure(now, now - last)
            last = now
            self._end_silent(now)
            self._end_crawling(now)
            self._blame.give_up(self._workload.open, now)
            self._say_waiting(now)
            self._wake()  # a flight may have become worth stealing from

    def _pace(self, due: float) -> None:
        """One step of every hub's pace."""
        now, sources = self._context.clock(), self._workload.sources.values()
        received = {source.name: self._workload.received(source) for source in sources}
        for source in sources:
            own, before = received[source.name], source.pace.limit
            sample = pacing.Sample(
                received=own,
                others=sum(received.values()) - own,
                flights=source.active,
                newcomers=source.take_newcomers(),
                late=now - due,
                limited=self._workload.is_limited(source),
            )
            source.pace = pacing.after_tick(source.pace, now, sample)
            if source.pace.sheds:
                self._workload.shed(source)
            if source.pace.limit > before or (source.pace.overlaps and self._workload.has_room(source)):
                self._wake()
            if source.pace.limit not in (before, before + 1):
                self._context.emit(
                    Detail(f"{source.name}: {source.pace.limit} connections ({source.pace.phase.value})")
                )

    def _measure(self, now: float, passed: float) -> None:
        for flight in self._workload.flights:
            speed = (flight.offset - flight.sampled) / passed
            flight.sampled = flight.offset
            if now - flight.began > _YOUNG:
                flight.speed = speed if flight.speed == 0 else (1 - _NEW) * flight.speed + _NEW * speed
        for source in self._workload.sources.values():
            speeds = [
                f.speed for f in self._workload.flights if f.source is source and f.speed > 0 and not f.transfer.small
            ]
            if speeds:
                source.score = scoring.after_speed(source.score, sum(speeds) / len(speeds))

    def _end_silent(self, now: float) -> None:
        flights = [flight for flight in self._workload.flights if not flight.held_up]
        silent = self._context.options.stall_timeout
        newest = max((source.last_byte for source in self._workload.sources.values()), default=0.0)
        for flight in flights:
            waits = flight.last_byte == flight.began  # for its first byte, which a busy hub may take its time for
            outlived = newest - flight.last_byte > OUTLIVED  # if not, the link itself may be down
            patience = silent if outlived and not waits else 3 * silent
            if now - flight.last_byte > patience:
                self._end(flight, "is silent")

    def _end_crawling(self, now: float) -> None:
        """Ends flights far slower than others, where what they still need is worth a new connection."""
        patience = self._context.options.stall_timeout
        for flight in self._workload.flights:
            if (
                flight.held_up
                or now - flight.throttled < patience
                or flight.whole
                or now - flight.began < patience
                or flight.transfer.replaced >= _MOST_REPLACED + flight.transfer.file.size // _REPLACED_EACH
            ):
                continue
            if (
                flight.speed < max(_CRAWL * flight.source.score.speed, _CRAWL_AT)
                and flight.remaining > patience * flight.speed
            ):
                flight.transfer.replaced += 1
                self._end(flight, f"crawls at {flight.speed / 1000:.0f} kB/s")

    def _end(self, flight: Flight, why: str) -> None:
        if flight.scope:
            self._context.emit(Detail(f"{flight.transfer.label}: {flight.source.name} {why}, replaced"))
            flight.end()

    def _say_waiting(self, now: float) -> None:
        """Where nothing comes: for what that waits, and until when."""
        if not self._workload.open or now - self._said_waiting < _SAY_WAITING:
            return
        if waiting := self._resting(now) or self._silent(now):
            self._said_waiting = now
            self._context.emit(waiting)

    def _resting(self, now: float) -> Waiting | None:
        resting = [source for source in self._workload.sources.values() if source.rests_until() > now]
        if self._workload.flights or not resting:
            return None
        names = " and ".join(source.name.title for source in resting)
        why = f"no answer from {names}" if any(s.down_since for s in resting) else f"{names} asked for a pause"
        return Waiting(why, min(source.rests_until() for source in resting) - now)

    def _silent(self, now: float) -> Waiting | None:
        """Connections that bring nothing for a while, which `Blame` ends for good in the end."""
        flights = self._workload.flights
        moved = max([self._began, *(source.last_byte for source in self._workload.sources.values())])
        if not flights or now - moved < _SAY_WAITING or any(flight.held_up for flight in flights):
            return None
        names = " and ".join(sorted({flight.source.name.title for flight in flights}))
        options = self._context.options
        silent_until = min(flight.last_byte for flight in flights) + 3 * options.stall_timeout
        failing = min(flight.transfer.failing_since or silent_until for flight in flights)
        return Waiting(f"no data from {names}", max(0.0, failing + options.give_up_after - now))
