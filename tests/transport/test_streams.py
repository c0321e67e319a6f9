"""What the byte streams tell about their connections."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from acestep_fetch.core.interfaces import Request
from acestep_fetch.transport.streams import Streams


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(asyncio.IncompleteReadError):
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    writer.close()


async def _setups(count: int, *, together: bool) -> list[float | None]:
    server = await asyncio.start_server(_answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"

    async def setup(streams: Streams) -> float | None:
        async with streams.get(Request(url)) as body:
            if together:
                await all_open.wait()  # nobody gives back what another could use
            while await body.read():
                pass
            return body.setup.setup if body.setup else None

    all_open = asyncio.Barrier(count)
    try:
        async with Streams(connect_timeout=5) as streams:
            if together:
                return list(await asyncio.gather(*(setup(streams) for _ in range(count))))
            return [await setup(streams) for _ in range(count)]
    finally:
        server.close()


async def test_the_set_up_of_a_connection_is_told_once() -> None:
    first, second = await _setups(2, together=False)
    assert first is not None
    assert 0 < first < 5
    assert second is None


async def test_requests_at_the_same_time_have_each_their_own_set_up() -> None:
    setups = await _setups(3, together=True)
    assert all(setup is not None and 0 < setup < 5 for setup in setups)
