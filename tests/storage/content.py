"""Reproducible bytes, and digests to call them by."""

from __future__ import annotations

import hashlib
import random
import zlib
from collections.abc import Iterable

from acestep_fetch.core.model import Digest
from acestep_fetch.core.spans import Span, SpanSet
from acestep_fetch.storage.journal import Piece

SOURCES = ("huggingface", "modelscope")


def content(size: int, seed: int = 7) -> bytes:
    return random.Random(seed).randbytes(size)


def sha256_of(data: bytes) -> Digest:
    return Digest("sha256", hashlib.sha256(data).hexdigest())


def piece_of(data: bytes, start: int, stop: int, source: str = SOURCES[0]) -> Piece:
    return Piece(Span(start, stop), zlib.crc32(data[start:stop]), source)


def held(pieces: Iterable[Piece]) -> SpanSet:
    return SpanSet(piece.span for piece in pieces)
