"""Connections through SOCKS5 proxies, for both HTTP libraries. Imported only where the environment names such a proxy.

The proxy looks up the names, whether it is called socks5 or socks5h: where people need one, the names that this machine
would find are often wrong. httpx's own SOCKS support is not used: it has no deadline for the proxy's answers, and falls
over those that are cut short.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import httpcore
import python_socks
from aiohttp_socks import ProxyConnectionError, ProxyConnector, ProxyError, ProxyTimeoutError
from python_socks.async_.asyncio.v2 import Proxy as Dialler

from acestep_fetch.core.errors import Failure, SourceError
from acestep_fetch.transport.causes import system_text
from acestep_fetch.transport.proxies import Proxy

if TYPE_CHECKING:
    from python_socks.async_.asyncio.v2._stream import AsyncioSocketStream

_AGAINST_THE_RULES: Final = 2
_KIND: Final = "is it a SOCKS5 proxy? Others are written http://HOST:PORT"


def connector(proxy: Proxy, **settings: Any) -> ProxyConnector:
    """aiohttp's connector; `settings` are those of `aiohttp.TCPConnector`."""
    return ProxyConnector(proxy.host, proxy.port, username=proxy.user, password=proxy.password, rdns=True, **settings)


@contextmanager
def translated(proxy: Proxy, host: str) -> Iterator[None]:
    """The libraries' exceptions as `SourceError`; theirs hold no password."""
    try:
        yield
    except (python_socks.ProxyError, ProxyError) as exc:
        raise _refusal(proxy, host, exc) from exc
    except (python_socks.ProxyTimeoutError, ProxyTimeoutError) as exc:
        raise proxy.silent(host) from exc
    except (python_socks.ProxyConnectionError, ProxyConnectionError) as exc:
        raise proxy.unreachable(system_text(exc) or "no connection") from exc


def _refusal(proxy: Proxy, host: str, exc: python_socks.ProxyError | ProxyError) -> SourceError:
    """A reply code (RFC 1928, 6) is about the host, but for 2, which is about rules; what has none is about logging in,
    or a proxy that breaks off or speaks something else."""
    said = str(exc)
    if exc.error_code == _AGAINST_THE_RULES:
        return proxy.refusal(host)
    if exc.error_code is not None:
        return proxy.cannot_reach(host, said)
    if "authentication" in said:
        return proxy.wants_login()
    return SourceError(Failure.UNREACHABLE, f"the proxy {proxy.place} broke off or does not speak SOCKS5", hint=_KIND)


class Network(httpcore.AsyncNetworkBackend):
    """Dials through the proxy. Raises `SourceError` where that fails: the libraries above let it pass."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        proxy = self._proxy
        dialler = Dialler(python_socks.ProxyType.SOCKS5, proxy.host, proxy.port, proxy.user, proxy.password, rdns=True)
        with translated(proxy, host):
            return _Stream(await dialler.connect(host, port, timeout=timeout))

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _Stream(httpcore.AsyncNetworkStream):
    """A dialled connection as httpcore wants it."""

    def __init__(self, stream: AsyncioSocketStream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with _told(httpcore.ReadTimeout, httpcore.ReadError):
            async with asyncio.timeout(timeout):
                return await self._stream.reader.read(max_bytes)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        with _told(httpcore.WriteTimeout, httpcore.WriteError):
            async with asyncio.timeout(timeout):
                await self._stream.write(buffer)

    async def aclose(self) -> None:
        """Without a farewell, which a dead peer would have us wait for."""
        self._stream.writer.transport.abort()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        try:
            with _told(httpcore.ConnectTimeout, httpcore.ConnectError):
                async with asyncio.timeout(timeout):
                    return _Stream(await self._stream.start_tls(server_hostname or "", ssl_context))
        except BaseException:
            await self.aclose()
            raise

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":  # while nothing is asked: whether it has ended
            return self._stream.reader.at_eof() or self._stream.writer.is_closing()
        return self._stream.writer.get_extra_info(info)


@contextmanager
def _told(late: type[Exception], broken: type[Exception]) -> Iterator[None]:
    """The system's exceptions as httpcore's."""
    try:
        yield
    except TimeoutError as exc:
        raise late("") from exc
    except OSError as exc:  # ssl.SSLError is one
        raise broken(str(exc)) from exc
