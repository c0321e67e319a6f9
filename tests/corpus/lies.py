"""What servers were seen to do, or could do, to a client that believes them: more actions for `faults`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import hdrs, web

from tests.support.faults import Action, Kind
from tests.support.recorder import Asked
from tests.support.relay import Bytes, Relay, reset

Json = Any
Rows = list[dict[str, Any]]

HTML: Final = b"<!DOCTYPE html><html><head><title>Log in</title></head><body>Please log in.</body></html>"
POINTER: Final = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"


@dataclass(frozen=True)
class Raw(Action):
    """Bytes of our own on the wire in place of a reply, then FIN. `again` is sent for ever, `pause` seconds apart."""

    first: bytes
    again: bytes = b""
    pause: float = 0.0

    async def instead(self, request: web.Request) -> web.StreamResponse:
        transport = request.transport
        if transport is None:
            return web.Response(status=500)
        transport.write(self.first)
        while self.again and not transport.is_closing():
            if transport.get_write_buffer_size() < 1 << 20:
                transport.write(self.again)
            await asyncio.sleep(self.pause)
        while not transport.is_closing() and transport.get_write_buffer_size():
            await asyncio.sleep(0.001)
        transport.close()
        await asyncio.Event().wait()  # until the client's going away cancels the handler
        raise AssertionError


@dataclass(frozen=True)
class SetHeaders(Action):
    """Other headers on the hub's own reply; None removes one."""

    changes: Mapping[str, str | None]
    status: int | None = None

    def reshape(self, request: web.Request, relay: Relay) -> None:
        for name, value in self.changes.items():
            relay.headers.popall(name, None)
            if value is not None:
                relay.headers[name] = value
        if self.status is not None:
            relay.set_status(self.status)


@dataclass(frozen=True)
class TwiceHeader(Action):
    """A header a second time, with another value."""

    name: str
    value: str

    def reshape(self, request: web.Request, relay: Relay) -> None:
        relay.headers.add(self.name, self.value)


@dataclass(frozen=True)
class Longer(Action):
    """More bytes at the end than the file has; announced, or sent without a length."""

    by: int = 1000
    announced: bool = True

    def reshape(self, request: web.Request, relay: Relay) -> None:
        length = relay.content_length
        if length is None:
            return
        if self.announced:
            relay.content_length = length + self.by
        else:
            del relay.headers[hdrs.CONTENT_LENGTH]
        relay.layers.append(self._more)

    async def _more(self, source: Bytes) -> Bytes:
        async with aclosing(source):
            async for piece in source:
                yield piece
        yield b"\x7f" * self.by


@dataclass(frozen=True)
class Swapped(Action):
    """Another content of the same length."""

    fill: bytes = b"\x55"

    def reshape(self, request: web.Request, relay: Relay) -> None:
        relay.layers.append(self._swap)

    async def _swap(self, source: Bytes) -> Bytes:
        async with aclosing(source):
            async for piece in source:
                yield self.fill * len(piece)


@dataclass(frozen=True)
class Moved(Action):
    """A redirect somewhere. ``{n}`` in the target counts the redirects so far."""

    target: str
    status: int = 302

    async def instead(self, request: web.Request) -> web.StreamResponse:
        number = int(request.query.get("hop", "0")) + 1
        return web.Response(status=self.status, headers={hdrs.LOCATION: self.target.format(n=number)})


@dataclass(frozen=True)
class Hops(Action):
    """So many redirects on the same origin before the hub answers."""

    count: int

    async def instead(self, request: web.Request) -> web.StreamResponse | None:
        done = int(request.query.get("hop", "0"))
        if done >= self.count:
            return None
        url = request.rel_url.update_query(hop=str(done + 1))
        return web.Response(status=302, headers={hdrs.LOCATION: str(url)})


@dataclass(frozen=True)
class Listed(Action):
    """The rows of the hub's list, changed: `change` gets rows of {path, size, sha256?, sha1?} in the hub's own words
    through `Names`, and returns them."""

    change: Callable[[Rows, Names], Rows]

    def reshape(self, request: web.Request, relay: Relay) -> None:
        if Asked.of(request).kind is not Kind.API or relay.status != 200 or not isinstance(relay.inner, web.Response):
            return
        said = _changed(json.loads(relay.inner.body or b"null"), self.change)  # type: ignore[arg-type]
        if said is None:
            return
        data = json.dumps(said).encode()
        relay.content_length = len(data)
        relay.layers.append(lambda source: _instead(source, data))


@dataclass(frozen=True)
class Garbled(Action):
    """Other bytes where an answer of the API should be."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: {hdrs.CONTENT_TYPE: "application/json"})

    async def instead(self, request: web.Request) -> web.StreamResponse:
        return web.Response(status=200, body=self.body, headers=self.headers)


@dataclass(frozen=True)
class Aborted(Action):
    """RST after `after` bytes of the head of a reply."""

    head: bytes = b"HTTP/1.1 200 OK\r\nContent-Le"

    async def instead(self, request: web.Request) -> web.StreamResponse:
        if request.transport is not None:
            request.transport.write(self.head)
            await asyncio.sleep(0.01)
            reset(request.transport)
        return web.Response(status=500)


@dataclass(frozen=True)
class Names:
    """What a hub calls the columns of its list."""

    path: str
    size: str
    sha256: Callable[[dict[str, Any]], dict[str, Any]]  # where the digest of a large file is, as {"sha256": ...}


def _changed(said: Json, change: Callable[[Rows, Names], Rows]) -> Json | None:
    """`said` with other rows; None where it has none."""
    if isinstance(said, dict) and isinstance(said.get("siblings"), list):
        names = Names("rfilename", "size", lambda row: row.get("lfs") or {})
        return {**said, "siblings": change(said["siblings"], names)}
    if isinstance(said, list) and said and "path" in said[0]:
        return change(said, Names("path", "size", lambda row: row.get("lfs") or {}))
    data = said.get("Data") if isinstance(said, dict) else None
    if isinstance(data, dict) and isinstance(data.get("Files"), list):
        return {**said, "Data": {**data, "Files": change(data["Files"], Names("Path", "Size", lambda row: row))}}
    return None


async def _instead(source: Bytes, data: bytes) -> Bytes:
    await source.aclose()
    yield data
