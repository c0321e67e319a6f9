"""Does this reply carry the bytes that were asked for? Nothing is written before `span_of` returns.

RFC 9110 14 and 15.3.7; ModelScope's gateway answers a bounded range with 200 and a Content-Range (nexos transcript,
2026-08) and ignores an open-ended one, so the truth is the Content-Range, not the status.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from acestep_fetch.core.errors import Failure, SourceError
from acestep_fetch.core.spans import Span

_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)", re.ASCII)


def span_of(asked: Span, size: int, status: int, headers: Mapping[str, str]) -> Span:
    """The bytes of the file that the body will carry: within `asked`, or the whole file.

    `size` is the listed size in bytes. A whole-file reply to a ranged question is returned as it is: the caller
    decides whether it is of use. Raises `SourceError` (WRONG_REPLY) for everything else.
    """
    if status not in (200, 206):
        raise _wrong(f"status {status}")
    if coding := headers.get("content-encoding", "identity").strip().lower().replace("identity", ""):
        raise _wrong(f"encoded as {coding[:20]}")
    content_range = headers.get("content-range")
    if content_range is not None:
        span = _ranged(asked, size, content_range)
    elif status == 206:
        kind = headers.get("content-type", "")
        raise _wrong("multipart ranges" if kind.startswith("multipart/") else "206 without Content-Range")
    else:
        span = Span(0, size)
    _check_length(span, headers)
    return span


def _ranged(asked: Span, size: int, content_range: str) -> Span:
    match = _CONTENT_RANGE.fullmatch(content_range.strip())
    if match is None or int(match[1]) > int(match[2]):
        raise _wrong(f"Content-Range {content_range[:60]!r}")
    start, stop = int(match[1]), int(match[2]) + 1
    if match[3] != "*" and int(match[3]) != size:
        raise _wrong(f"{match[3]} bytes in all, {size} listed")
    if start != asked.start or stop > asked.stop:
        raise _wrong(f"bytes {start}-{stop - 1} where {asked.start}-{asked.stop - 1} were asked for")
    return Span(start, stop)


def _check_length(span: Span, headers: Mapping[str, str]) -> None:
    length = headers.get("content-length")
    if length is None:
        return  # chunked: the count of the bytes decides
    if not re.fullmatch(r"[0-9]{1,19}", length) or int(length) != len(span):
        raise _wrong(f"{length[:20]} bytes announced, {len(span)} expected")


def _wrong(what: str) -> SourceError:
    return SourceError(Failure.WRONG_REPLY, f"the reply does not match the question: {what}")
