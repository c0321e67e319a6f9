"""One connection's work: ask for a span, check the reply, write what comes, journal it.

The functions raise `SourceError` for what went wrong with the source and OSError for what went wrong with the disk;
what arrived of a span before that is on disk and in the journal, however it ends. A hedge and a small file are kept
whole or not at all.
"""

from __future__ import annotations

import asyncio
from typing import Final

from acestep_fetch.core.errors import Failure, SourceError
from acestep_fetch.core.events import BytesDropped, BytesReceived
from acestep_fetch.core.spans import Span
from acestep_fetch.engine.context import Context
from acestep_fetch.engine.limits import Budget
from acestep_fetch.engine.sources import Opened
from acestep_fetch.engine.transfer import Flight, Transfer
from acestep_fetch.storage.checksum import Digests, digests_of
from acestep_fetch.storage.parts import PieceWriter

BATCH: Final = 2 << 20  # bytes that are handed to the disk at once, and that a connection holds
TELL_EVERY: Final = 0.1  # seconds between two events about one flight's bytes


class Reader:
    """What comes in for a flight: budgeted, counted, timed and cut at the flight's end (which may move)."""

    def __init__(self, flight: Flight, opened: Opened, context: Context, budget: Budget, *, tells: bool = True) -> None:
        self._flight, self._opened, self._context, self._budget = flight, opened, context, budget
        self._tells = tells  # of what comes
        self._skip = flight.start - opened.span.start  # what comes before the first byte that is wanted
        self._untold, self._told = 0, context.clock()
        self.filled = 0  # wanted bytes in the buffer, whatever becomes of `fill`

    async def fill(self, buffer: memoryview) -> int:
        """Puts the next bytes that the flight wants into `buffer`; 0 once it has all that this reply can give."""
        await self._pass_by(buffer)
        self.filled = 0
        flight, span = self._flight, self._opened.span
        while self.filled < len(buffer) and (left := min(flight.stop, span.stop) - flight.offset) > 0:
            room = buffer[self.filled : self.filled + self._at_once(left)]
            try:
                if not (came := await self._opened.body.fill(room, self._arrived)):
                    raise SourceError(Failure.SHORT, f"the body ended {span.stop - flight.offset} bytes early")
                await self._pay(came)
            finally:
                self._tell()
        return self.filled

    async def _pass_by(self, buffer: memoryview) -> None:
        while self._skip:
            count = await self._opened.body.fill(buffer[: self._at_once(self._skip)], self._passed)
            if not count:
                raise SourceError(Failure.SHORT, "the body ended before the bytes that are missing")
            self._skip -= count
            await self._pay(count)

    def _at_once(self, count: int) -> int:
        return min(count, self._budget.chunk or count)

    def _passed(self, count: int) -> bool:
        self._note_time()
        return True

    def _arrived(self, count: int) -> bool:
        """What is here is not to be stolen any more, so it is counted at once."""
        flight = self._flight
        now = self._note_time()
        wanted = min(count, flight.remaining)
        flight.offset += wanted
        self.filled += wanted
        self._untold += wanted
        if now - self._told >= TELL_EVERY and not self._budget.limited:
            self._tell()
        return flight.offset < flight.stop

    def _note_time(self) -> float:
        flight, now = self._flight, self._context.clock()
        if flight.last_byte == flight.began:
            flight.source.answered(now - flight.began)
        flight.last_byte = flight.source.last_byte = now
        self._context.pulse.beat()
        return now

    def _tell(self) -> None:
        if self._untold and self._tells:
            flight, count = self._flight, self._untold
            self._untold, self._told = 0, self._context.clock()
            flight.transfer.by_source[flight.source.name] += count
            self._context.emit(BytesReceived(flight.transfer.label, flight.source.name, count))

    async def _pay(self, count: int) -> None:
        """Waits until the budget has `count` more bytes."""
        if self._budget.limited:
            self._flight.held_up = True
            waited = await self._budget.take(count)
            self._flight.held_up, self._flight.last_byte = False, self._context.clock()
            if waited:
                self._flight.throttled = self._flight.last_byte


async def fetch_span(flight: Flight, context: Context, budget: Budget) -> None:
    """Fetches ``[start, stop)`` of a large file into its part file."""
    transfer = flight.transfer
    assert transfer.part is not None
    writer = PieceWriter(transfer.part, flight.source.name, flight.start)
    try:
        await _pour(flight, writer, context, budget)
    finally:
        await context.disk.run_on(transfer.label, writer.finish)
        transfer.hold(Span(flight.start, writer.offset))
        flight.offset = writer.offset


async def _pour(flight: Flight, writer: PieceWriter, context: Context, budget: Budget) -> None:
    transfer = flight.transfer
    asked = Span(0, transfer.file.size) if flight.whole else Span(flight.start, flight.stop)
    buffer = memoryview(bytearray(min(BATCH, len(asked))))
    async with (
        _watched(flight),
        flight.source.open(transfer.places[flight.source.name], asked) as opened,
    ):
        if opened.span.start < flight.start and not flight.whole:
            raise SourceError(Failure.NO_RANGES, "the whole file came where a part was asked for")
        reader = Reader(flight, opened, context, budget)
        try:
            while count := await reader.fill(buffer):
                flight.held_up, reader.filled = True, 0
                await context.disk.run_on(transfer.label, writer.write, [buffer[:count]])
                flight.held_up, flight.last_byte = False, context.clock()
                transfer.hold(Span(flight.start, writer.offset))
        finally:
            if reader.filled:
                await context.disk.run_on(transfer.label, writer.write, [buffer[: reader.filled]])


async def fetch_hedge(flight: Flight, context: Context, budget: Budget) -> None:
    """Fetches into memory what another flight still has to bring, and writes what that has not brought by then: only
    that counts as received."""
    transfer, source = flight.transfer, flight.source
    assert transfer.part is not None
    buffer, got = memoryview(bytearray(flight.stop - flight.start)), 0
    async with (
        _watched(flight),
        source.open(transfer.places[source.name], Span(flight.start, flight.stop)) as opened,
    ):
        if opened.span.start < flight.start:
            raise SourceError(Failure.NO_RANGES, "the whole file came where a part was asked for")
        reader = Reader(flight, opened, context, budget, tells=False)
        while count := await reader.fill(buffer[got:]):
            got += count
        if got < len(buffer):
            raise SourceError(Failure.SHORT, f"{len(buffer) - got} bytes fewer came than were asked for")
    span = flight.overtake()
    writer = PieceWriter(transfer.part, source.name, span.start)
    await context.disk.run_on(transfer.label, writer.write, [buffer[span.start - flight.start :]])
    await context.disk.run_on(transfer.label, writer.finish)
    transfer.by_source[source.name] += len(span)
    context.emit(BytesReceived(transfer.label, source.name, len(span)))
    transfer.hold(span)
    flight.kept = span.stop


async def fetch_small(flight: Flight, context: Context, budget: Budget) -> None:
    """Fetches a small file whole into memory and finishes its transfer, or raises WRONG_BYTES."""
    transfer = flight.transfer
    buffer, got = memoryview(bytearray(transfer.file.size)), 0
    try:
        async with (
            _watched(flight),
            flight.source.open(transfer.places[flight.source.name], Span(0, transfer.file.size)) as opened,
        ):
            reader = Reader(flight, opened, context, budget)
            while count := await reader.fill(buffer[got:]):
                got += count
        digests = _proven(transfer, bytes(buffer))
    except BaseException as exc:
        if dropped := flight.offset - flight.start:
            flight.offset = flight.start
            transfer.by_source[flight.source.name] -= dropped
            context.emit(BytesDropped(transfer.label, dropped, str(exc)))
        raise
    transfer.finish(digests, bytes(buffer))


def _proven(transfer: Transfer, data: bytes) -> Digests:
    digests = digests_of(data)
    if len(data) != transfer.file.size or not digests.agrees_with(transfer.file):
        raise SourceError(Failure.WRONG_BYTES, f"{transfer.label} is not what its digest says")
    return digests


class _watched:  # noqa: N801  # reads as a verb in `async with`
    """Lets the scheduler's timer end the flight: its deadline is moved to now when the connection is given up."""

    def __init__(self, flight: Flight) -> None:
        self._flight, self._scope = flight, asyncio.timeout(None)

    async def __aenter__(self) -> None:
        self._flight.scope = await self._scope.__aenter__()

    async def __aexit__(self, *exc: object) -> None:
        self._flight.scope = None
        try:
            await self._scope.__aexit__(*exc)  # type: ignore[arg-type]
        except TimeoutError:
            raise SourceError(Failure.STALLED, "silence on the connection") from None
