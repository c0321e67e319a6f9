"""The bytes of a body from the socket into the reader's own memory, past everything in between.

aiohttp makes the connection, sends the request and reads the headers. For a body of known length an `Intake` then takes
the place of aiohttp's protocol on that transport, so that a read goes straight into the buffer that will be written to
disk: no bytes objects, no second copy, no wake-up of the reader before its buffer is full. After the body's last byte
aiohttp gets its transport back, and the connection can be used again. Only documented attributes of aiohttp and asyncio
are touched; where one is missing, `take_over` declines and the body is read the ordinary way.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable
from typing import Final

import aiohttp

from acestep_fetch.core.errors import Failure, SourceError

Arrived = Callable[[int], bool]

WAKE_EVERY: Final = 0.02  # seconds worth of bytes that the kernel collects before it wakes us
MOST_COLLECTED: Final = 256 * 1024  # bytes
_WORTH_IT: Final = 24 * 1024  # bytes: below that the wake-ups are too few to matter
_UNDECRYPTED: Final = 64 * 1024  # bytes of the body that TLS may hold back, at the most
_LOWAT: Final[int | None] = getattr(socket, "SO_RCVLOWAT", None) if sys.platform == "linux" else None


class Intake(asyncio.BufferedProtocol):
    """Reads `left` more bytes of `reply` from `transport`."""

    def __init__(self, reply: aiohttp.ClientResponse, transport: asyncio.Transport, left: int) -> None:
        self.left = left
        self._reply, self._transport = reply, transport
        self._theirs: asyncio.BaseProtocol = transport.get_protocol()
        self._socket = transport.get_extra_info("socket")
        self._loop = asyncio.get_running_loop()
        self._collected = 1
        self._view: memoryview | None = None
        self._filled = 0
        self._arrived: Arrived = lambda _: True
        self._full: asyncio.Future[None] | None = None
        self._broken = False
        transport.set_protocol(self)

    async def fill(self, buffer: memoryview, arrived: Arrived) -> int:
        """Bytes put into `buffer`: all of it, unless the body ends before or `arrived` (told of each arrival's size)
        says that it is enough. Raises `SourceError` (SHORT) where the connection ends before the body does."""
        if self._broken:
            raise _short()
        self._view, self._filled, self._arrived = buffer[: self.left], 0, arrived
        self._full = self._loop.create_future()
        began = self._loop.time()
        self._transport.resume_reading()
        try:
            await self._full
        finally:
            self._view = self._full = None
        if self.left:
            self._collect(self._filled / max(self._loop.time() - began, 1e-6))
        else:
            self._give_back()
        return self._filled

    def abort(self) -> None:
        """Ends the connection without a farewell."""
        self._transport.abort()

    # -- asyncio's side -------------------------------------------------------------------------------------------

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._view is None:  # nobody waits: the connection is being given up, or about to be
            return memoryview(bytearray(65536))
        return self._view[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        if self._view is None:
            self._broken = True
            return
        self._filled += nbytes
        self.left -= nbytes
        if self.left < self._collected + _UNDECRYPTED:
            self._wake_at(1)
        goes_on = self._arrived(nbytes)
        if not goes_on or not self.left or self._filled == len(self._view):
            self._transport.pause_reading()
            self._end(None)

    def eof_received(self) -> bool:
        self._end(_short())
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(_short())
        self._theirs.connection_lost(exc)

    def _end(self, error: SourceError | None) -> None:
        self._broken |= error is not None
        if self._full is None or self._full.done():
            return
        if error:
            self._full.set_exception(error)
        else:
            self._full.set_result(None)

    # -- the kernel's side ----------------------------------------------------------------------------------------

    def _collect(self, speed: float) -> None:
        """Lets the kernel collect some milliseconds worth of bytes, so that a fast body does not cost a wake-up for
        every packet. It must never wait for more than the body still has."""
        wanted = min(MOST_COLLECTED, int(speed * WAKE_EVERY))
        if wanted < _WORTH_IT or self.left < wanted + _UNDECRYPTED:
            wanted = 1
        if not self._collected / 2 < wanted < self._collected * 2:
            self._wake_at(wanted)

    def _wake_at(self, count: int) -> None:
        if _LOWAT is None or count == self._collected or self._socket is None:
            return
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _LOWAT, count)
        except OSError:  # closed meanwhile
            return
        self._collected = count

    def _give_back(self) -> None:
        """The body is whole: aiohttp may use the connection for another request."""
        self._wake_at(1)
        self._transport.set_protocol(self._theirs)
        self._reply.content.feed_eof()


def take_over(reply: aiohttp.ClientResponse) -> tuple[list[bytes], Intake | None]:
    """What has arrived of the body, and who brings the rest: None where aiohttp has all of it already, or must do it
    itself because the length is not known. Not to be called twice."""
    length = reply.headers.get("Content-Length", "")
    early = list[bytes]()
    if not length.isdecimal() or "Transfer-Encoding" in reply.headers or reply.content.is_eof():
        return early, None
    while chunk := reply.content.read_nowait():
        early.append(chunk)
    left = int(length) - sum(map(len, early))
    transport = reply.connection.transport if reply.connection else None
    if left <= 0 or reply.content.is_eof() or not _is_ours(transport):
        return early, None
    assert transport is not None
    return early, Intake(reply, transport, left)


def _is_ours(transport: asyncio.Transport | None) -> bool:
    return transport is not None and not transport.is_closing() and hasattr(transport, "set_protocol")


def _short() -> SourceError:
    return SourceError(Failure.SHORT, "the body ended early")
