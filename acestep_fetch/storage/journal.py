"""The journal of a part file: which pieces are on disk, and a checksum of each. It is kept when the file is finished.

An append-only binary file. A header names the content; then come fixed records, each with a checksum of its own, so a
torn write costs the records behind it and no more. A record is appended after its bytes were written, without waiting
for the disk: after a kill both are there, and after a loss of power a record whose bytes did not survive fails its
piece's checksum when the next run reads it back. Nothing in here is believed without that look.

Layout (little endian): ``ACEFJ1\\r\\n`` · u32 header length · header JSON · u32 crc32 of it · records of 24 bytes:
u32 length · u32 source · u64 offset · u32 crc32 of the bytes · u32 crc32 of the record before this field.
A record with source `DROPPED` says that its bytes are no longer to be trusted.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from acestep_fetch.core.model import Digest
from acestep_fetch.core.spans import Span, SpanSet
from acestep_fetch.storage import platform

PIECE: Final = 8 << 20  # bytes: no piece is longer, none crosses a multiple of it

_MAGIC: Final = b"ACEFJ1\r\n"
_RECORD: Final = struct.Struct("<IIQI")
_CRC: Final = struct.Struct("<I")
_DROPPED: Final = 0xFFFFFFFF
RECORD_SIZE: Final = _RECORD.size + _CRC.size


@dataclass(frozen=True, slots=True)
class Piece:
    """Contiguous bytes that one source delivered, with the crc32 they had when they came in."""

    span: Span
    crc: int
    source: str


class Journal:
    """Open for appending. Not thread-safe: one part file's calls come one at a time."""

    def __init__(self, path: Path, fd: int, sources: tuple[str, ...], cut: int = 0) -> None:
        self.path = path
        self.cut = cut  # bytes behind the last sound record, which are gone now
        self._fd = fd
        self._sources = list(sources)

    @classmethod
    def create(cls, path: Path, digest: Digest, size: int, sources: Iterable[str]) -> Journal:
        """A new, empty journal; one that stands there is dropped."""
        fd = platform.open_for_update(path, os.O_APPEND)
        try:
            os.ftruncate(fd, 0)
            named = tuple(sources)
            header = json.dumps({"digest": str(digest), "size": size, "piece": PIECE, "sources": named}).encode()
            blob = _MAGIC + _CRC.pack(len(header)) + header + _CRC.pack(zlib.crc32(header))
            _write_all(fd, blob)
        except BaseException:
            os.close(fd)
            raise
        return cls(path, fd, named)

    @classmethod
    def load(cls, path: Path, digest: Digest, size: int) -> tuple[Journal, list[Piece]] | None:
        """The journal at `path` and the pieces it names; None where it is absent, foreign, torn in its header, or of
        another version. What comes after the first damaged record is cut off."""
        try:
            fd = platform.open_for_update(path, os.O_APPEND, create=False)
        except FileNotFoundError:
            return None
        try:
            found = _parse(_read_all(fd), digest, size)
            if found is None:
                os.close(fd)
                return None
            sources, pieces, good = found
            cut = os.fstat(fd).st_size - good
            os.ftruncate(fd, good)
        except OSError:
            os.close(fd)
            raise
        return cls(path, fd, sources, cut), pieces

    @staticmethod
    def peek(path: Path, digest: Digest, size: int) -> list[Piece]:
        """The pieces that the journal at `path` names, without touching it: it may be another process's."""
        try:
            found = _parse(platform.read_whole(path), digest, size)
        except FileNotFoundError:
            return []
        return found[1] if found else []

    def append(self, piece: Piece) -> None:
        """Records a piece whose bytes have been written."""
        if piece.source not in self._sources:
            raise ValueError(f"the journal knows no source {piece.source!r}")
        self._append(len(piece.span), self._sources.index(piece.source), piece.span.start, piece.crc)

    def drop(self, span: Span) -> None:
        """Records that whatever pieces lie in `span` do not hold."""
        cursor = span.start
        while cursor < span.stop:
            length = min(PIECE, span.stop - cursor)
            self._append(length, _DROPPED, cursor, 0)
            cursor += length

    def sync(self) -> None:
        platform.sync_data(self._fd)

    def close(self) -> None:
        os.close(self._fd)

    def _append(self, length: int, source: int, offset: int, crc: int) -> None:
        body = _RECORD.pack(length, source, offset, crc)
        _write_all(self._fd, body + _CRC.pack(zlib.crc32(body)))


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _read_all(fd: int) -> bytes:
    blocks = list[bytes]()
    while block := os.read(fd, 1 << 20):
        blocks.append(block)
    return b"".join(blocks)


def _sources(header: bytes, digest: Digest, size: int) -> tuple[str, ...] | None:
    """The names that records refer to, if the header is one of ours and speaks of this content."""
    try:
        row = json.loads(header)
        fits = (row["digest"], row["size"], row["piece"]) == (str(digest), size, PIECE)
        named = tuple(map(str, row["sources"]))
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return named if fits else None


def _parse(blob: bytes, digest: Digest, size: int) -> tuple[tuple[str, ...], list[Piece], int] | None:
    start = len(_MAGIC) + _CRC.size
    if not blob.startswith(_MAGIC) or len(blob) < start:
        return None
    (length,) = _CRC.unpack_from(blob, len(_MAGIC))
    body = start + length
    if len(blob) < body + _CRC.size or _CRC.unpack_from(blob, body) != (zlib.crc32(blob[start:body]),):
        return None
    sources = _sources(blob[start:body], digest, size)
    if sources is None:
        return None
    cursor = body + _CRC.size
    pieces, covered = dict[int, Piece](), SpanSet()  # `covered` may say too much: it saves most of the searches
    while cursor + RECORD_SIZE <= len(blob):
        length, source, offset, crc = _RECORD.unpack_from(blob, cursor)
        if _CRC.unpack_from(blob, cursor + _RECORD.size) != (zlib.crc32(blob[cursor : cursor + _RECORD.size]),):
            break
        if not 0 < length <= PIECE or offset + length > size or (source != _DROPPED and source >= len(sources)):
            break
        span = Span(offset, offset + length)
        if covered.touches(span):
            for start_of in [s for s, p in pieces.items() if s < span.stop and p.span.stop > span.start]:
                del pieces[start_of]
        covered.add(span)
        if source != _DROPPED:
            pieces[offset] = Piece(span, crc, sources[source])
        cursor += RECORD_SIZE
    return sources, [pieces[s] for s in sorted(pieces)], cursor
