"""Hashing behind the frontier: the contiguous prefix on disk is digested while the rest is still coming.

Pieces of an earlier run are looked at again on the way (their checksum, then the digest of the whole), and go back to
missing where they do not hold. When the last byte has passed, the digest is known.
"""

from __future__ import annotations

from typing import Final

from acestep_fetch.core.events import BytesDropped, Detail
from acestep_fetch.core.spans import Span
from acestep_fetch.engine.context import Context
from acestep_fetch.engine.transfer import Transfer
from acestep_fetch.storage.checksum import ContentHash, Digests
from acestep_fetch.storage.journal import Piece
from acestep_fetch.storage.parts import PartFile

STRIDE: Final = 16 << 20  # bytes hashed in one visit to a thread


class Frontier:
    """The hash of one transfer's prefix. `inherited` are the pieces that an earlier run left."""

    def __init__(self, transfer: Transfer, context: Context, inherited: list[Piece]) -> None:
        self.offset = 0
        self._transfer, self._context = transfer, context
        self._inherited = {piece.span.start: piece for piece in inherited}
        self._content = self._fresh()

    async def reach_end(self, part: PartFile) -> Digests | None:
        """The digests once every byte was held and hashed; None if the transfer ended otherwise."""
        transfer = self._transfer
        while transfer.open:
            if self.offset == transfer.file.size:
                return self._content.digests()
            transfer.moved.clear()
            reach = min(transfer.held.run_from(self.offset), self.offset + STRIDE)
            if reach == self.offset:
                await transfer.moved.wait()
                continue
            await self._advance(part, reach)
        return None

    def rewind(self) -> None:
        """Starts over: bytes behind the frontier have changed."""
        self.offset, self._content = 0, self._fresh()

    async def _advance(self, part: PartFile, reach: int) -> None:
        piece = self._inherited.pop(self.offset, None)
        if piece and not await self._context.on_hasher(part.path, part.holds, piece):
            await self._context.on_disk(part.path, part.drop, piece.span)
            self._transfer.lose(piece.span)
            self._context.emit(
                BytesDropped(self._transfer.label, len(piece.span), "the part file does not hold what its journal says")
            )
            self._context.emit(Detail(f"{self._transfer.label}: bytes at {piece.span.start} on disk are damaged"))
            return
        stop = piece.span.stop if piece else min([reach, *(s for s in self._inherited if self.offset < s < reach)])
        await self._context.on_hasher(part.path, part.feed, self._content, Span(self.offset, stop))
        self.offset = stop

    def _fresh(self) -> ContentHash:
        return ContentHash(self._transfer.file.size, git=self._transfer.wants_git)
