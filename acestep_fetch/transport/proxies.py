"""Which proxy stands before a host, by the environment's word; one answer for API and byte streams alike.

``http_proxy``, ``https_proxy``, ``all_proxy`` and ``no_proxy`` are read as curl and Python read them: lower case goes
before upper case, an address without a scheme is an HTTP proxy's. Where none is set, the system's settings count
(Windows, macOS). This machine itself is always asked directly. User and password of a proxy are in no message.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, getproxies_environment, proxy_bypass

from acestep_fetch.core.errors import Failure, SourceError, UsageError
from acestep_fetch.core.secrecy import Secret, remember

_SCHEMES: Final = {  # `socks` is what desktops write; who resolves names is no question here: always the proxy
    "http": "http",
    "https": "https",
    "socks": "socks5",
    "socks5": "socks5",
    "socks5h": "socks5",
}
_PORTS: Final = {"http": 80, "https": 443, "socks5": 1080}
_HERE: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_KEYS: Final = ("http", "https", "all")
_SILENT: Final = (
    "does the proxy work in a browser? HTTPS_PROXY, HTTP_PROXY and ALL_PROXY name it, NO_PROXY goes around it"
)
_ITS_WAY: Final = "is the host right, and has the proxy a way to it? NO_PROXY=HOST goes around the proxy"
_HINT: Final = "look at HTTPS_PROXY, HTTP_PROXY and ALL_PROXY: http://, https://, socks5:// and socks5h:// proxies work"


@dataclass(frozen=True, slots=True)
class Proxy:
    """`scheme` is http, https or socks5."""

    scheme: str
    host: str
    port: int
    user: str | None = field(default=None, repr=False)
    password: str = field(default="", repr=False)

    @property
    def place(self) -> str:
        """What a message may say: host and port."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """Without user and password."""
        return f"{self.scheme}://{self.place}"

    @property
    def login(self) -> dict[str, str]:
        """The header that logs in to an HTTP proxy, if it is to be logged in to."""
        if self.user is None:
            return {}
        pair = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        return {"Proxy-Authorization": Secret(f"Basic {pair}")}

    def refusal(self, host: str, status: int | None = None) -> SourceError:
        """What it means that the proxy does not let us through to `host`; `status` is an HTTP proxy's."""
        if status in (401, 407):  # tinyproxy says 401 to a wrong password
            return self.wants_login()
        if status is not None and status >= 500:
            return self.cannot_reach(host, f"status {status}")
        said = f" (status {status})" if status is not None else ""
        return SourceError(
            Failure.PROXY_REFUSES,
            f"the proxy {self.place} refuses to connect to {host}{said}",
            hint="ask whoever runs the proxy, or name the host in NO_PROXY to go around it",
        )

    def wants_login(self) -> SourceError:
        if self.user is None:
            said = f"the proxy {self.place} wants a user and a password"
        else:
            said = f"the proxy {self.place} does not accept the user and password that it was given"
        return SourceError(
            Failure.PROXY_REFUSES,
            said,
            hint=f"write them into the proxy variable: {self.scheme}://USER:PASSWORD@{self.place} "
            "(@, :, / and % in them as %40, %3A, %2F, %25)",
        )

    def cannot_reach(self, host: str, said: str) -> SourceError:
        return SourceError(Failure.UNREACHABLE, f"the proxy {self.place} cannot reach {host} ({said})", hint=_ITS_WAY)

    def silent(self, host: str) -> SourceError:
        """It takes connections, and then says nothing."""
        return SourceError(
            Failure.UNREACHABLE, f"no connection to {host} by the proxy {self.place} in time", hint=_SILENT
        )

    def stalled(self, said: str) -> SourceError:
        """There is a connection, and no answer comes by it."""
        return SourceError(Failure.STALLED, f"{said} by the proxy {self.place}", hint=_SILENT)

    def unreachable(self, said: str) -> SourceError:
        return SourceError(
            Failure.UNREACHABLE,
            f"the proxy {self.place} cannot be reached: {said}",
            hint="is it running? HTTPS_PROXY, HTTP_PROXY and ALL_PROXY name it",
        )


class Proxies:
    """The proxies of a run. Raises `UsageError` where one cannot be used."""

    def __init__(
        self, named: Mapping[str, str], without: str = "", system: Callable[[str], object] | None = None
    ) -> None:
        """`named` has addresses for http, https and all; `without` is a ``NO_PROXY``; `system` says of a host whether
        the system's settings except it, and may take its time."""
        self._proxies = {key: parse(named[key]) for key in _KEYS if named.get(key)}
        self._without = without
        self._system = system
        self._found = dict[tuple[str, str], Proxy | None]()

    @classmethod
    def from_environment(cls) -> Proxies:
        named = getproxies_environment()
        if any(named.get(key) for key in _KEYS):
            return cls(named, named.get("no", ""))
        system = getproxies()
        return cls(system, named.get("no", ""), proxy_bypass if system else None)

    async def find(self, url: str) -> Proxy | None:
        """The proxy for `url`; None where it is asked directly. Raises `ValueError` for what is no address."""
        parts = urlsplit(url)
        origin = (parts.scheme, parts.netloc)
        if origin not in self._found:
            proxy = self._named(parts)
            self._found[origin] = None if proxy and await self._is_excepted(parts.hostname or "") else proxy
        return self._found[origin]

    async def _is_excepted(self, host: str) -> bool:
        """By the system's settings, which may look up names for that."""
        return bool(self._system and await asyncio.to_thread(self._system, host))

    def _named(self, parts: SplitResult) -> Proxy | None:
        host = (parts.hostname or "").rstrip(".")
        proxy = self._proxies.get(parts.scheme) or self._proxies.get("all")
        if proxy is None or host in _HERE:
            return None
        return None if is_excepted(host, parts.port or _PORTS.get(parts.scheme, 0), self._without) else proxy


def parse(text: str) -> Proxy:
    """The proxy of a variable's value. Raises `UsageError`, which says nothing of what is before the ``@``."""
    address = text.strip()
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        scheme, host, port = parts.scheme, parts.hostname, parts.port
        user = unquote(parts.username, errors="strict") if parts.username is not None else None
        password = remember(unquote(parts.password or "", errors="strict"))
    except ValueError:
        raise UsageError("the proxy that the environment names is not an address", hint=_HINT) from None
    if scheme not in _SCHEMES:
        raise UsageError(f"the proxy that the environment names cannot be used: {scheme}:// is not known", hint=_HINT)
    known = _SCHEMES[scheme]
    if not host or any(letter.isspace() for letter in host):
        raise UsageError("the proxy that the environment names has no host", hint=_HINT)
    if known == "socks5" and max(len((user or "").encode()), len(password.encode())) > 255:
        raise UsageError("user and password of a SOCKS proxy have 255 bytes at the most", hint=_HINT)
    if known != "socks5" and user and ":" in user:
        raise UsageError("the user of an HTTP proxy cannot have a colon in its name", hint=_HINT)
    return Proxy(known, host, port or _PORTS[known], user or None, password)


def is_excepted(host: str, port: int, without: str) -> bool:
    """Whether a ``NO_PROXY`` such as ``*``, ``example.org``, ``.example.org``, ``host:8080``, ``10.0.0.0/8`` or
    ``[fd00::1]`` names `host`. A name stands for its subdomains too."""
    return any(_names(rule, host.lower(), port) for rule in without.lower().replace(",", " ").split())


def _names(rule: str, host: str, port: int) -> bool:
    if rule == "*":
        return True
    if "/" in rule:
        return _is_within(host, rule)
    try:
        parts = urlsplit(f"//{rule}" if rule.count(":") < 2 or "[" in rule else f"//[{rule}]")
        name, only = parts.hostname or "", parts.port
    except ValueError:
        return False
    name = name.removeprefix("*").strip(".")
    if not name or (only is not None and only != port):
        return False
    return host == name or (host.endswith(f".{name}") and not _is_address(host))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_within(host: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
