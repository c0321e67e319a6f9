"""A wrong whole-file digest leads to the wrong pieces; only those are fetched again, and the culprit is named.

First what is on disk is held against the checksums that the pieces came with: a difference is damage here. If there is
none, a source (or something on the way) lied. Pieces are streamed from another source, newest first, compared by
checksum and not written. Where two sources differ, either may be the liar, and only the digest can tell:

1. the first disputed piece is taken from the other source, because one wrong bit is what usually happens;
2. if the digest is still wrong, everything is compared, and all that is disputed is taken from that same source;
3. if it is wrong even then, the suspect was innocent: all that is disputed is taken from it.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from acestep_fetch.core.errors import Failure, SourceError
from acestep_fetch.core.events import BytesCompared, BytesDropped, Detail, Note, PieceRepaired
from acestep_fetch.core.retry import backoff
from acestep_fetch.core.spans import Span, SpanSet
from acestep_fetch.engine.blame import Blame
from acestep_fetch.engine.context import Context
from acestep_fetch.engine.limits import Budget
from acestep_fetch.engine.sources import Source
from acestep_fetch.engine.transfer import Transfer
from acestep_fetch.storage.journal import Piece
from acestep_fetch.storage.parts import PartFile

ATTEMPTS: Final = 4
AT_ONCE: Final = 3  # runs of pieces that are compared at the same time,
_PATIENCE: Final = 60.0  # seconds for a run of them, beside the silence that a connection is allowed
LONGEST_RUN: Final = 4 << 20  # bytes of each: what is compared beside the wrong piece is wasted
_DISK: Final = "disk"


class Repair:
    """Of one transfer. `locate` is called each time the digest is wrong, `confirm` once it is right."""

    def __init__(
        self,
        transfer: Transfer,
        part: PartFile,
        sources: list[Source],
        blame: Blame,
        budget: Budget,
        context: Context,
    ) -> None:
        self._transfer, self._part, self._sources, self._blame, self._context = transfer, part, sources, blame, context
        self._budget, self._patience = budget, _PATIENCE + context.options.stall_timeout
        self._equal = SpanSet()  # compared with another source
        self._disputed = SpanSet()
        self._suspect: str | None = None
        self._replaced = list[tuple[Span, str]]()
        self.conclusive = True  # whether every piece that had to be compared could be
        self._steps = iter((self._first_dispute, self._trust_the_other, self._trust_the_suspect))

    async def locate(self) -> bool:
        """Puts wrong pieces back to missing. False where none can be found."""
        self._context.emit(Note("warning", f"{self._transfer.label}: the digest is wrong; looking for the wrong piece"))
        if await self._damaged_here():
            return True
        for step in self._steps:
            if await step():
                return True
        return False

    def confirm(self) -> None:
        """The digest is right now: says what it took."""
        for span, culprit in self._replaced:
            if culprit in (_DISK, self._suspect):
                self._context.emit(PieceRepaired(self._transfer.label, span.start, span.stop, culprit))

    async def _first_dispute(self) -> bool:
        await self._compare(thorough=False)
        found = self._disputed_pieces()
        if found:
            self._avoid(found[-1].source)
        return await self._put_back([piece for piece in found if piece.source == self._suspect])

    async def _trust_the_other(self) -> bool:
        await self._compare(thorough=True)
        return await self._put_back([p for p in self._disputed_pieces() if p.source == self._suspect])

    async def _trust_the_suspect(self) -> bool:
        found = [p for p in self._disputed_pieces() if p.source != self._suspect]
        if not found:
            return False
        for source in self._sources:
            if source.name == self._suspect:
                self._transfer.banned.pop(source.name, None)
        self._avoid(found[-1].source)
        return await self._put_back(found)

    def _disputed_pieces(self) -> list[Piece]:
        """Newest last."""
        return [p for p in self._part.pieces.values() if self._disputed.run_from(p.span.start) >= p.span.stop]

    async def _damaged_here(self) -> bool:
        pieces = list(self._part.pieces.values())
        found = [p for p in pieces if not await self._context.on_hasher(self._part.path, self._part.holds, p)]
        return await self._put_back(found, culprit=_DISK)

    async def _compare(self, *, thorough: bool) -> None:
        """Sorts pieces into equal and disputed: all of them, or until the first dispute."""
        suspects, lanes = self._suspects(), set[asyncio.Task[None]]()

        async def compare_some() -> None:
            while suspects and (thorough or not self._disputed):
                await self._judge(suspects.pop(0))
            if suspects:  # the first dispute: what the others are about to learn is not needed now
                for lane in lanes - {asyncio.current_task()}:
                    lane.cancel()

        async with asyncio.TaskGroup() as group:
            lanes |= {group.create_task(compare_some()) for _ in range(AT_ONCE)}

    def _suspects(self) -> list[list[Piece]]:
        """What was not compared yet, newest first; neighbours from one source are compared with one request."""
        runs = list[list[Piece]]()
        for piece in reversed(self._part.pieces.values()):
            if any(known.run_from(piece.span.start) >= piece.span.stop for known in (self._equal, self._disputed)):
                continue
            last = runs[-1][0] if runs else None
            near = last and last.source == piece.source and piece.span.stop == last.span.start
            if near and runs[-1][-1].span.stop - piece.span.start <= LONGEST_RUN:
                runs[-1].insert(0, piece)
            else:
                runs.append([piece])
        return runs

    async def _judge(self, run: list[Piece]) -> None:
        """Compares a contiguous run with another source; one that nobody can be asked about stays unknown."""
        label = self._transfer.label
        for attempt in range(1, ATTEMPTS + 1):
            for judge in self._judges(run[0]):
                try:
                    with self._context.pulse.expects(f"{judge.name.title}, to compare {label}", self._patience):
                        crcs = await self._crcs_from(judge, run)
                except SourceError as error:
                    text = f"{label}: {judge.name} cannot be compared: {error.message}"
                    self._context.emit(Detail(text))
                    continue
                for piece, crc in zip(run, crcs, strict=True):
                    (self._equal if crc == piece.crc else self._disputed).add(piece.span)
                return
            await asyncio.sleep(backoff(attempt, self._context.jitter()))
        self.conclusive = False

    def _judges(self, piece: Piece) -> list[Source]:
        places = self._transfer.places
        able = [
            s for s in self._sources if s.name in places and (s.name == self._suspect or self._transfer.usable(s.name))
        ]
        return sorted(able, key=lambda source: source.name == piece.source)

    async def _crcs_from(self, judge: Source, run: list[Piece]) -> list[int]:
        whole = Span(run[0].span.start, run[-1].span.stop)
        crcs, index, done = [0] * len(run), 0, whole.start
        async with (
            judge.slots,
            _patient(self._patience) as deadline,
            judge.open(self._transfer.places[judge.name], whole) as opened,
        ):
            if opened.span != whole:
                raise SourceError(Failure.NO_RANGES, "ranges are not honoured")
            while done < whole.stop and (chunk := await opened.body.read()):
                await self._pay(judge, len(chunk), deadline)
                view = memoryview(chunk)[: whole.stop - done]
                while view:
                    part = view[: run[index].span.stop - done]
                    crcs[index] = zlib.crc32(part, crcs[index])
                    done, view = done + len(part), view[len(part) :]
                    index += done == run[index].span.stop
        if done < whole.stop:
            raise SourceError(Failure.SHORT, "the body ended early")
        return crcs

    async def _pay(self, judge: Source, count: int, deadline: asyncio.Timeout) -> None:
        """Waits until the budget has `count` more bytes; the judge is not to blame for that time."""
        if self._budget.limited:
            left = (deadline.when() or 0.0) - self._context.clock()
            deadline.reschedule(None)
            await self._budget.take(count)
            deadline.reschedule(self._context.clock() + left)
        self._context.emit(BytesCompared(self._transfer.label, judge.name, count))

    async def _put_back(self, pieces: list[Piece], culprit: str | None = None) -> bool:
        for piece in pieces:
            name = culprit or piece.source
            await self._context.on_disk(self._part.path, self._part.drop, piece.span)
            self._replaced.append((piece.span, name))
            self._context.emit(BytesDropped(self._transfer.label, len(piece.span), f"wrong bytes from {name}"))
            self._transfer.lose(piece.span)
        return bool(pieces)

    def _avoid(self, name: str) -> None:
        """Goes on without the suspect, where there is another source. Before its pieces are missing again: it must
        not bring them a second time."""
        self._suspect = name
        for source in self._sources:
            others = [s for s in self._sources if s.name != name and self._transfer.usable(s.name)]
            if source.name == name and others and source.name not in self._transfer.banned:
                error = SourceError(Failure.WRONG_BYTES, "a piece differs from the other source's")
                self._blame.ban(self._transfer, source.name, error)


@asynccontextmanager
async def _patient(seconds: float) -> AsyncIterator[asyncio.Timeout]:
    try:
        async with asyncio.timeout(seconds) as deadline:
            yield deadline
    except TimeoutError:
        raise SourceError(Failure.STALLED, "too slow to be compared") from None
