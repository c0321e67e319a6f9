"""The unfinished file: preallocated, written by offset from several connections, journalled piece by piece."""

from __future__ import annotations

import contextlib
import os
import threading
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from acestep_fetch.core.errors import DiskError
from acestep_fetch.core.model import Digest
from acestep_fetch.core.spans import Span, SpanSet
from acestep_fetch.storage import platform
from acestep_fetch.storage.checksum import BLOCK, ContentHash, crc_at
from acestep_fetch.storage.journal import PIECE, RECORD_SIZE, Journal, Piece

RECORD_EVERY: Final = 2 << 20  # bytes of one connection that a kill may cost; divides the journal's PIECE
SYNC_EVERY: Final = 512 << 20  # bytes after which data and journal are made durable


class PartFile:
    """One content under way. Its calls block; every piece it reports is on disk and in the journal."""

    def __init__(
        self, path: Path, size: int, digest: Digest, fd: int, journal: Journal, held: Sequence[Piece], lost: str = ""
    ) -> None:
        self.path, self.size, self.digest = path, size, digest
        self.lost = lost  # what of an earlier run cannot be used, and why; for people
        self.pieces = {piece.span.start: piece for piece in held}
        self._inherited = set(self.pieces)  # where the pieces of an earlier run start
        self._covered = SpanSet(piece.span for piece in held)
        self._fd, self._journal = fd, journal
        self._lock = threading.Lock()
        self._writing = threading.Lock()  # systems write to one file at a time, and would have the others spin
        self._unsynced = 0

    @classmethod
    def open(cls, path: Path, size: int, digest: Digest, sources: Sequence[str]) -> PartFile:
        """Opens the part at `path` or creates it, with room for all its bytes reserved.

        Pieces of an earlier run come back in `pieces`; they are not to be believed before `read_piece` agrees. A part
        whose journal does not fit is started anew. Raises OSError.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        journal_path = journal_of(path)
        there = path.stat().st_size if path.exists() else 0
        loaded = Journal.load(journal_path, digest, size) if there == size else None
        fd = platform.open_for_update(path)
        try:
            if loaded is None:
                os.ftruncate(fd, 0)
                journal, held = Journal.create(journal_path, digest, size, sources), list[Piece]()
            else:
                journal, held = loaded
            try:
                platform.allocate(fd, size)
            except BaseException:
                journal.close()
                if loaded is None:
                    os.ftruncate(fd, 0)  # or what could be reserved would be missing to others
                raise
        except BaseException:
            os.close(fd)
            raise
        return cls(path, size, digest, fd, journal, held, _lost(there, size, loaded))

    def record(self, piece: Piece) -> None:
        """Journals a piece whose bytes are written, and has them begin their way to the disk, so that `publish` does
        not wait for all of them; every so often makes all of it durable."""
        with self._lock:
            self._journal.append(piece)
            self._forget(piece.span)
            self.pieces[piece.span.start] = piece
            self._covered.add(piece.span)
            self._unsynced += len(piece.span)
            due = self._unsynced >= SYNC_EVERY
            if due:
                self._unsynced = 0
        if due:
            self.sync()
        else:
            platform.begin_sync(self._fd, piece.span.start, len(piece.span))

    def write(self, chunks: list[memoryview], offset: int) -> None:
        with self._writing:
            platform.write_many_at(self._fd, chunks, offset)

    def feed(self, content: ContentHash, span: Span) -> None:
        """Passes the bytes of `span`, as they are on disk, to `content`. Raises OSError, and `DiskError` if they are
        not there."""
        buffer = memoryview(bytearray(min(BLOCK, max(1, len(span)))))
        offset = span.start
        while offset < span.stop:
            count = platform.read_at(self._fd, buffer[: min(len(buffer), span.stop - offset)], offset)
            if not count:
                raise self._meddled()
            content.update(buffer[:count])
            offset += count

    def holds(self, piece: Piece) -> bool:
        """Whether the piece's bytes on disk still have the checksum that they came with."""
        return crc_at(self._fd, piece.span.start, len(piece.span)) == piece.crc

    def drop(self, span: Span) -> None:
        """Forgets the pieces in `span`, on disk too."""
        with self._lock:
            self._journal.drop(span)
            self._forget(span)

    def _forget(self, span: Span) -> None:
        if not self._covered.touches(span):
            return
        self._covered.remove(span)
        first = span.start - PIECE  # no piece is longer
        for start in [s for s in self.pieces if first < s < span.stop and self.pieces[s].span.stop > span.start]:
            del self.pieces[start]
            self._inherited.discard(start)

    @property
    def origin(self) -> tuple[dict[str, int], int]:
        """Of the bytes that are held: how many each source has brought since the part was opened, and how many were
        there before."""
        by_source, before = Counter[str](), 0
        for start, piece in self.pieces.items():
            if start in self._inherited:
                before += len(piece.span)
            else:
                by_source[piece.source] += len(piece.span)
        return dict(by_source), before

    def sync(self) -> None:
        """Data first, then the journal that speaks of it."""
        platform.sync_data(self._fd)
        self._journal.sync()

    def close(self) -> None:
        """Keeps everything for the next run. Does nothing the second time."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            self._journal.close()
            os.close(fd)

    def publish(self, target: Path, journal: Path) -> None:
        """Moves the whole, verified file to `target`, and its journal to `journal`, where it tells of later damage.
        The part is closed afterwards. Raises OSError, and `DiskError` where it is not the file any more that was
        written."""
        platform.sync_data(self._fd)
        ours, named = os.fstat(self._fd), self.path.lstat()
        if ours.st_size != self.size or not os.path.samestat(ours, named):
            raise self._meddled()
        for path in (target, journal):
            path.parent.mkdir(parents=True, exist_ok=True)
        self.close()
        self.path.replace(target)
        with contextlib.suppress(FileNotFoundError):
            journal_of(self.path).replace(journal)

    def _meddled(self) -> DiskError:
        return DiskError(
            f"{self.path}: another program has changed it while it was downloaded",
            hint="run the same command again: what still holds is kept",
        )

    def discard(self) -> None:
        """Deletes part and journal."""
        self.close()
        remove_part(self.path)


class PieceWriter:
    """What one connection writes through: contiguous bytes from `offset` on, cut into journalled pieces."""

    def __init__(self, part: PartFile, source: str, offset: int) -> None:
        self.offset = offset  # the next byte to write
        self._part, self._source = part, source
        self._start, self._crc = offset, 0

    def write(self, chunks: Sequence[bytes | memoryview]) -> None:
        """Writes `chunks`; what ends a piece is journalled before this returns. Raises OSError."""
        run, length = list[memoryview](), 0
        for chunk in chunks:
            view = memoryview(chunk)
            while view:
                room = RECORD_EVERY - (self.offset + length) % RECORD_EVERY
                run.append(view[:room])
                length += len(run[-1])
                view = view[room:]
                if length and (self.offset + length) % RECORD_EVERY == 0:
                    self._flush(run, length)
                    self.finish()
                    run, length = [], 0
        if length:
            self._flush(run, length)

    def finish(self) -> None:
        """Journals what was written since the last piece ended."""
        if self.offset > self._start:
            self._part.record(Piece(Span(self._start, self.offset), self._crc, self._source))
            self._start, self._crc = self.offset, 0

    def _flush(self, run: list[memoryview], length: int) -> None:
        self._part.write(run, self.offset)
        for view in run:
            self._crc = zlib.crc32(view, self._crc)
        self.offset += length


def _lost(there: int, size: int, loaded: tuple[Journal, list[Piece]] | None) -> str:
    if not there or (loaded and loaded[0].cut < RECORD_SIZE):  # less than a record is what a kill leaves
        return ""
    if loaded:
        return "the end of its journal is damaged: what that spoke of is fetched again"
    why = "its size has changed" if there != size else "its journal is missing, damaged or another version's"
    return f"what an earlier run left of it cannot be used ({why}): it is fetched anew"


def journal_of(part: Path) -> Path:
    return part.with_suffix(".journal")


def remove_part(path: Path) -> None:
    """Deletes a part and its journal, if they are there."""
    for each in (path, journal_of(path)):
        with contextlib.suppress(FileNotFoundError):
            each.unlink()


def held_bytes(path: Path, digest: Digest, size: int) -> int:
    """How many bytes an earlier run left in the part at `path`, as its journal says; 0 for none."""
    if not path.exists() or path.stat().st_size != size:
        return 0
    return sum(len(piece.span) for piece in Journal.peek(journal_of(path), digest, size))


def allocated_bytes(path: Path) -> int:
    """The disk space a part already takes."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0
    return getattr(found, "st_blocks", 0) * 512 or found.st_size
