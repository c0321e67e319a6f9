"""Byte streams over aiohttp: many HTTP/1.1 connections, nothing decoded, nothing followed, nothing retried.

aiohttp's exceptions end here; `translated` is the one place that names them.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from importlib import import_module
from types import SimpleNamespace, TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import aiohttp
from aiohttp.tracing import Trace
from yarl import URL

from acestep_fetch import __version__
from acestep_fetch.core.errors import Failure, SourceError
from acestep_fetch.core.interfaces import Body, Request
from acestep_fetch.core.pacing import Newcomer
from acestep_fetch.transport.causes import system_text
from acestep_fetch.transport.hush import hushed
from acestep_fetch.transport.intake import Arrived, Intake, take_over
from acestep_fetch.transport.proxies import Proxies, Proxy
from acestep_fetch.transport.trust import tls_error

READ_BUFFER: Final = 256 * 1024  # bytes a connection may hold before it stops reading from its socket
KEEP_ALIVE: Final = 15.0
_NEARLY_THERE: Final = 1.0  # seconds that a connection begun ahead is waited for


class Streams:
    """The `Transport` of the product. Use as an async context manager; all connections end with it.

    `connect_timeout` is in seconds. Silence after that is the engine's to judge. `trust` (None: the system's) says
    which certificates are believed, `proxies` (None: the environment's) by what way each host is reached.
    """

    def __init__(
        self, *, connect_timeout: float, trust: ssl.SSLContext | None = None, proxies: Proxies | None = None
    ) -> None:
        self._timeout = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=connect_timeout, sock_read=None)
        self._connector: dict[str, Any] = {"ssl": trust or True, "limit": 0, "keepalive_timeout": KEEP_ALIVE}
        self._proxies = proxies or Proxies.from_environment()
        self._session: aiohttp.ClientSession | None = None
        self._socks = dict[Proxy, aiohttp.ClientSession]()
        self._least = dict[URL, float]()  # seconds of the quickest set-up of a connection, by origin
        self._ahead = defaultdict[URL, deque[asyncio.Task[None]]](deque)  # connections for requests to come, by origin
        self._trace = _setup_times()

    async def __aenter__(self) -> Self:
        self._session = self._new_session(aiohttp.TCPConnector(**self._connector, happy_eyeballs_delay=0.25))
        return self

    def _new_session(self, connector: aiohttp.BaseConnector) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=connector,
            timeout=self._timeout,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": f"acestep-fetch/{__version__}", "Accept-Encoding": "identity"},
            read_bufsize=READ_BUFFER,
            trace_configs=[self._trace],
        )

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._session:
            for session in (self._session, *self._socks.values()):
                await session.close()
            self._session = None

    async def connect(self, url: str, count: int) -> None:
        """See `core.interfaces.Transport.connect`. Nothing is opened where a proxy stands between."""
        try:
            origin, proxied = URL(url).origin(), bool(await self._proxies.find(url))
        except ValueError:  # not an address at all, which is for the request to find out
            return
        if self._session is not None and not proxied:
            connecting = [asyncio.create_task(self._connect(self._session, url)) for _ in range(count)]
            self._ahead[origin].extend(connecting)
            await asyncio.gather(*connecting, return_exceptions=True)

    async def _connect(self, session: aiohttp.ClientSession, url: str) -> None:
        request = aiohttp.ClientRequest("GET", URL(url), loop=asyncio.get_running_loop())
        connector = session.connector
        assert connector is not None
        timing = _Timing()
        trace = Trace(session, self._trace, self._trace.trace_config_ctx(timing))
        connection = await connector.connect(request, [trace], self._timeout)
        self._setup(URL(url), timing)
        connection.release()

    async def _taken_up(self, url: URL) -> None:
        """Returns when a connection that was begun ahead is there for this request, which would begin its own if it
        went before."""
        if ahead := self._ahead.get(url.origin()):
            await asyncio.wait([ahead.popleft()], timeout=_NEARLY_THERE)

    def _setup(self, url: URL, timing: _Timing) -> Newcomer | None:
        if timing.setup is None:
            return None
        origin = url.origin()
        self._least[origin] = least = min(timing.setup, self._least.get(origin, timing.setup))
        return Newcomer(timing.setup, least)

    async def _session_for(self, proxy: Proxy | None) -> aiohttp.ClientSession:
        """A SOCKS proxy has a connector, and so a session, of its own."""
        if self._session is None:
            raise RuntimeError("Streams is used outside of its context")
        if proxy is None or proxy.scheme != "socks5":
            return self._session
        if proxy not in self._socks:
            socks = await asyncio.to_thread(import_module, "acestep_fetch.transport.socks")
            if proxy not in self._socks:
                self._socks[proxy] = self._new_session(socks.connector(proxy, **self._connector))
        return self._socks[proxy]

    @asynccontextmanager
    async def get(self, request: Request) -> AsyncIterator[Body]:
        """Opens one stream. Leaving the context before the end of the body closes the connection."""
        timing = _Timing()
        with translated(request.url), hushed():
            proxy = await self._proxies.find(request.url)
            session = await self._session_for(proxy)
            url = URL(request.url)
            await self._taken_up(url)
            with refusals(proxy, url.host or ""):
                reply = await session.get(
                    url, allow_redirects=False, trace_request_ctx=timing, **_through(proxy, request)
                )
        if proxy and reply.status == 407:
            reply.close()
            raise proxy.wants_login()
        body = _AiohttpBody(reply, self._setup(url, timing))
        try:
            yield body
        finally:
            body.close()


def _through(proxy: Proxy | None, request: Request) -> dict[str, Any]:
    """What aiohttp is told of the request's headers, and of an HTTP proxy: its login is for the proxy's own ears, so it
    is in the request only where the proxy is whom we ask.

    aiohttp's `trust_env` would look for the proxy, and into ``.netrc``, in two visits to a thread for every request,
    know nothing of ``ALL_PROXY``, and fail where it finds credentials beside our own.
    """
    if proxy is None or proxy.scheme == "socks5":
        return {"headers": request.headers}
    told, login = {"proxy": URL(proxy.url), "headers": request.headers}, proxy.login
    if login and request.url.startswith("https:"):
        return {**told, "proxy_headers": login}
    return {**told, "headers": {**request.headers, **login}}


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
    """A reply of aiohttp's. `read` and `fill` are not to be mixed."""

    def __init__(self, reply: aiohttp.ClientResponse, setup: Newcomer | None) -> None:
        self._reply, self.setup = reply, setup
        self.status = reply.status
        self.headers: Mapping[str, str] = {key.lower(): value for key, value in reply.headers.items()}
        self._early: deque[memoryview] | None = None  # what arrived before anybody asked; None: nobody has yet
        self._intake: Intake | None = None

    def close(self) -> None:
        """Lets the connection be used again where the body has been read to its end; ends it otherwise."""
        if self._intake and self._intake.left:
            self._intake.abort()  # at once: TLS would go on reading for its farewell
        if self._reply.content.at_eof():
            self._reply.release()
        else:
            self._reply.close()

    async def read(self) -> bytes:
        with translated():
            return await self._reply.content.readany()

    async def fill(self, buffer: memoryview, arrived: Arrived) -> int:
        if self._early is None:
            with translated():
                early, self._intake = take_over(self._reply)
            self._early = deque(memoryview(chunk) for chunk in early)
        filled, goes_on = self._from_early(buffer, arrived)
        if goes_on and filled < len(buffer) and self._intake and self._intake.left:
            filled += await self._intake.fill(buffer[filled:], arrived)
        elif goes_on and not self._intake:
            while goes_on and filled < len(buffer) and (chunk := await self.read()):
                self._early.append(memoryview(chunk))
                more, goes_on = self._from_early(buffer[filled:], arrived)
                filled += more
        return filled

    def _from_early(self, buffer: memoryview, arrived: Arrived) -> tuple[int, bool]:
        filled, goes_on = 0, True
        while self._early and goes_on and filled < len(buffer):
            chunk = self._early.popleft()
            count = min(len(chunk), len(buffer) - filled)
            buffer[filled : filled + count] = chunk[:count]
            if count < len(chunk):
                self._early.appendleft(chunk[count:])
            filled += count
            goes_on = arrived(count)
        return filled, goes_on


@contextmanager
def refusals(proxy: Proxy | None, host: str) -> Iterator[None]:
    """What went wrong at or before the proxy on the way to `host`."""
    if proxy is None:
        yield
    elif proxy.scheme == "socks5":
        socks = import_module("acestep_fetch.transport.socks")
        with socks.translated(proxy, host):
            yield
    else:
        try:
            yield
        except aiohttp.ClientHttpProxyError as exc:
            raise proxy.refusal(host, exc.status) from exc
        except aiohttp.ClientProxyConnectionError as exc:
            raise proxy.unreachable(_plain(exc.os_error)) from exc


@contextmanager
def translated(url: str = "") -> Iterator[None]:
    """aiohttp's exceptions as `SourceError`; messages name no URL, which may be signed."""
    try:
        yield
    except aiohttp.ClientPayloadError as exc:
        raise SourceError(Failure.SHORT, "the body ended early") from exc
    except (aiohttp.ClientResponseError, aiohttp.http.HttpProcessingError) as exc:
        raise SourceError(Failure.WRONG_REPLY, "not an HTTP reply") from exc
    except (aiohttp.ClientConnectorCertificateError, ssl.SSLError) as exc:
        raise _of_tls(exc, url) from exc
    except aiohttp.ClientConnectorError as exc:
        raise SourceError(Failure.UNREACHABLE, _plain(exc.os_error)) from exc
    except ValueError as exc:  # aiohttp.InvalidURL, and what yarl and the codecs raise; but TLS's are ValueErrors too
        raise SourceError(Failure.WRONG_REPLY, "not a URL that can be fetched") from exc
    except (aiohttp.ClientError, OSError) as exc:
        raise SourceError(Failure.UNREACHABLE, _plain(exc)) from exc


def _of_tls(exc: Exception, url: str) -> SourceError:
    host = urlsplit(url).hostname or "TLS"
    return tls_error(exc, host) or SourceError(Failure.UNREACHABLE, f"{host}: TLS failed")


def _plain(exc: BaseException) -> str:
    if isinstance(exc, (TimeoutError, asyncio.TimeoutError)):
        return "no answer in time"
    if said := system_text(exc):
        return said
    return {"ServerDisconnectedError": "the server closed the connection"}.get(type(exc).__name__, type(exc).__name__)
