"""What was asked of a hub, and what it sent."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from urllib.parse import unquote

from aiohttp import hdrs, web

from acestep_fetch.core.model import HubName
from tests.support.relay import Relay

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Kind(StrEnum):
    """The classes of request that the hubs meter apart."""

    API = "api"
    RESOLVER = "resolver"  # on Hugging Face also the resolver's cache; on ModelScope also the gateway's bytes
    CONTENT = "content"  # signed addresses


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, classified. `file` is the path inside the repository where the request names a file, else ""."""

    method: str
    dialect: HubName
    kind: Kind
    path: str
    file: str

    @classmethod
    def of(cls, request: web.Request) -> Asked:
        return cls(request.method, dialect_of(request), kind_of(request), request.path, _file_of(request))


@dataclass(slots=True)
class Entry:
    """One request; `status`, `sent` (body bytes) and `seconds` are filled in as it is answered."""

    asked: Asked
    url: str
    range: str | None
    headers: Mapping[str, str]
    peer: tuple[str, int]
    at: float
    status: int = 0
    sent: int = 0
    seconds: float | None = None  # None while it is open

    @property
    def kind(self) -> Kind:
        return self.asked.kind

    @property
    def dialect(self) -> HubName:
        return self.asked.dialect

    @property
    def file(self) -> str:
        return self.asked.file

    @property
    def path(self) -> str:
        return self.asked.path


@dataclass
class Recorder:
    """A middleware that keeps an `Entry` for each request; the outermost one, so that it sees what is really sent."""

    clock: Callable[[], float] = time.monotonic
    entries: list[Entry] = field(default_factory=list)
    open: int = 0  # replies with a file's bytes that are being sent now
    most_open: int = 0
    bytes_sent: int = 0  # body bytes of all kinds

    __middleware_version__: Final = 1

    async def __call__(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        entry = Entry(
            asked=Asked.of(request),
            url=str(request.url),
            range=request.headers.get(hdrs.RANGE),
            headers={name.lower(): value for name, value in request.headers.items()},
            peer=_peer(request),
            at=self.clock(),
        )
        self.entries.append(entry)
        relay = await relayed(handler, request)
        entry.status = relay.status
        carries_bytes = entry.kind is not Kind.API and relay.status in (200, 206) and entry.asked.method == "GET"
        self._opened(carries_bytes)

        def observe(relay: Relay, count: int | None) -> None:
            if count is None:
                entry.seconds = self.clock() - entry.at
                self.open -= carries_bytes
            else:
                entry.sent += count
                self.bytes_sent += count

        relay.observers.append(observe)
        return relay

    @property
    def connections(self) -> int:
        """Client connections that asked for something."""
        return len({entry.peer for entry in self.entries})

    def of(self, kind: Kind | None = None, *, file: str | None = None, dialect: HubName | None = None) -> list[Entry]:
        """The requests of a kind, for a file, in a dialect; None stands for any."""
        return [
            entry
            for entry in self.entries
            if (kind is None or entry.kind is kind)
            and (file is None or entry.file == file)
            and (dialect is None or entry.dialect is dialect)
        ]

    def counts(self) -> dict[Kind, int]:
        """Requests of each kind."""
        counted = Counter(entry.kind for entry in self.entries)
        return {kind: counted[kind] for kind in Kind}

    def sent_for(self, file: str) -> int:
        """Body bytes sent for a file, over all requests for it."""
        return sum(entry.sent for entry in self.of(file=file))

    def clear(self) -> None:
        """Forgets all requests; what is open stays counted."""
        self.entries.clear()
        self.bytes_sent, self.most_open = 0, self.open

    def _opened(self, carries_bytes: bool) -> None:
        self.open += carries_bytes
        self.most_open = max(self.most_open, self.open)


async def relayed(handler: Handler, request: web.Request) -> Relay:
    """The handler's reply as a relay; an HTTP error that it raises is a reply too."""
    try:
        return Relay.of(await handler(request))
    except web.HTTPException as reply:
        return Relay.of(reply)


def dialect_of(request: web.Request) -> HubName:
    """Which hub's API a request is written in."""
    path = request.path
    if path.startswith(("/api/v1/", "/openapi/", "/models/")) or "auth_key" in request.query:
        return HubName.MODELSCOPE
    return HubName.HUGGINGFACE


def kind_of(request: web.Request) -> Kind:
    path = request.path
    if path.startswith("/lfs/"):
        return Kind.CONTENT
    is_file = "/resolve/" in path or path.startswith("/api/resolve-cache/") or "FilePath" in request.query
    return Kind.RESOLVER if is_file else Kind.API


def _file_of(request: web.Request) -> str:
    named = request.query.get("FilePath") or request.query.get("filename")
    if named:
        return named
    path = unquote(request.rel_url.raw_path)
    if path.startswith("/api/resolve-cache/"):
        return path.split("/", 7)[-1]  # "", api, resolve-cache, models, owner, name, commit, file
    return path.partition("/resolve/")[2].partition("/")[2]


def _peer(request: web.Request) -> tuple[str, int]:
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return (peer[0], peer[1]) if peer else ("", 0)
