"""The way of httpx to each host: direct, or through the proxy that stands before it.

httpx is used for what it makes of requests and replies; the connections under it are made by httpcore, as httpx itself
would have them made, except that a handshake which is given up closes its connection at once, and SOCKS proxies.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Final

import httpcore

from acestep_fetch.transport.causes import chain, system_text
from acestep_fetch.transport.lean import httpx
from acestep_fetch.transport.proxies import Proxies, Proxy
from acestep_fetch.transport.trust import tls_error

_KEPT: Final[dict[str, Any]] = {"max_connections": 100, "max_keepalive_connections": 20, "keepalive_expiry": 5.0}


class Ways(httpx.AsyncBaseTransport):
    """What a proxy refuses is a `SourceError` that names it. `proxys` are the certificates that proxies are to have,
    where those are not the hosts'."""

    def __init__(self, proxies: Proxies, trust: ssl.SSLContext, proxys: ssl.SSLContext | None = None) -> None:
        self._proxies, self._trust, self._trust_of_proxies = proxies, trust, proxys or trust
        self._open = dict[tuple[Proxy | None, bool], _Way]()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        proxy = await self._proxies.find(str(request.url))
        tunnel = request.url.scheme == "https"
        key = (proxy, tunnel)
        way = self._open.get(key) or self._open.setdefault(key, _Way(await self._pool(proxy, tunnel=tunnel)))
        if proxy is None:
            return await way.handle_async_request(request)
        with _refusals(proxy, request.url.host):
            response = await way.handle_async_request(request)
        if response.status_code == 407:
            await response.aclose()
            raise proxy.wants_login()
        return response

    async def aclose(self) -> None:
        for way in self._open.values():
            await way.aclose()

    async def _pool(self, proxy: Proxy | None, *, tunnel: bool) -> httpcore.AsyncConnectionPool:
        if proxy is None:
            return httpcore.AsyncConnectionPool(self._trust, network_backend=_Network(), **_KEPT)
        if proxy.scheme == "socks5":
            socks = await asyncio.to_thread(import_module, "acestep_fetch.transport.socks")
            return httpcore.AsyncConnectionPool(self._trust, network_backend=socks.Network(proxy), **_KEPT)
        return httpcore.AsyncHTTPProxy(
            proxy.url,
            proxy_headers=[*proxy.login.items()],
            ssl_context=self._trust,
            proxy_ssl_context=self._trust_of_proxies if proxy.scheme == "https" else None,
            network_backend=_Tunnels(proxy) if tunnel else _Network(),
            **_KEPT,
        )


class _Way(httpx.AsyncHTTPTransport):
    """httpx's own transport on a given pool."""

    def __init__(self, pool: httpcore.AsyncConnectionPool) -> None:
        self._pool = pool


@contextmanager
def _refusals(proxy: Proxy, host: str) -> Iterator[None]:
    """What went wrong at or before an HTTP proxy."""
    try:
        yield
    except httpx.ProxyError as exc:
        status = str(exc).partition(" ")[0]
        raise proxy.refusal(host, int(status) if status.isdecimal() else None) from exc
    except httpx.ReadTimeout as exc:
        if any(isinstance(cause, _SilentError) for cause in chain(exc)):
            raise proxy.silent(host) from exc
        raise
    except httpx.ConnectTimeout as exc:
        raise proxy.unreachable("no connection in time") from exc
    except httpx.ConnectError as exc:
        if tls_error(exc, host):
            raise
        raise proxy.unreachable(system_text(exc) or "no connection") from exc


class _SilentError(httpcore.ReadTimeout):
    """No answer to CONNECT."""


class _Network(httpcore.AsyncNetworkBackend):
    """httpcore's own, which tries IPv6 and IPv4 side by side (RFC 8305), with streams that leave nothing open."""

    def __init__(self) -> None:
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        return _Stream(await self._inner.connect_tcp(host, port, timeout, local_address, socket_options))

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


class _Stream(httpcore.AsyncNetworkStream):
    def __init__(self, inner: httpcore.AsyncNetworkStream) -> None:
        self._inner = inner

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return await self._inner.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        try:
            return _Stream(await self._inner.start_tls(ssl_context, server_hostname, timeout))
        except BaseException:  # httpcore forgets about those who are cancelled
            await self._inner.aclose()
            raise

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Tunnels(_Network):
    """To an HTTP proxy that is to open a tunnel: its answer belongs to the connection, and has that one's deadline."""

    def __init__(self, proxy: Proxy) -> None:
        super().__init__()
        self._behind_tls = proxy.scheme == "https"

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        stream = await self._inner.connect_tcp(host, port, timeout, local_address, socket_options)
        return _Knocking(stream, timeout, behind_tls=self._behind_tls)


class _Knocking(_Stream):
    """What is read before the tunnel's own TLS begins is the proxy's answer. One `behind_tls` begins with its own."""

    def __init__(self, inner: httpcore.AsyncNetworkStream, patience: float | None, *, behind_tls: bool) -> None:
        super().__init__(inner)
        self._patience, self._behind_tls = patience, behind_tls

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        waits = [each for each in (timeout, self._patience) if each is not None]
        try:
            return await super().read(max_bytes, min(waits, default=None))
        except httpcore.ReadTimeout as exc:
            raise _SilentError("no answer to CONNECT") from exc

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        secured = await super().start_tls(ssl_context, server_hostname, timeout)
        return _Knocking(secured, self._patience, behind_tls=False) if self._behind_tls else secured
