"""Byte streams over aiohttp: many HTTP/1.1 connections, nothing decoded, nothing followed, nothing retried.

aiohttp's exceptions end here; `translated` is the one place that names them.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from types import SimpleNamespace, TracebackType
from typing import Final, Self

import aiohttp

from acestep_fetch import __version__
from acestep_fetch.core.errors import Failure, SourceError
from acestep_fetch.core.interfaces import Body, Request

READ_BUFFER: Final = 256 * 1024  # bytes a connection may hold before it stops reading from its socket
KEEP_ALIVE: Final = 15.0


class Streams:
    """The `Transport` of the product. Use as an async context manager; all connections end with it.

    `connect_timeout` is in seconds. Silence after that is the engine's to judge.
    """

    def __init__(self, *, connect_timeout: float) -> None:
        self._timeout = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=connect_timeout, sock_read=None)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE, happy_eyeballs_delay=0.25)
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=self._timeout,
            auto_decompress=False,
            trust_env=True,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": f"acestep-fetch/{__version__}", "Accept-Encoding": "identity"},
            read_bufsize=READ_BUFFER,
            trace_configs=[_setup_times()],
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._session:
            await self._session.close()
            self._session = None

    @asynccontextmanager
    async def get(self, request: Request) -> AsyncIterator[Body]:
        """Opens one stream. Leaving the context before the end of the body closes the connection."""
        if self._session is None:
            raise RuntimeError("Streams is used outside of its context")
        timing = _Timing()
        with translated():
            reply = await self._session.get(
                request.url, headers=request.headers, allow_redirects=False, trace_request_ctx=timing
            )
        try:
            yield _AiohttpBody(reply, timing.setup)
        finally:
            reply.release() if reply.content.at_eof() else reply.close()


@dataclass(slots=True)
class _Timing:
    """Of one request. `setup` is None while no connection was made for it."""

    began: float = 0.0
    setup: float | None = None


def _setup_times() -> aiohttp.TraceConfig:
    """Fills in the `_Timing` that each request carries."""
    clock = time.monotonic

    async def begin(session: object, context: SimpleNamespace, params: object) -> None:
        context.trace_request_ctx.began = clock()

    async def end(session: object, context: SimpleNamespace, params: object) -> None:
        context.trace_request_ctx.setup = clock() - context.trace_request_ctx.began

    trace = aiohttp.TraceConfig()
    trace.on_connection_create_start.append(begin)
    trace.on_dns_resolvehost_end.append(begin)  # looking up the name tells nothing about the link
    trace.on_connection_create_end.append(end)
    return trace


class _AiohttpBody:
    def __init__(self, reply: aiohttp.ClientResponse, setup: float | None) -> None:
        self._reply, self.setup = reply, setup
        self.status = reply.status
        self.headers: Mapping[str, str] = {key.lower(): value for key, value in reply.headers.items()}

    async def read(self) -> bytes:
        with translated():
            return await self._reply.content.readany()


@contextmanager
def translated() -> Iterator[None]:
    """aiohttp's exceptions as `SourceError`; messages name no URL, which may be signed."""
    try:
        yield
    except aiohttp.ClientPayloadError as exc:
        raise SourceError(Failure.SHORT, "the body ended early") from exc
    except (aiohttp.InvalidURL, UnicodeError) as exc:
        raise SourceError(Failure.WRONG_REPLY, "not a URL that can be fetched") from exc
    except (aiohttp.ClientResponseError, aiohttp.http.HttpProcessingError) as exc:
        raise SourceError(Failure.WRONG_REPLY, "not an HTTP reply") from exc
    except (aiohttp.ClientConnectorCertificateError, ssl.SSLError) as exc:
        raise SourceError(Failure.UNREACHABLE, "TLS: the certificate is not trusted") from exc
    except aiohttp.ClientConnectorError as exc:
        raise SourceError(Failure.UNREACHABLE, _plain(exc.os_error)) from exc
    except (aiohttp.ClientError, OSError) as exc:
        raise SourceError(Failure.UNREACHABLE, _plain(exc)) from exc


def _plain(exc: BaseException) -> str:
    if isinstance(exc, (TimeoutError, asyncio.TimeoutError)):
        return "no answer in time"
    if isinstance(exc, OSError) and exc.errno and exc.errno > 0:  # those of DNS are negative
        return os.strerror(exc.errno)
    if isinstance(exc, OSError) and exc.strerror:
        return exc.strerror
    return {"ServerDisconnectedError": "the server closed the connection"}.get(type(exc).__name__, type(exc).__name__)
