"""Byte streams over aiohttp: many HTTP/1.1 connections, nothing decoded, nothing followed, nothing retried.

aiohttp's exceptions end here; `translated` is the one place that names them.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

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
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._session:
            await self._session.close()
            self._session = None

    async def connect(self, url: str, count: int) -> None:
        """See `core.interfaces.Transport.connect`. Nothing is opened where a proxy stands between."""
        if self._session is not None and not _is_proxied(url):
            await asyncio.gather(*(self._connect(self._session, url) for _ in range(count)), return_exceptions=True)

    async def _connect(self, session: aiohttp.ClientSession, url: str) -> None:
        request = aiohttp.ClientRequest("GET", URL(url), loop=asyncio.get_running_loop())
        connector = session.connector
        assert connector is not None
        connection = await connector.connect(request, [], self._timeout)
        connection.release()

    @asynccontextmanager
    async def get(self, request: Request) -> AsyncIterator[Body]:
        """Opens one stream. Leaving the context before the end of the body closes the connection."""
        if self._session is None:
            raise RuntimeError("Streams is used outside of its context")
        with translated():
            reply = await self._session.get(request.url, headers=request.headers, allow_redirects=False)
        try:
            yield _AiohttpBody(reply)
        finally:
            reply.release() if reply.content.at_eof() else reply.close()


class _AiohttpBody:
    def __init__(self, reply: aiohttp.ClientResponse) -> None:
        self._reply = reply
        self.status = reply.status
        self.headers: Mapping[str, str] = {key.lower(): value for key, value in reply.headers.items()}

    async def read(self) -> bytes:
        with translated():
            return await self._reply.content.readany()


def _is_proxied(url: str) -> bool:
    """Whether the environment names a proxy for `url`, by the same rules as aiohttp's ``trust_env``."""
    try:
        parts = urlsplit(url)
    except ValueError:  # not an address at all, which is for the request to find out
        return False
    return parts.scheme in getproxies() and not proxy_bypass(parts.hostname or "")


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
