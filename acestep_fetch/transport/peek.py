"""A look at the way to a host: how long each step takes, and who has signed the certificate that is shown.

It goes where a run would go, through the same proxies, but trusts whatever certificate is shown, because the one that
a run would refuse is the one that people have to see. So nothing secret is sent, and nothing that comes back is used.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self
from urllib.parse import urlsplit

from acestep_fetch.core.errors import SourceError
from acestep_fetch.transport.api import USER_AGENT, translated
from acestep_fetch.transport.hush import hushed
from acestep_fetch.transport.lean import httpx
from acestep_fetch.transport.proxies import Proxies
from acestep_fetch.transport.ways import Ways

_ORGANISATION: Final = bytes.fromhex("0603 55040a")
_COMMON_NAME: Final = bytes.fromhex("0603 550403")


@dataclass(slots=True)
class Steps:
    """Seconds that each step took; None for one that was not reached, or is not there. `error` ended it."""

    proxy: str = ""  # its place, where one stands between
    lookup: float | None = None
    addresses: tuple[str, ...] = ()
    connect: float | None = None
    secure: float | None = None
    answer: float | None = None
    issuer: str = ""
    error: SourceError | None = None


class Peeking:
    """Looks at hosts. An async context manager that owns its connections."""

    def __init__(self, proxies: Proxies, trust: ssl.SSLContext) -> None:
        self._proxies = proxies
        self._client = httpx.AsyncClient(
            transport=Ways(proxies, _credulous(), trust), trust_env=False, headers={"User-Agent": USER_AGENT}
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._client.aclose()

    async def look(self, url: str, seconds: float) -> Steps:
        """The steps to `url`'s host, as far as they went in so much time. Raises nothing of the network's."""
        steps = Steps()
        parts = urlsplit(url)
        try:
            with translated(url), hushed():
                async with asyncio.timeout(seconds):
                    await self._look_up(parts.hostname or "", parts.port or 443, url, steps)
                    await self._ask(f"{parts.scheme}://{parts.netloc}/", seconds, steps)
        except SourceError as error:
            steps.error = error
        return steps

    async def _look_up(self, host: str, port: int, url: str, steps: Steps) -> None:
        if proxy := await self._proxies.find(url):
            steps.proxy, host, port = proxy.place, proxy.host, proxy.port
        began = time.monotonic()
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=1)
        steps.lookup = time.monotonic() - began
        steps.addresses = tuple(dict.fromkeys(str(each[4][0]) for each in found))

    async def _ask(self, url: str, seconds: float, steps: Steps) -> None:
        watch = _Watch(steps)
        limits = httpx.Timeout(seconds)
        async with self._client.stream("HEAD", url, timeout=limits, extensions={"trace": watch.hear}) as reply:
            if stream := reply.extensions.get("network_stream"):
                watch.certificate(stream)


class _Watch:
    """Hears of httpcore's steps."""

    def __init__(self, steps: Steps) -> None:
        self._steps, self._began = steps, time.monotonic()

    async def hear(self, event: str, info: Mapping[str, Any]) -> None:
        step = event.partition(".")[2]
        if step.endswith(".started"):
            self._began = time.monotonic()
            return
        took = time.monotonic() - self._began
        if step == "connect_tcp.complete":
            self._steps.connect = took
        elif step == "start_tls.complete":
            self._steps.secure = took
            self.certificate(info.get("return_value"))
        elif step == "receive_response_headers.complete":
            self._steps.answer = took

    def certificate(self, stream: Any) -> None:
        tls = stream.get_extra_info("ssl_object") if stream else None
        if isinstance(tls, (ssl.SSLObject, ssl.SSLSocket)) and (der := tls.getpeercert(binary_form=True)):
            self._steps.issuer = issuer_of(der)


def _credulous() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context


def issuer_of(der: bytes) -> str:
    """Who has signed a certificate, as ``Organisation, Common Name``; "" where it cannot be read.

    Python tells the names only of a certificate that it has verified.
    """
    try:
        certificate = _content(der)
        fields = list(_values(_content(certificate)))
        if fields[0][0] == 0xA0:  # the version, which the oldest ones do not have
            fields.pop(0)
        names = dict[bytes, str]()
        for _, pair in ((tag, inner) for _, each in _values(fields[2][1]) for tag, inner in _values(each)):
            (_, kind), (_, text) = _values(pair)
            names.setdefault(kind, text.decode("utf-8", "replace"))
    except (IndexError, ValueError):  # not a certificate
        return ""
    found = [names.get(kind[2:], "") for kind in (_ORGANISATION, _COMMON_NAME)]
    return ", ".join(dict.fromkeys(each for each in found if each))


def _content(data: bytes) -> bytes:
    """The content of the first value. Raises `IndexError` where there is none."""
    return next(_values(data), (0, b""))[1]


def _values(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The values of a DER sequence: tag and content. Raises `IndexError` where it is cut short."""
    at = 0
    while at < len(data):
        tag, length, at = data[at], data[at + 1], at + 2
        if length & 0x80:
            count = length & 0x7F
            length, at = int.from_bytes(data[at : at + count], "big"), at + count
        if at + length > len(data):
            raise IndexError("cut short")
        yield tag, data[at : at + length]
        at += length
