"""What is to be fetched, what is under way, and what an idle connection should do next.

Spans are chosen, not files: a small file, the next span near a frontier, the tail of the flight that would end last,
or its last bytes a second time. Of several models the first has its turn until nothing more of it is missing, so that
they become ready one by one; the next one's files are what keeps a connection busy that it has no use for.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from acestep_fetch.core import stealing
from acestep_fetch.core.events import BytesDropped, FileStarted
from acestep_fetch.core.model import HubName
from acestep_fetch.core.spans import Span
from acestep_fetch.engine.context import Context
from acestep_fetch.engine.sources import Source
from acestep_fetch.engine.transfer import SMALL, Flight, Transfer

_SMALL_SHARE: Final = 4  # one connection in so many carries small files while there are large ones
_SLOW: Final = 0.5  # of the usual speed of the hub's connections
_SILENT: Final = 1.0  # seconds after which nothing more is expected of a flight, where somebody has time to take over
_THROTTLED: Final = 1.0  # seconds after the budget made it wait in which a flight is as fast as it may be
_OVERLAP: Final = 0.3  # seconds for which two flights share a turn, at the most
_ROUND_TRIPS: Final = 1.5
_TOO_YOUNG: Final = 0.3  # seconds in which a flight need not show what it can do
_MOST_HEDGES: Final = 4  # at once
_NO_TURN: Final = 1 << 30
_LOOK_AT: Final = 64  # small files an idle worker looks at before it gives way
_MANY: Final = 64  # small files that are worth more connections than the pace,
_TINY: Final = 128 * 1024  # bytes: because they wait for round trips, not for bandwidth


class Workload:
    """The books of all transfers and flights. `wake` is called when an idle worker may find something to do."""

    def __init__(self, context: Context, sources: Iterable[Source], wake: Callable[[], None]) -> None:
        self.sources = {source.name: source for source in sources}
        self.open = set[Transfer]()
        self._context, self._wake = context, wake
        self._limited = context.options.limit_rate is not None
        self._large = list[Transfer]()
        self._small = dict[int, deque[Transfer]]()  # by turn; none of them is empty
        self._flights = dict.fromkeys(list[Flight]())  # in the order in which they took off
        self._smalls = Counter[HubName]()  # flights of small files, by source
        self._spare = Counter[HubName]()  # flights beyond the pace, by source
        self._trials = Counter[HubName]()  # of these, the ones that are not proven to be the same there

    @property
    def flights(self) -> list[Flight]:
        return list(self._flights)

    def add(self, transfer: Transfer) -> None:
        """Takes on a transfer whose part file, if it is large, is open."""
        transfer.wake = self._wake
        self.open.add(transfer)
        if transfer.small:
            self._queue(transfer)
        else:
            insort(self._large, transfer, key=lambda t: (t.turn, -t.file.size))
        self._wake()

    def settle(self, transfer: Transfer) -> None:
        """The transfer is done or failed: nothing more of it is scheduled."""
        self.open.discard(transfer)
        if not transfer.small and transfer in self._large:
            self._large.remove(transfer)

    def take_off(self, flight: Flight) -> None:
        self._flights[flight] = None
        self._smalls[flight.source.name] += flight.transfer.small
        self._spare[flight.source.name] += flight.spare
        self._trials[flight.source.name] += flight.is_trial
        flight.transfer.flights.append(flight)
        flight.source.active += 1

    def land(self, flight: Flight) -> None:
        """What the flight did not bring is missing again."""
        transfer = flight.transfer
        del self._flights[flight]
        self._smalls[flight.source.name] -= transfer.small
        self._spare[flight.source.name] -= flight.spare
        self._trials[flight.source.name] -= flight.is_trial
        transfer.flights.remove(flight)
        flight.source.active -= 1
        flight.source.received += flight.offset - flight.start
        transfer.moved.set()
        if flight.rival:  # which goes on
            flight.rival.hedge = None
        elif flight.hedge:
            self._leave_to_hedge(flight, flight.hedge)
        elif transfer.open and transfer.small:
            self._queue(transfer)
            self._wake()
        elif transfer.open and flight.owed:
            transfer.missing.add(flight.owed)
            self._wake()

    @staticmethod
    def _leave_to_hedge(flight: Flight, hedge: Flight) -> None:
        """`flight` has landed: its hedge owes what it did not bring, or is not needed any more."""
        hedge.kept, hedge.rival = flight.offset, None
        if not hedge.owed:
            hedge.end()

    def describe(self) -> Iterator[str]:
        """What each open transfer waits for."""
        now = self._context.clock()
        for transfer in self.open:
            held = f"{len(transfer.held)} of {transfer.file.size} bytes held"
            flights = [f"{f.source.name} at {f.offset}, silent for {now - f.last_byte:.0f} s" for f in transfer.flights]
            yield f"{transfer.label}: {held}, {', '.join(flights) or 'no connection'}"
        for source in self.sources.values():
            rests = max(0.0, source.rests_until() - now)
            yield f"{source.name}: {source.active} of {source.pace.limit} connections at work, rests for {rests:.0f} s"

    def received(self, source: Source) -> int:
        """Bytes that came from `source` so far."""
        return source.received + sum(f.offset - f.start for f in self._flights if f.source is source)

    def is_limited(self, source: Source) -> bool:
        """Whether the budget is what holds the source's flights back."""
        return self._limited and any(f.source is source and self._is_throttled(f) for f in self._flights)

    def _is_throttled(self, flight: Flight) -> bool:
        return self._context.clock() - flight.throttled <= _THROTTLED

    def shed(self, source: Source) -> None:
        """Cuts short the newest flights that `source` has above its pace; what they leave is missing again."""
        flights = [flight for flight in self._flights if flight.source is source]
        for flight in flights[source.pace.limit :]:
            if flight.transfer.small or flight.whole or flight.is_hedge or flight.hedge:
                continue
            if flight.start < flight.offset < flight.stop:
                flight.transfer.missing.add(Span(flight.offset, flight.stop))
                flight.stop = flight.offset

    def has_room(self, source: Source) -> bool:
        """Whether the pace lets another flight begin. On a fast line the next one asks a round trip before its
        predecessor ends, so that no round trip is lost between two spans; at most so many as half of the pace do."""
        busy, limit = source.active - self._spare[source.name], source.pace.limit
        if busy < limit or self._limited or not source.pace.overlaps or busy >= limit + limit // 2:
            return busy < limit
        return busy - self._ending(source) < limit

    def _ending(self, source: Source) -> int:
        soon = min(source.score.setup, _OVERLAP)
        return sum(f.remaining <= soon * f.speed for f in self._flights if f.source is source and not f.transfer.small)

    def next(self, source: Source, *, spare: bool = False) -> Flight | None:
        """What an idle connection to `source` should fetch; None where it has nothing to do.

        A `spare` connection is one beyond the pace: it waits for round trips, not for bandwidth, so it takes tiny
        files, where there are many of them and nothing large to fetch.
        """
        if spare:
            busy = sum(map(len, self._small.values())) < _MANY or any(transfer.missing for transfer in self._large)
            if (flight := None if busy else self._small_file(source, _TINY)) is not None:
                flight.spare = True
            return flight
        share = 0 if source.pace.speeds_up else max(1, source.pace.limit // _SMALL_SHARE)
        enough = self._smalls[source.name] >= share
        turn = self._turn
        large = self._large_span(source) if enough and min(self._small, default=turn) >= turn else None
        return (
            large
            or self._small_file(source, until=turn)
            or self._large_span(source)
            or self._small_file(source, after=turn)
            or self._stolen(source)
            or self._hedging(source)
        )

    def _queue(self, small: Transfer) -> None:
        self._small.setdefault(small.turn, deque()).append(small)

    @property
    def _turn(self) -> int:
        """Whose turn it is of the models that lack bytes of large files: all of them, if none does."""
        return min((t.turn for t in self._large if t.open and t.missing), default=_NO_TURN)

    def _small_file(
        self, source: Source, largest: int = SMALL, *, after: int = -1, until: int = _NO_TURN
    ) -> Flight | None:
        """The next one, of these turns."""
        if self._smalls[source.name] >= source.hub.resolver_slots:
            return None  # it would only wait for the others
        looks = _LOOK_AT
        for turn in sorted(turn for turn in self._small if after < turn <= until):
            queue = self._small[turn]
            for _ in range(min(len(queue), looks)):
                looks -= 1
                transfer = queue.popleft()
                if not transfer.open:
                    continue
                if transfer.file.size <= largest and self._serves(source, transfer):
                    self._forget_empty(turn)
                    return self._flight(transfer, source, 0, transfer.file.size)
                queue.append(transfer)
            self._forget_empty(turn)
        return None

    def _forget_empty(self, turn: int) -> None:
        if not self._small[turn]:
            del self._small[turn]

    def _large_span(self, source: Source) -> Flight | None:
        turn = self._turn
        unassigned = sum(len(t.missing) for t in self._large if t.open and t.turn == turn)  # it shall end together
        sources = [other for other in self.sources.values() if not other.score.is_suspect]
        together = sum(other.score.speed * max(1, other.active) for other in sources)
        connections = sum(other.pace.limit for other in sources)
        length = stealing.span_length(source.score.speed, unassigned, together, connections)
        for transfer in self._large:
            if not transfer.open or not transfer.missing or not self._serves(source, transfer):
                continue
            whole = source.name in transfer.without_ranges
            if whole and (transfer.flights or self._others(source, transfer)):
                continue
            if whole:
                return self._whole_file(transfer, source)
            if span := transfer.missing.first(length):
                transfer.missing.remove(span)
                return self._flight(transfer, source, span.start, span.stop)
        return None

    def _whole_file(self, transfer: Transfer, source: Source) -> Flight | None:
        """One flight for all that comes behind the first gap: the source sends the file from its first byte anyway."""
        gap = transfer.missing.first(transfer.file.size)
        if gap is None or transfer.part is None:
            return None
        rest = Span(gap.start, transfer.file.size)
        if held := len(rest) - len(transfer.missing):
            self._context.emit(BytesDropped(transfer.label, held, f"{source.name.title} sends whole files only"))
            transfer.part.drop(rest)
            transfer.held.remove(rest)
        transfer.missing.remove(rest)
        flight = self._flight(transfer, source, rest.start, rest.stop)
        flight.whole = True
        return flight

    def _stolen(self, source: Source) -> Flight | None:
        """While most of a hub's connections are at work its link is as good as full: then only what is slow is worth
        taking over. What is on its way to a victim when it ends is wasted."""
        now, idle = self._context.clock(), source.active <= source.pace.limit // 2
        candidates = [
            flight
            for flight in self._rivals(source)
            if not self._is_throttled(flight)
            if idle or self._expected(flight, now) < _SLOW * flight.source.score.speed
        ]
        targets = [stealing.Target(flight.remaining, self._expected(flight, now)) for flight in candidates]
        setup = _setup_when_idle(source) if idle else source.score.setup
        theft = stealing.choose_victim(targets, source.score.speed, setup)
        if theft is None:
            return None
        victim = candidates[theft.index]
        stop = victim.stop
        victim.stop -= theft.take
        if not victim.remaining:
            victim.end()  # nothing comes that would tell it
        return self._flight(victim.transfer, source, victim.stop, stop)

    def _hedging(self, source: Source) -> Flight | None:
        """With nothing else to do: the last bytes of a flight, a second time; never out of a budget."""
        if self._limited or sum(f.is_hedge for f in self._flights) >= _MOST_HEDGES:
            return None
        now, setup = self._context.clock(), _setup_when_idle(source)
        candidates = [
            flight
            for flight in self._rivals(source)
            if not flight.held_up and now - flight.began > max(_TOO_YOUNG, 2 * setup)
        ]
        targets = [stealing.Target(flight.remaining, _so_far(flight, now)) for flight in candidates]
        index = stealing.choose_hedge(targets, source.score.speed, setup)
        if index is None:
            return None
        rival = candidates[index]
        hedge = self._flight(rival.transfer, source, rival.offset, rival.stop)
        hedge.is_hedge, hedge.rival, rival.hedge = True, rival, hedge
        return hedge

    def _rivals(self, source: Source) -> list[Flight]:
        """The flights whose bytes `source` could bring instead, but for those that share theirs with a hedge."""
        return [
            flight
            for transfer in self._large
            if transfer.open and self._serves(source, transfer) and source.name not in transfer.without_ranges
            for flight in transfer.flights
            if not (flight.whole or flight.is_hedge or flight.hedge)
        ]

    def _flight(self, transfer: Transfer, source: Source, start: int, stop: int) -> Flight:
        now = self._context.clock()
        if transfer.began is None:
            transfer.began = now
            self._context.emit(FileStarted(transfer.label, transfer.file.size, len(transfer.held)))
        return Flight(transfer, source, start, stop, now)

    def _serves(self, source: Source, transfer: Transfer) -> bool:
        """Whether `source` may be asked: it has the bytes for certain, or little is lost if it has not (the digest
        decides anyway), or nobody who has is there to ask."""
        if not transfer.usable(source.name) or not self._may_ask(source, transfer):
            return False
        if source.name in transfer.proven:
            return True
        if transfer.small and source.may_try(transfer.places[source.name], self._trials[source.name]):
            return True
        return not any(self._up(name, transfer) for name in transfer.proven)

    def _up(self, name: HubName, transfer: Transfer) -> bool:
        source = self.sources.get(name)
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
            for other in self.sources.values()
        )

    @staticmethod
    def _expected(flight: Flight, now: float) -> float:
        """A young flight is expected to be as fast as its source usually is, and a silent one not to move any more."""
        silent = now - flight.last_byte > max(_SILENT, 2 * flight.source.score.setup)
        if silent and flight.last_byte > flight.began and not flight.held_up:
            return 0.0
        return flight.speed or (flight.source.score.speed if now - flight.began < 2.0 else 0.0)


def _so_far(flight: Flight, now: float) -> float:
    """Bytes a second, with no credit for what a flight has not shown yet."""
    return flight.speed or (flight.offset - flight.start) / max(now - flight.began, 0.001)


def _setup_when_idle(source: Source) -> float:
    """Seconds to the first byte without the queue that a full link keeps: asking takes as long as connecting did."""
    return min(source.score.setup, _ROUND_TRIPS * source.pace.least)
