"""A reply of the hub taken apart, so that a middleware can change what is sent and how it ends.

aiohttp calls `prepare` and `write_eof` on whatever a middleware returns; a `Relay` pulls the hub's own bytes through
its layers there. Nothing of aiohttp's writer is replaced, so headers, chunking and back-pressure stay real.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from enum import Enum, auto
from typing import Any

from aiohttp import hdrs, web

from acestep_fetch.serve.content import FileBody

Bytes = AsyncGenerator[bytes, None]
Layer = Callable[[Bytes], Bytes]
Observer = Callable[["Relay", int | None], None]
"""Is told of each piece that was written, and None at the end, however it comes."""


class Ending(Enum):
    CLEAN = auto()
    CLOSE = auto()  # FIN, whatever length was promised
    RESET = auto()  # RST


class Relay(web.StreamResponse):
    """`first` is the offset in the file of the body's first byte."""

    def __init__(self, inner: web.StreamResponse) -> None:
        super().__init__(status=inner.status, reason=inner.reason, headers=inner.headers)
        self.inner = inner
        self.first = inner.span.start if isinstance(inner, FileBody) else 0
        self.ending = Ending.CLEAN
        self.layers = list[Layer]()
        self.observers = list[Observer]()
        if not isinstance(inner, FileBody) and inner.status not in (204, 304):
            self.headers.setdefault(hdrs.CONTENT_LENGTH, str(len(_body(inner))))

    @classmethod
    def of(cls, response: web.StreamResponse) -> Relay:
        """The relay that carries `response`; itself if it is one."""
        return response if isinstance(response, cls) else cls(response)

    async def write_eof(self, data: bytes = b"") -> None:
        request = self._req
        if self._eof_sent or request is None:
            return
        try:
            if request.method != hdrs.METH_HEAD and self.status not in (204, 304):
                await self._send()
            if self.ending is not Ending.CLEAN:
                await self._break(request)
            await super().write_eof(data)
        finally:
            self._tell(None)

    async def _send(self) -> None:
        pieces = _pieces(self.inner)
        for layer in self.layers:
            pieces = layer(pieces)
        try:
            async with aclosing(pieces):
                async for piece in pieces:
                    await self.write(piece)
                    self._tell(len(piece))
        except ConnectionError:
            raise
        except OSError as exc:
            raise ConnectionResetError(str(exc)) from exc

    async def _break(self, request: web.BaseRequest) -> None:
        transport = request.transport
        while transport is not None and not transport.is_closing() and transport.get_write_buffer_size():
            await asyncio.sleep(0.001)
        if transport is not None and self.ending is Ending.CLOSE:
            transport.close()
        elif transport is not None:
            reset(transport)
        raise ConnectionResetError("ended by a fault")

    def _tell(self, count: int | None) -> None:
        for observer in self.observers:
            observer(self, count)


def reset(transport: asyncio.BaseTransport) -> None:
    """Ends a connection with RST."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()


async def _pieces(inner: web.StreamResponse) -> Bytes:
    if isinstance(inner, FileBody):
        async with aclosing(inner.chunks()) as chunks:
            async for chunk in chunks:
                yield chunk
    elif body := _body(inner):
        yield body


def _body(inner: web.StreamResponse) -> bytes:
    body: Any = inner.body if isinstance(inner, web.Response) else None
    return body if isinstance(body, bytes) else b""
