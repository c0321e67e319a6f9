"""Connections that are opened ahead, on real sockets."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from acestep_fetch.core.interfaces import Request
from acestep_fetch.transport.streams import Streams

REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """Answers each request with ``ok`` and counts what comes."""

    def __init__(self) -> None:
        self.url = ""
        self.connections = self.requests = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                self.requests += 1
                writer.write(REPLY)
        except asyncio.IncompleteReadError:
            writer.close()


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    server = Server()
    listening = await asyncio.start_server(server.answer, "127.0.0.1", 0)
    server.url = "http://{}:{}".format(*listening.sockets[0].getsockname()[:2])
    async with listening:
        yield server


async def ask(streams: Streams, url: str) -> bytes:
    async with streams.get(Request(f"{url}/x")) as body:
        found = await body.read()
        assert await body.read() == b""
        return found


async def test_a_connection_opened_ahead_asks_nothing_and_is_used() -> None:
    async with serving() as server, Streams(connect_timeout=5) as streams:
        await streams.connect(f"{server.url}/some/path?x=1", 2)
        assert server.requests == 0
        async with streams.get(Request(server.url)), streams.get(Request(server.url)):
            pass
        assert (server.connections, server.requests) == (2, 2)
        assert await ask(streams, server.url) == b"ok"


async def test_a_request_waits_for_the_connection_that_is_on_its_way() -> None:
    async with serving() as server, Streams(connect_timeout=5) as streams:
        await streams.connect(server.url, 0)  # whether a proxy is needed is known from here on
        connecting = asyncio.create_task(streams.connect(server.url, 2))
        await asyncio.sleep(0)
        assert [await ask(streams, server.url) for _ in range(3)] == [b"ok"] * 3
        await connecting
        assert server.connections == 2


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://[::bad", "", "ftp://host/x", "https://127.0.0.1:9"])
async def test_what_cannot_be_opened_is_nobodys_trouble(url: str) -> None:
    async with Streams(connect_timeout=5) as streams:
        await streams.connect(url, 2)


async def test_nothing_is_opened_past_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as server:
        monkeypatch.setenv("http_proxy", server.url)
        async with Streams(connect_timeout=5) as streams:
            await streams.connect("http://hub.example/", 2)
            assert server.connections == 0
            await streams.connect(server.url, 2)  # this machine itself is never asked through a proxy
            await ask(streams, server.url)
            assert server.connections == 2


def test_httpx_comes_without_its_command_line() -> None:
    """And httpx is whole for whoever else wants it."""
    code = (
        "import sys, acestep_fetch.transport.api, httpx; assert httpx.AsyncClient;"
        "print({'rich', 'click', 'pygments'} & set(sys.modules), 'httpx._main' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["set()", "False"]
