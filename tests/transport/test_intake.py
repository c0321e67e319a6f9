"""Bodies that go from the socket into memory: whole, cut, too long, over TLS; and the connection afterwards."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from acestep_fetch.core.errors import Failure, SourceError
from acestep_fetch.core.interfaces import Request
from acestep_fetch.transport.intake import MOST_COLLECTED
from acestep_fetch.transport.streams import Streams

BODY = bytes(range(256)) * 8192  # 2 MiB: more than any buffer on the way
Reply = Callable[[asyncio.StreamWriter], Awaitable[None] | None]


class Server:
    """Answers each request with what `reply` writes, and counts connections."""

    def __init__(self, reply: Reply) -> None:
        self.reply, self.connections = reply, 0
        self.tasks = set[asyncio.Task[None]]()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task: asyncio.Task[None] | None = asyncio.current_task()
        assert task
        self.tasks.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while await reader.readuntil(b"\r\n\r\n"):
                    if pending := self.reply(writer):
                        await pending
                    await writer.drain()
        finally:
            writer.transport.abort()


@asynccontextmanager
async def serving(reply: Reply, context: ssl.SSLContext | None = None) -> AsyncIterator[tuple[Server, str]]:
    answers = Server(reply)
    server = await asyncio.start_server(answers.serve, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    try:
        yield answers, f"{'https' if context else 'http'}://127.0.0.1:{port}/"
    finally:
        server.close()
        for task in answers.tasks:
            task.cancel()
        await asyncio.gather(*answers.tasks, return_exceptions=True)
        for _ in range(5):  # what was aborted says so to its protocols
            await asyncio.sleep(0)


def whole(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY)


async def filled(streams: Streams, url: str, size: int, *, enough: int = 1 << 40) -> tuple[bytes, list[int]]:
    """The body, read through a buffer of `size` bytes until `enough` of it are there, and the sizes of the fills."""
    got, fills, seen = bytearray(), list[int](), 0

    def arrived(count: int) -> bool:
        nonlocal seen
        seen += count
        return seen < enough

    async with streams.get(Request(url)) as body:
        buffer = memoryview(bytearray(size))
        while seen < enough and (count := await body.fill(buffer, arrived)):
            got += buffer[:count]
            fills.append(count)
    assert seen == len(got)
    return bytes(got), fills


@pytest.mark.parametrize("size", [1000, 65536, 1 << 20, len(BODY), 1 << 22])
async def test_a_body_arrives_whole_and_its_connection_serves_the_next(size: int) -> None:
    async with serving(whole) as (server, url), Streams(connect_timeout=5) as streams:
        for _ in range(3):
            got, fills = await filled(streams, url, size)
            assert got == BODY
            assert all(count == size for count in fills[:-1])  # nobody is woken before the buffer is full
        assert server.connections == 1


async def test_enough_is_enough_and_ends_the_connection() -> None:
    async with serving(whole) as (server, url), Streams(connect_timeout=5) as streams:
        got, _ = await filled(streams, url, 1 << 20, enough=100_000)
        assert 100_000 <= len(got) < len(BODY)
        assert BODY.startswith(got)
        assert (await filled(streams, url, 1 << 20))[0] == BODY
        assert server.connections == 2


async def test_a_body_that_ends_early_is_an_error_after_its_bytes() -> None:
    def short(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY[:-5])
        writer.write_eof()

    seen = list[int]()

    def arrived(count: int) -> bool:
        seen.append(count)
        return True

    async with serving(short) as (_, url), Streams(connect_timeout=5) as streams, streams.get(Request(url)) as body:
        buffer = memoryview(bytearray(len(BODY)))
        with pytest.raises(SourceError) as caught:
            await body.fill(buffer, arrived)
        assert caught.value.failure is Failure.SHORT
        assert sum(seen) == len(BODY) - 5
        assert buffer[: sum(seen)] == BODY[:-5]
        with pytest.raises(SourceError):
            await body.fill(buffer, arrived)


async def test_more_than_was_announced_does_not_reach_the_next_reader() -> None:
    def long(writer: asyncio.StreamWriter) -> None:
        whole(writer)
        writer.write(b"surplus")

    async with serving(long) as (_, url), Streams(connect_timeout=5) as streams:
        for _ in range(2):
            with suppress(SourceError):  # the connection is not fit for another request
                assert (await filled(streams, url, 1 << 20))[0] == BODY


async def test_a_body_of_unknown_length_comes_the_ordinary_way() -> None:
    def chunked(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for at in range(0, len(BODY), 100_000):
            piece = BODY[at : at + 100_000]
            writer.write(b"%x\r\n" % len(piece) + piece + b"\r\n")
        writer.write(b"0\r\n\r\n")

    async with serving(chunked) as (server, url), Streams(connect_timeout=5) as streams:
        for _ in range(2):
            assert (await filled(streams, url, 1 << 20))[0] == BODY
        assert server.connections == 1


async def test_a_slow_end_is_not_waited_for_by_the_kernel() -> None:
    """A body that was fast: what is collected before a wake-up must never be more than what is left."""
    total = len(BODY) * 4

    async def trickle(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        fast = total - MOST_COLLECTED - 1000
        writer.write((BODY * 4)[:fast])
        await writer.drain()
        for at in range(fast, total, 10_000):
            writer.write((BODY * 4)[at : min(total, at + 10_000)])
            await asyncio.sleep(0.002)

    async with asyncio.timeout(20), serving(trickle) as (_, url), Streams(connect_timeout=5) as streams:
        assert (await filled(streams, url, 1 << 20))[0] == BODY * 4


def certified(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A new certificate for this machine, and a server's context with it."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=127.0.0.1 -addext"
    subprocess.run(
        [*make.split(), "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return certificate, context


async def test_over_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, context = certified(tmp_path)
    trusting = ssl.create_default_context(cafile=str(certificate))
    monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", trusting)  # made when aiohttp is imported
    async with serving(whole, context) as (server, url), Streams(connect_timeout=5) as streams:
        for size in (10_000, 1 << 20, 1 << 22):
            assert (await filled(streams, url, size))[0] == BODY
        assert server.connections == 1
        assert len((await filled(streams, url, 1 << 20, enough=100_000))[0]) >= 100_000


async def test_a_certificate_that_is_not_trusted_is_said_to_be_one(tmp_path: Path) -> None:
    _, context = certified(tmp_path)
    async with serving(whole, context) as (_, url), Streams(connect_timeout=5) as streams:
        with pytest.raises(SourceError, match="certificate is not trusted: self-signed certificate") as caught:
            await filled(streams, url, 1000)
        assert caught.value.failure is Failure.UNTRUSTED
        assert "--ca-bundle" in (caught.value.hint or "")
