"""Bytes of files over HTTP: ranges, validators and the streaming itself.

`FileBody` is a response that carries a span of a file and can be taken apart again: a middleware may read its
`chunks()` and send them in another way. Nothing is read before the response is sent.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Final
from urllib.parse import quote

from aiohttp import hdrs, web

from acestep_fetch.core.spans import Span
from acestep_fetch.serve.library import Blob
from acestep_fetch.serve.reading import reading

CHUNK: Final = 512 * 1024
_RANGE: Final = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")


class UnsatisfiableRangeError(Exception):
    """The range asked for lies past the end (RFC 9110, 15.5.17)."""


def parse_range(header: str | None, size: int) -> Span | None:
    """The bytes a ``Range`` header asks for; None for the whole file.

    Several ranges, other units and nonsense count as no range, as RFC 9110 14.2 allows.
    Raises `UnsatisfiableRangeError`.
    """
    match = _RANGE.fullmatch(header.replace(" ", "")) if header else None
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        start, stop = max(0, size - int(match[2])), size
    else:
        start, stop = int(match[1]), min(size, int(match[2]) + 1 if match[2] else size)
    if match[1] and match[2] and int(match[2]) < start:
        return None
    if start >= size:
        raise UnsatisfiableRangeError
    return Span(start, stop)


class FileBody(web.StreamResponse):
    """Bytes ``[span.start, span.stop)`` of `blob`. A file that changes meanwhile breaks the connection."""

    def __init__(self, blob: Blob, span: Span, *, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(status=status, headers=headers)
        self.blob, self.span = blob, span
        self.headers.setdefault(hdrs.CONTENT_TYPE, "application/octet-stream")
        self.headers[hdrs.ACCEPT_RANGES] = "bytes"
        self.content_length = len(span)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The bytes, in pieces of at most `CHUNK`. Raises `OSError` where the file is not what was listed."""
        if not self.span:
            return
        async with reading(self.blob.location) as file:
            status = os.fstat(file.fileno())
            if (status.st_size, status.st_mtime_ns) != (self.blob.size, self.blob.mtime_ns):
                raise OSError(f"{self.blob.path} changed")
            if self.span.start:
                await file.seek(self.span.start)
            left = len(self.span)
            while left:
                piece = await file.read(min(CHUNK, left))
                if not piece:
                    raise OSError(f"{self.blob.path} became shorter")
                left -= len(piece)
                yield piece

    async def write_eof(self, data: bytes = b"") -> None:
        """Sends the body, unless the request was HEAD; aiohttp calls this once the headers are out."""
        request = self._req
        if request is not None and request.method != hdrs.METH_HEAD:
            await self._send(request)
        await super().write_eof(data)

    async def _send(self, request: web.BaseRequest) -> None:
        try:
            async with aclosing(self.chunks()) as chunks:
                async for piece in chunks:
                    await self.write(piece)
        except ConnectionError:  # the client went away: aiohttp knows what to do
            raise
        except OSError as exc:  # the promised length cannot be kept: only a broken connection says so
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError(str(exc)) from exc


def ranged(request: web.Request, blob: Blob, tag: str, headers: Mapping[str, str]) -> web.StreamResponse:
    """Answers as a CDN does: 206 with a range, 200 without, 304 where the client knows `tag`, 416 past the end."""
    etag = f'"{tag}"'
    common = {**headers, hdrs.ETAG: etag}
    if any(known.value in (tag, "*") for known in request.if_none_match or ()):
        return web.Response(status=304, headers=common)
    asked = request.headers.get(hdrs.RANGE)
    if request.headers.get(hdrs.IF_RANGE, etag) != etag:
        asked = None
    try:
        span = parse_range(asked, blob.size)
    except UnsatisfiableRangeError:
        return web.Response(status=416, headers={hdrs.CONTENT_RANGE: f"bytes */{blob.size}"})
    if span is None:
        return FileBody(blob, Span(0, blob.size), status=200, headers=common)
    return FileBody(blob, span, status=206, headers=common | content_range(span, blob.size))


def content_range(span: Span, size: int) -> dict[str, str]:
    """The header that says which bytes a reply carries."""
    return {hdrs.CONTENT_RANGE: f"bytes {span.start}-{span.stop - 1}/{size}"}


def disposition(path: str) -> str:
    """A ``Content-Disposition`` that names the file."""
    name = path.rpartition("/")[2]
    plain = re.sub(r"[^ !#-\[\]-~]", "_", name)
    return f"inline; filename*=UTF-8''{quote(name)}; filename=\"{plain}\";"
