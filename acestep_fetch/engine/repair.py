"""A wrong whole-file digest leads to the wrong pieces; only those are fetched again, and the culprit is named.

First what is on disk is held against the checksums that the pieces came with: a difference is damage here. If there is
none, a source (or something on the way) lied: the pieces are streamed from another source, newest first, compared by
checksum and not written. Where one differs, it is missing again and the source that brought it is no longer asked.
"""

from __future__ import annotations

import asyncio
import zlib
from typing import Final

from acestep_fetch.core.errors import Failure, SourceError
from acestep_fetch.core.events import BytesDropped, Detail, Note, PieceRepaired
from acestep_fetch.core.spans import Span, SpanSet
from acestep_fetch.engine.blame import Blame
from acestep_fetch.engine.context import Context
from acestep_fetch.engine.sources import Source
from acestep_fetch.engine.transfer import Transfer
from acestep_fetch.storage.journal import Piece
from acestep_fetch.storage.parts import PartFile

AT_ONCE: Final = 6  # pieces that are compared at the same time
_DISK: Final = "disk"


class Repair:
    """Of one transfer. `locate` is called each time the digest is wrong, `confirm` once it is right."""

    def __init__(
        self, transfer: Transfer, part: PartFile, sources: list[Source], blame: Blame, context: Context
    ) -> None:
        self._transfer, self._part, self._sources, self._blame, self._context = transfer, part, sources, blame, context
        self._cleared = SpanSet()  # compared with another source, or fetched again
        self._replaced = list[tuple[Span, str]]()

    async def locate(self) -> bool:
        """Puts wrong pieces back to missing. False where none can be found."""
        self._context.emit(Note("warning", f"{self._transfer.label}: the digest is wrong; looking for the wrong piece"))
        return await self._damaged_here() or await self._lied()

    def confirm(self) -> None:
        """The digest is right now: says what it took."""
        for span, culprit in self._replaced:
            self._context.emit(PieceRepaired(self._transfer.label, span.start, span.stop, culprit))

    async def _damaged_here(self) -> bool:
        found = False
        for piece in list(self._part.pieces.values()):
            if not await self._context.disk.hash(self._part.holds, piece):
                await self._put_back(piece, _DISK)
                found = True
        return found

    async def _lied(self) -> bool:
        suspects = [
            p for p in reversed(self._part.pieces.values()) if self._cleared.run_from(p.span.start) < p.span.stop
        ]
        liars = list[Piece]()

        async def compare_all() -> None:
            while suspects and not liars:
                piece = suspects.pop(0)
                if await self._differs(piece):
                    liars.append(piece)

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(compare_all())
        for piece in liars:
            await self._put_back(piece, piece.source)
            self._cleared.add(piece.span)
            self._avoid(piece.source)
        return bool(liars)

    async def _differs(self, piece: Piece) -> bool:
        for judge in self._judges(piece):
            try:
                crc = await self._crc_from(judge, piece.span)
            except SourceError as error:
                self._context.emit(Detail(f"{self._transfer.label}: {judge.name} cannot be compared: {error.message}"))
                continue
            self._cleared.add(piece.span)
            return crc != piece.crc
        return False

    def _judges(self, piece: Piece) -> list[Source]:
        able = [s for s in self._sources if self._transfer.usable(s.name)]
        return sorted(able, key=lambda source: source.name == piece.source)

    async def _crc_from(self, judge: Source, span: Span) -> int:
        crc, left = 0, len(span)
        async with (
            asyncio.timeout(60 + self._context.options.stall_timeout),
            judge.open(self._transfer.places[judge.name], span) as opened,
        ):
            if opened.span != span:
                raise SourceError(Failure.NO_RANGES, "ranges are not honoured")
            while left and (chunk := await opened.body.read()):
                crc, left = zlib.crc32(chunk[:left], crc), max(0, left - len(chunk))
        if left:
            raise SourceError(Failure.SHORT, "the body ended early")
        return crc

    async def _put_back(self, piece: Piece, culprit: str) -> None:
        await self._context.disk.run(self._part.drop, piece.span)
        self._replaced.append((piece.span, culprit))
        self._context.emit(BytesDropped(self._transfer.label, len(piece.span), f"wrong bytes from {culprit}"))
        self._transfer.lose(piece.span)

    def _avoid(self, name: str) -> None:
        """Goes on with the other source, where there is one."""
        for source in self._sources:
            if source.name == name and any(
                other.name != name and self._transfer.usable(other.name) for other in self._sources
            ):
                error = SourceError(Failure.WRONG_BYTES, "a piece differs from the other source's")
                if source.name not in self._transfer.banned:
                    self._blame.ban(self._transfer, source.name, error)
