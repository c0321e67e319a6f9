"""One connection's work: ask for a span, check the reply, write what comes, journal it.

Both functions raise `SourceError` for what went wrong with the source and OSError for what went wrong with the disk;
whatever arrived before that is on disk and in the journal when they end, however they end.
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

BATCH: Final = 1 << 20  # bytes that are handed to the disk at once


class Reader:
    """What comes in for a flight: budgeted, counted, timed and cut at the flight's end (which may move)."""

    def __init__(self, flight: Flight, opened: Opened, context: Context, budget: Budget) -> None:
        self._flight, self._opened, self._context, self._budget = flight, opened, context, budget
        self._at = opened.span.start
        self._rest = memoryview(b"")  # was read, but is more than passes the budget at once

    async def next(self) -> bytes | memoryview:
        """The next bytes that the flight wants; b"" once it has all that this reply can give."""
        flight = self._flight
        while flight.offset < min(flight.stop, self._opened.span.stop):
            chunk = await self._chunk()
            now = self._context.clock()
            if not chunk:
                raise SourceError(Failure.SHORT, f"the body ended {self._opened.span.stop - self._at} bytes early")
            if flight.offset == flight.start and flight.last_byte == flight.began:
                flight.source.answered(now - flight.began)
            flight.last_byte = flight.source.last_byte = now
            skip = max(0, flight.offset - self._at)
            self._at += len(chunk)
            wanted = memoryview(chunk)[skip : skip + flight.remaining]
            flight.offset += len(wanted)  # before any wait: what is here is not to be stolen
            await self._pay(len(chunk))
            if wanted:
                flight.transfer.by_source[flight.source.name] += len(wanted)
                self._context.emit(BytesReceived(flight.transfer.label, flight.source.name, len(wanted)))
                return wanted
        return b""

    async def _chunk(self) -> bytes | memoryview:
        """The next bytes that came in, no more of them than pass the budget at once."""
        if not self._budget.chunk:
            return await self._opened.body.read()
        if not self._rest:
            self._rest = memoryview(await self._opened.body.read())
        chunk, self._rest = self._rest[: self._budget.chunk], self._rest[self._budget.chunk :]
        return chunk

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
        await context.disk.run(writer.finish)
        transfer.hold(Span(flight.start, writer.offset))
        flight.offset = writer.offset


async def _pour(flight: Flight, writer: PieceWriter, context: Context, budget: Budget) -> None:
    transfer = flight.transfer
    asked = Span(0, transfer.file.size) if flight.whole else Span(flight.start, flight.stop)
    batch, waiting = list[bytes | memoryview](), 0
    try:
        async with (
            _watched(flight),
            flight.source.open(transfer.places[flight.source.name], asked) as opened,
        ):
            if opened.span.start < flight.start and not flight.whole:
                raise SourceError(Failure.NO_RANGES, "the whole file came where a part was asked for")
            reader = Reader(flight, opened, context, budget)
            while chunk := await reader.next():
                batch.append(chunk)
                waiting += len(chunk)
                if waiting >= BATCH:
                    full, batch, waiting = batch, [], 0
                    flight.held_up = True
                    await context.disk.run(writer.write, full)
                    flight.held_up, flight.last_byte = False, context.clock()
                    transfer.hold(Span(flight.start, writer.offset))
    finally:
        if batch:
            await context.disk.run(writer.write, batch)


async def fetch_small(flight: Flight, context: Context, budget: Budget) -> None:
    """Fetches a small file whole into memory and finishes its transfer, or raises WRONG_BYTES."""
    transfer = flight.transfer
    data = bytearray()
    try:
        async with (
            _watched(flight),
            flight.source.open(transfer.places[flight.source.name], Span(0, transfer.file.size)) as opened,
        ):
            reader = Reader(flight, opened, context, budget)
            while chunk := await reader.next():
                data += chunk
        digests = _proven(transfer, bytes(data))
    except BaseException as exc:
        flight.offset = flight.start
        if data:
            transfer.by_source[flight.source.name] -= len(data)
            context.emit(BytesDropped(transfer.label, len(data), str(exc)))
        raise
    transfer.finish(digests, bytes(data))


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
