"""Who fetches what, next. Spans are scheduled, not files.

Every source has as many workers as it may have connections. An idle worker asks for work: a small file, the next span
near a frontier, or the tail of the flight that would end last. A timer looks at all flights twice a second: it
measures, ends the silent ones, lets resting sources try again, and gives up where nothing can come any more.

A failed transfer is a result, not an exception; its siblings go on. Disk errors end everything, because they would hit
the next file as well.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Iterable
from typing import Final

from acestep_fetch.core import pacing, scoring, stealing
from acestep_fetch.core.errors import SourceError
from acestep_fetch.core.events import Detail, FileStarted, Waiting
from acestep_fetch.core.model import HubName
from acestep_fetch.core.spans import Span
from acestep_fetch.engine.blame import Blame
from acestep_fetch.engine.context import Context
from acestep_fetch.engine.flight import fetch_small, fetch_span
from acestep_fetch.engine.limits import Budget
from acestep_fetch.engine.sources import Source
from acestep_fetch.engine.transfer import Flight, Transfer
from acestep_fetch.storage import platform

TICK: Final = 0.5  # seconds
_IDLE: Final = 1.0  # seconds after which an idle worker looks again by itself
_SMALL_SHARE: Final = 4  # one connection in so many carries small files while there are large ones
_LOOK_AT: Final = 64  # small files an idle worker looks at before it gives way
_CRAWL: Final = 0.05  # of the usual speed
_CRAWL_AT: Final = 10_000.0  # bytes a second
_MOST_REPLACED: Final = 3  # flights of one file
_SAY_WAITING: Final = 5.0


class Scheduler:
    """Runs workers until every transfer that was added is done or failed."""

    def __init__(self, context: Context, sources: Iterable[Source]) -> None:
        self._context = context
        self._sources = {source.name: source for source in sources}
        self._budget = Budget(context.options.limit_rate, context.clock)
        self._large = list[Transfer]()
        self._small = deque[Transfer]()
        self._open = set[Transfer]()
        self._changed = asyncio.Event()
        self._said_waiting = 0.0
        self._flights = dict.fromkeys(list[Flight]())  # in the order in which they took off
        self._smalls = Counter[HubName]()  # flights of small files, by source
        self.blame = Blame(context, self._sources)

    @property
    def flights(self) -> list[Flight]:
        return list(self._flights)

    def add(self, transfer: Transfer) -> None:
        """Takes on a transfer whose part file, if it is large, is open."""
        transfer.wake = self.wake
        self._open.add(transfer)
        if transfer.small:
            self._small.append(transfer)
        else:
            self._large.append(transfer)
        self.wake()

    def settle(self, transfer: Transfer) -> None:
        """The transfer is done or failed: nothing more of it is scheduled."""
        self._open.discard(transfer)
        if not transfer.small and transfer in self._large:
            self._large.remove(transfer)

    def wake(self) -> None:
        """Something changed: idle workers look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Works until cancelled. Raises what the disk raises."""
        async with asyncio.TaskGroup() as group:
            for source in self._sources.values():
                for index in range(self._context.options.connections):
                    group.create_task(self._work(source, index), name=f"{source.name}-{index}")
            group.create_task(self._watch(), name="watch")

    # -- work -----------------------------------------------------------------------------------------------------

    async def _work(self, source: Source, index: int) -> None:
        while True:
            changed = self._changed
            pause = source.pause(index, self._context.clock())
            flight = None if pause else self._next(source)
            if flight is None:
                await _wait(changed, pause or _IDLE)
                continue
            await self._fly(flight)

    async def _fly(self, flight: Flight) -> None:
        transfer, source = flight.transfer, flight.source
        transfer.flights.append(flight)
        self._flights[flight] = None
        self._smalls[source.name] += transfer.small
        source.active += 1
        try:
            await (fetch_small if transfer.small else fetch_span)(flight, self._context, self._budget)
        except SourceError as error:
            self.blame.failed(flight, error)
        except OSError as exc:
            raise platform.explain(exc, transfer.label) from exc
        else:
            transfer.strikes.pop(source.name, None)
        finally:
            source.active -= 1
            self._smalls[source.name] -= transfer.small
            del self._flights[flight]
            transfer.flights.remove(flight)
            transfer.moved.set()
            self._land(flight)

    def _land(self, flight: Flight) -> None:
        """What the flight did not bring is missing again."""
        transfer = flight.transfer
        if not transfer.open:
            return
        if transfer.small:
            self._small.append(transfer)
            self.wake()
        elif flight.offset < flight.stop:
            transfer.missing.add(Span(flight.offset, flight.stop))
            self.wake()

    # -- choice ---------------------------------------------------------------------------------------------------

    def _next(self, source: Source) -> Flight | None:
        enough = self._smalls[source.name] >= max(1, source.pace.limit // _SMALL_SHARE)
        large = self._large_span(source) if enough else None
        return large or self._small_file(source) or self._large_span(source) or self._stolen(source)

    def _small_file(self, source: Source) -> Flight | None:
        for _ in range(min(len(self._small), _LOOK_AT)):
            transfer = self._small.popleft()
            if not transfer.open:
                continue
            if self._serves(source, transfer):
                return self._flight(transfer, source, 0, transfer.file.size)
            self._small.append(transfer)
        return None

    def _large_span(self, source: Source) -> Flight | None:
        unassigned = sum(len(transfer.missing) for transfer in self._large)
        length = stealing.span_length(source.score.speed, unassigned, self._connections())
        for transfer in self._large:
            if not transfer.missing or not self._serves(source, transfer):
                continue
            whole = source.name in transfer.without_ranges
            if whole and (transfer.flights or self._others(source, transfer)):
                continue
            span = transfer.missing.first(transfer.file.size if whole else length)
            if span:
                transfer.missing.remove(span)
                flight = self._flight(transfer, source, span.start, span.stop)
                flight.whole = whole
                return flight
        return None

    def _stolen(self, source: Source) -> Flight | None:
        now = self._context.clock()
        candidates = [
            flight
            for transfer in self._large
            if self._serves(source, transfer) and source.name not in transfer.without_ranges
            for flight in transfer.flights
            if not flight.whole
        ]
        targets = [stealing.Target(flight.remaining, self._expected(flight, now)) for flight in candidates]
        theft = stealing.choose_victim(targets, source.score.speed, source.score.setup)
        if theft is None:
            return None
        victim = candidates[theft.index]
        stop = victim.stop
        victim.stop -= theft.take
        return self._flight(victim.transfer, source, victim.stop, stop)

    def _flight(self, transfer: Transfer, source: Source, start: int, stop: int) -> Flight:
        now = self._context.clock()
        if transfer.began is None:
            transfer.began = now
            self._context.emit(FileStarted(transfer.label, transfer.file.size, len(transfer.held)))
        return Flight(transfer, source, start, stop, now)

    def _serves(self, source: Source, transfer: Transfer) -> bool:
        """Whether `source` may be asked: it has the bytes for certain, or nobody who has is there to ask."""
        if not transfer.usable(source.name) or not self._may_ask(source, transfer):
            return False
        return source.name in transfer.proven or not any(self._up(name, transfer) for name in transfer.proven)

    def _up(self, name: HubName, transfer: Transfer) -> bool:
        source = self._sources.get(name)
        return bool(
            source and transfer.usable(name) and not source.score.is_suspect and self._may_ask(source, transfer)
        )

    def _may_ask(self, source: Source, transfer: Transfer) -> bool:
        return self._context.clock() >= source.rests_until(transfer.places[source.name])

    def _others(self, source: Source, transfer: Transfer) -> bool:
        return any(
            other is not source
            and other.name not in transfer.without_ranges
            and other.down_since is None
            and self._serves(other, transfer)
            for other in self._sources.values()
        )

    def _connections(self) -> int:
        return sum(source.pace.limit for source in self._sources.values() if not source.score.is_suspect) or 1

    @staticmethod
    def _expected(flight: Flight, now: float) -> float:
        """A young flight is expected to be as fast as its source usually is."""
        return flight.speed or (flight.source.score.speed if now - flight.began < 2.0 else 0.0)

    # -- the timer ------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        last = self._context.clock()
        while True:
            await asyncio.sleep(TICK)
            now = self._context.clock()
            self._measure(now, now - last)
            last = now
            self._end_silent(now)
            self._end_crawling(now)
            for source in self._sources.values():
                source.pace = pacing.after_tick(source.pace, now)
            self.blame.give_up(self._open, now)
            self._say_waiting(now)
            self.wake()  # a flight may have become worth stealing from

    def _measure(self, now: float, passed: float) -> None:
        for flight in self.flights:
            speed = (flight.offset - flight.sampled) / passed
            flight.sampled = flight.offset
            if now - flight.began > TICK:
                flight.speed = speed if flight.speed == 0 else 0.6 * flight.speed + 0.4 * speed
        for source in self._sources.values():
            speeds = [f.speed for f in self.flights if f.source is source and f.speed > 0 and not f.transfer.small]
            if speeds:
                source.score = scoring.after_speed(source.score, sum(speeds) / len(speeds))

    def _end_silent(self, now: float) -> None:
        flights = [flight for flight in self.flights if not flight.held_up]
        silent = self._context.options.stall_timeout
        moving = any(now - flight.last_byte < silent for flight in flights)
        patience = silent if moving else 3 * silent  # the link itself may be down: replacing would not help
        for flight in flights:
            if now - flight.last_byte > patience:
                self._end(flight, "is silent")

    def _end_crawling(self, now: float) -> None:
        """Ends flights far slower than others, where what they still need is worth a new connection."""
        patience = self._context.options.stall_timeout / 2
        usual = max((source.score.speed for source in self._sources.values()), default=0.0)
        for flight in self.flights:
            if (
                flight.held_up
                or flight.whole
                or now - flight.began < patience
                or flight.transfer.replaced >= _MOST_REPLACED
            ):
                continue
            if flight.speed < max(_CRAWL * usual, _CRAWL_AT) and flight.remaining > patience * flight.speed:
                flight.transfer.replaced += 1
                self._end(flight, f"crawls at {flight.speed / 1000:.0f} kB/s")

    def _end(self, flight: Flight, why: str) -> None:
        if flight.scope:
            self._context.emit(Detail(f"{flight.transfer.label}: {flight.source.name} {why}, replaced"))
            flight.scope.reschedule(0)
            flight.scope = None

    def _say_waiting(self, now: float) -> None:
        if self.flights or not self._open or now - self._said_waiting < _SAY_WAITING:
            return
        resting = [source for source in self._sources.values() if source.rests_until() > now]
        if resting:
            self._said_waiting = now
            names = " and ".join(source.name.title for source in resting)
            why = f"no answer from {names}" if any(s.down_since for s in resting) else f"{names} asked for a pause"
            self._context.emit(Waiting(why, min(source.rests_until() for source in resting) - now))


async def _wait(changed: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await changed.wait()
    except TimeoutError:
        pass
