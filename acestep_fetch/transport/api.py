"""Whole small replies from the hubs' APIs, on httpx.

Redirects are followed by hand: credentials leave this module for the origin they were given for and for no other,
and nothing goes from https to http. httpx's exceptions stop here (`translated`); no message holds a query string,
because queries carry cursors and signatures, nor httpx's own text where that could quote a header.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from importlib import import_module
from pathlib import Path
from typing import Final, Self

from acestep_fetch import __version__
from acestep_fetch.core.errors import Failure, SourceError
from acestep_fetch.core.interfaces import ApiReply
from acestep_fetch.core.secrecy import repeats, without_echo
from acestep_fetch.transport.causes import system_text
from acestep_fetch.transport.hush import hushed
from acestep_fetch.transport.lean import httpx
from acestep_fetch.transport.proxies import Proxies
from acestep_fetch.transport.trust import tls_error, trust

USER_AGENT: Final = f"acestep-fetch/{__version__}"
LARGEST_BODY: Final = 64 * 1024 * 1024
MOST_REDIRECTS: Final = 10

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_CREDENTIALS: Final = frozenset({"authorization", "cookie"})

# The first class that matches decides. Texts of our own where httpx's could quote a header or a URL.
_MEANINGS: Final[tuple[tuple[type[Exception], Failure, str | None], ...]] = (
    (httpx.ConnectTimeout, Failure.UNREACHABLE, "no connection in time"),
    (httpx.PoolTimeout, Failure.UNREACHABLE, "no free connection in time"),
    (httpx.TimeoutException, Failure.STALLED, "no answer in time"),
    (httpx.ConnectError, Failure.UNREACHABLE, None),
    (httpx.NetworkError, Failure.UNREACHABLE, "the connection broke"),
    (httpx.LocalProtocolError, Failure.WRONG_REPLY, "the request cannot be sent"),
    (httpx.ProtocolError, Failure.UNREACHABLE, "the server broke off or does not speak HTTP"),
    (httpx.ProxyError, Failure.UNREACHABLE, "the proxy refuses"),
    (httpx.UnsupportedProtocol, Failure.WRONG_REPLY, "not an http or https address"),
    (httpx.TransportError, Failure.UNREACHABLE, "the connection failed"),
    (httpx.DecodingError, Failure.WRONG_REPLY, "the reply cannot be decompressed"),
    (httpx.TooManyRedirects, Failure.WRONG_REPLY, "too many redirects"),
    (httpx.HTTPError, Failure.WRONG_REPLY, "the request failed"),
    (httpx.InvalidURL, Failure.WRONG_REPLY, "not a usable address"),
    (TimeoutError, Failure.STALLED, "no answer in time"),
    (OSError, Failure.UNREACHABLE, "the connection failed"),
)


class HttpxApi:
    """`core.interfaces.Api` on one `httpx.AsyncClient`; an async context manager that owns it.

    Certificates are believed by the word of `ca_bundle`, or of the environment (see `transport.trust`), and the
    environment's proxies are used (`transport.proxies`): `trust` and `proxies` are there for others to use too.
    No cookie that a server sets is kept. `http` stands in for the network in tests.
    """

    trust: ssl.SSLContext
    proxies: Proxies

    def __init__(
        self,
        *,
        timeout: float = 30.0,
        connect_timeout: float = 10.0,
        largest_body: int = LARGEST_BODY,
        ca_bundle: Path | None = None,
        http: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._largest_body = largest_body
        self._ca_bundle = ca_bundle
        self._http = http
        self._client: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        """Raises `UsageError` for a proxy or certificates that cannot be used."""
        self.proxies = Proxies.from_environment()
        trusting = asyncio.create_task(asyncio.to_thread(trust, self._ca_bundle))  # reads some 150 certificates
        await asyncio.sleep(0)  # so that it has begun
        ways = import_module("acestep_fetch.transport.ways")  # which imports httpcore, meanwhile
        self.trust = await trusting
        self._client = httpx.AsyncClient(
            transport=self._http or ways.Ways(self.proxies, self.trust),
            trust_env=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            headers={"User-Agent": USER_AGENT, "Accept": "application/json", "Accept-Encoding": "gzip, deflate"},
            follow_redirects=False,
        )
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def get(
        self,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> ApiReply:
        """Any HTTP status is a reply. `timeout` bounds the whole exchange, redirects and body included.

        Raises `SourceError`: no reply, a body above the limit, or a redirect that must not be followed.
        """
        seconds = self._timeout if timeout is None else timeout
        try:
            with translated(url), hushed():
                async with asyncio.timeout(seconds):
                    return await self._follow(_with_params(url, params), dict(headers or {}), seconds)
        except SourceError as error:
            if error.failure is Failure.STALLED and (proxy := await self.proxies.find(url)):
                raise proxy.stalled(error.message) from error  # whose silence it is nobody knows
            raise

    async def _follow(self, url: httpx.URL, headers: dict[str, str], seconds: float) -> ApiReply:
        for _ in range(MOST_REDIRECTS + 1):
            reply = await self._ask(url, headers, seconds)
            target = reply.headers.get("location")
            if reply.status not in _REDIRECTS or not target:
                return reply
            url, headers = _next_hop(url, target, headers)
        raise SourceError(Failure.WRONG_REPLY, f"{place(str(url))}: more than {MOST_REDIRECTS} redirects")

    async def _ask(self, url: httpx.URL, headers: Mapping[str, str], seconds: float) -> ApiReply:
        if self._client is None:
            raise RuntimeError("HttpxApi is used outside its context")
        if (url.port or 0) > 65535:  # httpx leaves it to the system, which calls it an overflow
            raise httpx.InvalidURL("no such port")
        limits = httpx.Timeout(seconds, connect=min(seconds, self._connect_timeout))
        async with self._client.stream("GET", url, headers=dict(headers), timeout=limits) as response:
            lowered = {name.lower(): value for name, value in response.headers.items()}
            body = without_echo(await self._body(response), headers)
            return ApiReply(response.status_code, lowered, body, str(url))

    async def _body(self, response: httpx.Response) -> bytes:
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > self._largest_body:
                where = place(str(response.url))
                raise SourceError(Failure.WRONG_REPLY, f"{where}: the reply is longer than {self._largest_body} bytes")
        return bytes(body)


def place(url: str) -> str:
    """What a message may say about `url`: host and path; never a query, never user and password."""
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL:
        return "an address"
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.host}{port}{parts.path}"


def _host(url: str) -> str:
    return place(url).partition("/")[0]


@contextmanager
def translated(url: str) -> Iterator[None]:
    """The one place that knows httpx's exceptions."""
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as exc:  # TimeoutError is an OSError
        if told := tls_error(exc, _host(url)):
            raise told from exc
        failure, text = meaning(exc)
        raise SourceError(failure, f"{place(url)}: {text}") from exc


def meaning(exc: Exception) -> tuple[Failure, str]:
    """What an exception of httpx or the system says about the source."""
    for kind, failure, text in _MEANINGS:
        if isinstance(exc, kind):
            return failure, text if text is not None else system_text(exc) or str(exc) or kind.__name__
    raise TypeError(f"{type(exc).__name__} is not about the network") from exc


def _with_params(url: str, params: Mapping[str, str] | None) -> httpx.URL:
    return httpx.URL(url).copy_merge_params(dict(params)) if params else httpx.URL(url)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)


def _next_hop(url: httpx.URL, target: str, headers: dict[str, str]) -> tuple[httpx.URL, dict[str, str]]:
    """Where a redirect leads, and the headers that may go there."""
    following = url.join(target)
    if _origin(following) == _origin(url):
        return following, headers
    if following.scheme not in ("http", "https") or (url.scheme, following.scheme) == ("https", "http"):
        raise SourceError(Failure.WRONG_REPLY, f"{place(str(url))}: redirected to an unsafe address")
    if repeats(str(following), headers):
        raise SourceError(Failure.WRONG_REPLY, f"{place(str(url))}: redirected with our credentials to another host")
    kept = {name: value for name, value in headers.items() if name.lower() not in _CREDENTIALS}
    return following.copy_with(userinfo=b""), kept
