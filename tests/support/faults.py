"""Scripted faults around a hub: rules as data, applied by a middleware. The hub itself knows nothing of them.

    Faults([
        Rule(Truncate(100_000, Cut.RESET), kind=Kind.CONTENT, path="vae/*", first=2),
        Rule(Status(503), kind=Kind.API, nth=1),
        Rule(FlipBit(at=5_000_000), path="*.safetensors"),
    ])

Every rule that matches a request applies, in order; the first that answers instead of the hub wins.
"""

from __future__ import annotations

import asyncio
import json
import re
import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from enum import Enum, auto
from fnmatch import fnmatchcase
from typing import Final
from weakref import WeakKeyDictionary

from aiohttp import hdrs, web

from acestep_fetch.core.model import HubName
from tests.support.recorder import Asked, Entry, Handler, Kind, Recorder, relayed
from tests.support.relay import Bytes, Ending, Relay, reset

__all__ = [
    "Action",
    "Asked",
    "Cut",
    "Delay",
    "DropConnection",
    "Entry",
    "Faults",
    "FlipBit",
    "GzipBody",
    "IgnoreRange",
    "JsonErrorAsFile",
    "Kind",
    "Recorder",
    "RedirectLoop",
    "Rule",
    "ShiftContentRange",
    "Stall",
    "Status",
    "Throttle",
    "Truncate",
    "WrongTotal",
    "too_many",
]


class Action:
    """What a fault does; each method is one place where it can act, and by default does not."""

    async def instead(self, request: web.Request) -> web.StreamResponse | None:
        """A reply in place of the hub's."""
        return None

    def question(self, request: web.Request) -> web.Request:
        """The request as the hub shall see it."""
        return request

    def reshape(self, request: web.Request, relay: Relay) -> None:
        """Changes the headers, the bytes or the end of the hub's reply."""


@dataclass(frozen=True)
class Status(Action):
    """Another status."""

    code: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    async def instead(self, request: web.Request) -> web.StreamResponse:
        return web.Response(status=self.code, headers=self.headers, body=self.body)


def too_many(retry_after: int | None = 1) -> Status:
    """429, with ``Retry-After`` unless it is None."""
    return Status(429, {} if retry_after is None else {hdrs.RETRY_AFTER: str(retry_after)})


@dataclass(frozen=True)
class JsonErrorAsFile(Action):
    """ModelScope's error envelope with status 200, where a file should be."""

    code: int = 10990101007

    async def instead(self, request: web.Request) -> web.StreamResponse:
        said = {"Code": self.code, "Data": None, "Message": "file is empty", "RequestId": "0", "Success": False}
        return web.Response(status=200, body=json.dumps(said).encode(), content_type="application/json")


@dataclass(frozen=True)
class RedirectLoop(Action):
    """302 to the same address, for ever."""

    async def instead(self, request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={hdrs.LOCATION: request.raw_path})


@dataclass(frozen=True)
class DropConnection(Action):
    """RST before any reply."""

    async def instead(self, request: web.Request) -> web.StreamResponse:
        if request.transport is not None:
            reset(request.transport)
        return web.Response(status=500)


@dataclass(frozen=True)
class Delay(Action):
    """Waits before the hub is asked; None waits until the client goes away."""

    seconds: float | None

    async def instead(self, request: web.Request) -> None:
        await pause(self.seconds)


class Cut(Enum):
    """How a truncated body ends."""

    CHUNKED = auto()  # a clean end, no length announced
    SHORT_LENGTH = auto()  # a clean end, the length announced is that of what is sent
    CLOSE = auto()  # the full length announced, then FIN
    RESET = auto()  # the full length announced, then RST


@dataclass(frozen=True)
class Truncate(Action):
    """Ends a body after `after` of its bytes."""

    after: int
    how: Cut = Cut.CLOSE

    def reshape(self, request: web.Request, relay: Relay) -> None:
        if (relay.content_length or 0) <= self.after:
            return
        if self.how is Cut.CHUNKED:
            del relay.headers[hdrs.CONTENT_LENGTH]
        elif self.how is Cut.SHORT_LENGTH:
            relay.content_length = self.after
        else:
            relay.ending = Ending.CLOSE if self.how is Cut.CLOSE else Ending.RESET
        relay.layers.append(self._cut)

    async def _cut(self, source: Bytes) -> Bytes:
        left = self.after
        async with aclosing(source):
            async for piece in source:
                if left:
                    yield piece[:left]
                left -= min(left, len(piece))
                if not left:
                    return


@dataclass(frozen=True)
class FlipBit(Action):
    """Turns the lowest bit of the byte at offset `at` of the file, in replies that carry it."""

    at: int

    def reshape(self, request: web.Request, relay: Relay) -> None:
        async def flip(source: Bytes) -> Bytes:
            offset = relay.first
            async with aclosing(source):
                async for piece in source:
                    where = self.at - offset
                    offset += len(piece)
                    if 0 <= where < len(piece):
                        piece = piece[:where] + bytes([piece[where] ^ 1]) + piece[where + 1 :]
                    yield piece

        relay.layers.append(flip)


@dataclass(frozen=True)
class Stall(Action):
    """Goes silent after `after` bytes of a body; None waits until the client goes away."""

    after: int
    seconds: float | None = None

    def reshape(self, request: web.Request, relay: Relay) -> None:
        relay.layers.append(self._stall)

    async def _stall(self, source: Bytes) -> Bytes:
        left: int | None = self.after
        async with aclosing(source):
            async for piece in source:
                if left is not None and len(piece) >= left:
                    if left:
                        yield piece[:left]
                    await pause(self.seconds)
                    piece, left = piece[left:], None
                elif left is not None:
                    left -= len(piece)
                if piece:
                    yield piece


class Throttle(Action):
    """Limits bodies to so many bytes a second, for each connection and for all together."""

    def __init__(self, per_connection: float | None = None, *, total: float | None = None) -> None:
        self._each, self._all = per_connection, Bucket(total) if total else None
        self._buckets = WeakKeyDictionary[asyncio.BaseTransport, Bucket]()

    def reshape(self, request: web.Request, relay: Relay) -> None:
        buckets = [self._all] if self._all else []
        if self._each and request.transport is not None:
            buckets.append(self._buckets.setdefault(request.transport, Bucket(self._each)))
        relay.layers.append(lambda source: self._throttled(source, buckets))

    @staticmethod
    async def _throttled(source: Bytes, buckets: list[Bucket]) -> Bytes:
        rate = min((bucket.rate for bucket in buckets), default=1e9)
        step = max(1024, min(64 * 1024, int(rate / 100)))
        async with aclosing(source):
            async for piece in source:
                for at in range(0, len(piece), step):
                    part = piece[at : at + step]
                    for bucket in buckets:
                        await bucket.take(len(part))
                    yield part


class Bucket:
    """Bytes at a steady rate; nothing is saved up while nobody asks."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._free_at = 0.0

    async def take(self, count: int) -> None:
        now = asyncio.get_running_loop().time()
        self._free_at = max(self._free_at, now) + count / self.rate
        if (wait := self._free_at - now) > 0.001:
            await asyncio.sleep(wait)


@dataclass(frozen=True)
class IgnoreRange(Action):
    """200 and the whole file, whatever range is asked for."""

    def question(self, request: web.Request) -> web.Request:
        return _without_range(request)


@dataclass(frozen=True)
class ShiftContentRange(Action):
    """Says that the body starts `by` bytes later than it does."""

    by: int

    def reshape(self, request: web.Request, relay: Relay) -> None:
        _rewrite_range(relay, lambda start, stop, total: (start + self.by, stop + self.by, total))


@dataclass(frozen=True)
class WrongTotal(Action):
    """Says that the file is `by` bytes longer than it is."""

    by: int

    def reshape(self, request: web.Request, relay: Relay) -> None:
        _rewrite_range(relay, lambda start, stop, total: (start, stop, total + self.by))


@dataclass(frozen=True)
class GzipBody(Action):
    """Compresses the whole body and forgets the range, as Hugging Face does for clients that accept gzip."""

    def question(self, request: web.Request) -> web.Request:
        return _without_range(request)

    def reshape(self, request: web.Request, relay: Relay) -> None:
        relay.headers.popall(hdrs.CONTENT_LENGTH, None)
        relay.headers[hdrs.CONTENT_ENCODING] = "gzip"
        relay.layers.append(self._gzip)

    @staticmethod
    async def _gzip(source: Bytes) -> Bytes:
        packer = zlib.compressobj(1, zlib.DEFLATED, 31)
        async with aclosing(source):
            async for piece in source:
                if packed := packer.compress(piece):
                    yield packed
        yield packer.flush()


@dataclass
class Rule:
    """When to do what. `path` is a glob over the file's path or a part of the URL's; None stands for any.

    Of the requests that match, `nth` takes one (from 1), `first` the first ones, `after` all but the first ones.
    `served` waits until the hub has sent so many bytes of bodies in all. On Hugging Face a small file takes two
    requests of kind RESOLVER (307, then the bytes), or one where the address of the bytes is known; a large one takes
    a RESOLVER and a CONTENT request on both hubs.
    """

    action: Action
    kind: Kind | None = None
    path: str = "*"
    method: str | None = "GET"
    dialect: HubName | None = None
    nth: int | None = None
    first: int | None = None
    after: int = 0
    served: int = 0
    seen: int = 0  # requests that matched so far

    def takes(self, asked: Asked, served: int) -> bool:
        """Whether this rule applies to a request; counts it."""
        if not self._matches(asked) or served < self.served:
            return False
        self.seen += 1
        is_its_turn = self.nth is None or self.seen == self.nth
        return is_its_turn and self.seen > self.after and (self.first is None or self.seen <= self.after + self.first)

    def _matches(self, asked: Asked) -> bool:
        return (
            self.kind in (None, asked.kind)
            and self.method in (None, asked.method)
            and self.dialect in (None, asked.dialect)
            and (fnmatchcase(asked.file, self.path) or self.path in asked.path or self.path in asked.file)
        )


class Faults:
    """The middleware that applies `rules`, which may be changed at any time."""

    __middleware_version__: Final = 1

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self.rules = list(rules)
        self.served = 0

    async def __call__(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        asked = Asked.of(request)
        actions = [rule.action for rule in self.rules if rule.takes(asked, self.served)]
        relay = await self._answer(request, handler, actions)
        relay.observers.append(self._count)
        return relay

    async def _answer(self, request: web.Request, handler: Handler, actions: list[Action]) -> Relay:
        for action in actions:
            if reply := await action.instead(request):
                return Relay.of(reply)
        question = request
        for action in actions:
            question = action.question(question)
        relay = await relayed(handler, question)
        for action in actions:
            action.reshape(request, relay)
        return relay

    def _count(self, _: Relay, count: int | None) -> None:
        self.served += count or 0


async def pause(seconds: float | None) -> None:
    """Sleeps; None sleeps until the hub cancels the request, which it does when the client is gone."""
    await (asyncio.Event().wait() if seconds is None else asyncio.sleep(seconds))


def _without_range(request: web.Request) -> web.Request:
    kept = request.headers.copy()
    kept.popall(hdrs.RANGE, None)
    return request.clone(headers=kept)


def _rewrite_range(relay: Relay, change: Callable[[int, int, int], tuple[int, int, int]]) -> None:
    match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", relay.headers.get(hdrs.CONTENT_RANGE, ""))
    if match:
        start, stop, total = change(*map(int, match.groups()))
        relay.headers[hdrs.CONTENT_RANGE] = f"bytes {start}-{stop}/{total}"
