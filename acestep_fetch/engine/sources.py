"""A source: a hub, the links that it resolved, and what it has shown so far.

A hub's resolver is metered and its content network is not. So a file is resolved once, by the first ranged request that
needs it; the link that the answer redirects to serves all further spans, is renewed ahead of its expiry, and once when
it is refused. Files that the resolver serves itself are simply asked for.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

from acestep_fetch.core import links, pacing, scoring
from acestep_fetch.core.budget import AHEAD, useful_connections
from acestep_fetch.core.errors import Failure, SourceError
from acestep_fetch.core.interfaces import Body, Hub, Request, Transport
from acestep_fetch.core.model import HubName, Snapshot
from acestep_fetch.core.replies import span_of
from acestep_fetch.core.retry import asked_wait, is_busy
from acestep_fetch.core.spans import Span
from acestep_fetch.engine.context import Context
from acestep_fetch.engine.redirects import REDIRECTS, redirected

_LINK_REFUSED: Final = frozenset((401, 403, 410))
_MOST_HOPS: Final = 10
_TRIAL: Final = 1.0  # seconds for which others wait
_FEW_MISMATCHES: Final = 3
_EXPLANATION: Final = 8 * 1024  # bytes of an error's body that are read
_WARM_SHARE: Final = 3  # of so many first connections, one learns links, ahead of the flights
_WARM_PATIENCE: Final = (
    3  # times the silence that a connection is allowed: flights wait for a link that is being learned
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a source has a file's bytes."""

    snapshot: Snapshot
    path: str
    size: int


@dataclass(frozen=True, slots=True)
class Opened:
    """A body whose headers match the question, and the bytes of the file that it carries."""

    body: Body
    span: Span


@dataclass(frozen=True, slots=True)
class _Link:
    request: Request
    expiry: float | None  # epoch seconds
    resolved: float  # epoch seconds


class Source:
    """Opens spans of files from one hub. Raises `SourceError` only."""

    def __init__(self, hub: Hub, transport: Transport, context: Context) -> None:
        self.hub = hub
        self.score = scoring.Score()
        options = context.options
        self.most = useful_connections(options.connections, options.limit_rate)
        self.slots = asyncio.Semaphore(self.most)  # one is held by whoever opens a span, for as long as it is open
        self.pace = pacing.first(self.most, hubs=1)
        self.received = 0  # bytes that flights which have ended brought
        self.active = 0  # flights under way
        self.last_byte = 0.0  # when any of them brought something
        self.down_since: float | None = None  # when the failures that go on began
        self.trouble: SourceError | None = None  # the last of them
        self._transport, self._context = transport, context
        self._links: dict[tuple[str, str], _Link] = {}
        self._direct = set[tuple[str, str]]()
        self._elsewhere = set[tuple[str, str]]()
        self._locks: dict[tuple[str, str], asyncio.Lock] = {}
        self._trials: dict[str, asyncio.Event] = {}  # of shortcuts, by commit
        self._mismatches = Counter[str]()  # by commit
        self._agreeing = set[str]()  # commits
        self.token_dropped: float | None = None  # when the hub refused it
        self._outage = False
        self._is_flying = False
        self._is_warm = False  # connections to the content network were opened ahead
        self._resolver_from = 0.0  # when the resolver may be asked again
        self._resolver = asyncio.Semaphore(hub.resolver_slots)
        self._newcomers = list[pacing.Newcomer]()

    @property
    def name(self) -> HubName:
        return self.hub.name

    def begin(self, hubs: int, rank: int) -> None:
        """`hubs` are there to share the first connections, and this is number `rank` (0, 1, ...) of them."""
        self.pace = pacing.first(self.most, hubs, rank)

    def take_off(self) -> None:
        """Flights begin: they learn for themselves what they need from now on."""
        self._is_flying = True

    def answered(self, seconds: float) -> None:
        """A first byte came, `seconds` after it was asked for."""
        self.score = scoring.after_first_byte(self.score, seconds)
        self.down_since, self.trouble, self._outage = None, None, False

    def failed(self, error: SourceError) -> bool:
        """A failure that is about the host. True where the source has just gone down by it."""
        now = self._context.clock()
        if error.of_resolver and error.retry_after is not None:
            self._resolver_from = max(self._resolver_from, now + error.retry_after + self._context.jitter())
            return False
        self.trouble = error
        if self.down_since is None:
            self.down_since = now
        if error.failure is Failure.BUSY:
            self.pace = pacing.after_busy(self.pace, now)
        self.score = scoring.after_failure(self.score, now, self._context.jitter(), error.retry_after)
        went_down = self.score.is_suspect and not self._outage
        self._outage |= went_down
        return went_down

    def agreed(self, place: Place) -> None:
        """A small file that was not proven to be the same here was what it should be."""
        self._agreeing.add(place.snapshot.commit)

    def doubt(self, place: Place, *, proven: bool) -> None:
        """A small file came and was not what it should be. What is not proven to be the same here counts."""
        self.hub.judge_shortcut(place.snapshot, place.path, None)
        self._mismatches[place.snapshot.commit] += not proven

    def may_try(self, place: Place, under_way: int) -> bool:
        """Whether to ask for a small file that is not proven to be the same here: one at a time until the first was
        right, and no more once a few were wrong, which shows that this hub has another version."""
        commit = place.snapshot.commit
        return self._mismatches[commit] < _FEW_MISMATCHES and (commit in self._agreeing or not under_way)

    def take_newcomers(self) -> tuple[pacing.Newcomer, ...]:
        """The connections made since the last call."""
        taken, self._newcomers = tuple(self._newcomers), []
        return taken

    def pause(self, now: float) -> float:
        """Seconds for which a further connection should not ask; 0 if it may."""
        if now < self.score.ready_at:
            return self.score.ready_at - now
        return 1.0 if self.score.is_suspect and self.active else 0.0

    def rests_until(self, place: Place | None = None) -> float:
        """When a file (any file, if None) may be asked for: a link in hand needs no resolver."""
        if place and (place.snapshot.commit, place.path) in self._links:
            return self.score.ready_at
        return max(self.score.ready_at, self._resolver_from)

    @asynccontextmanager
    async def open(self, place: Place, asked: Span) -> AsyncIterator[Opened]:
        """The bytes `asked` of a file; the reply's headers have been checked against the question."""
        async with AsyncExitStack() as stack:
            asked_elsewhere = (place.snapshot.commit, place.path) in self._elsewhere
            try:
                opened = await self._checked(stack, place, asked)
            except SourceError as error:
                if asked_elsewhere or not self._has_second(place, error):
                    raise
                await stack.aclose()
                opened = await self._checked(stack, place, asked)
            yield opened

    async def warm(self, places: Sequence[Place]) -> None:
        """Learns the links of `places` ahead, a few at once, and opens connections to where the first one leads.

        Never fails: what is wrong is met again by the flight that needs the link. Only a pause that the resolver asks
        for is heeded.
        """
        async with asyncio.TaskGroup() as group:
            lanes = max(1, self.pace.limit // _WARM_SHARE)
            for lane in range(lanes):
                group.create_task(self._learn(places[lane::lanes]))

    async def _learn(self, places: Sequence[Place]) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_WARM_PATIENCE * self._context.options.stall_timeout):
                for place in places:
                    if self._is_flying:
                        return
                    try:
                        await self._learn_one(place)
                    except SourceError as error:
                        if error.of_resolver and error.retry_after is not None:
                            self.failed(error)
                        return

    async def _learn_one(self, place: Place) -> None:
        async with self.slots, AsyncExitStack() as stack:
            body = await self._resolve(stack, place, Span(0, 1))
            if body and body.status not in (200, 206):
                raise await self._refusal(body, redirected=False)
            if body:
                await _drain(body)
        link = self._links.get((place.snapshot.commit, place.path))
        if link and not self._is_warm:
            self._is_warm = True
            here = link.request.url.startswith(f"{self.hub.endpoint}/")
            there_already = min(AHEAD, self.pace.limit) if here else 0
            await self._transport.connect(link.request.url, self.pace.limit - there_already)

    async def _checked(self, stack: AsyncExitStack, place: Place, asked: Span) -> Opened:
        body, redirected = await self._reach(stack, place, asked)
        if body.status not in (200, 206):
            raise await self._refusal(body, redirected)
        try:
            return Opened(body, span_of(asked, place.size, body.status, body.headers))
        except SourceError as wrong:
            raise await self._explained(body) or wrong from None

    def _has_second(self, place: Place, error: SourceError) -> bool:
        """Whether the file is to be asked for at its other address, from now on."""
        if error.failure is not Failure.MISSING:
            return False
        self._elsewhere.add((place.snapshot.commit, place.path))
        return self.hub.second_address(place.snapshot, place.path) is not None

    def _address(self, place: Place) -> Request:
        elsewhere = (place.snapshot.commit, place.path) in self._elsewhere
        second = self.hub.second_address(place.snapshot, place.path) if elsewhere else None
        return second or self.hub.locate(place.snapshot, place.path)

    async def _reach(self, stack: AsyncExitStack, place: Place, asked: Span) -> tuple[Body, bool]:
        """The reply, and whether it came by a link. A link that is refused is renewed once."""
        key, renewed = (place.snapshot.commit, place.path), False
        while True:
            link = self._links.get(key)
            if link and not links.is_fresh(link.expiry, self._context.wall(), link.resolved):
                self._forget(key, link)
            elif link:
                try:
                    body = await self._follow(stack, key, link.request, asked)
                except SourceError as error:
                    if error.failure is Failure.UNREACHABLE and self.down_since is not None:
                        self._links.pop(key, None)  # not for the first time: the resolver may name a host that is there
                    raise
                if body.status not in _LINK_REFUSED or renewed:
                    return body, True
                renewed = True
                await stack.aclose()
                self._forget(key, link)
            elif direct := await self._resolve(stack, place, asked):
                return direct, False

    async def _resolve(self, stack: AsyncExitStack, place: Place, asked: Span) -> Body | None:
        """Asks the resolver: its own body, or None once the link that it gave is known. One asks for each file; the
        others wait for that answer only, not for the bytes behind the link."""
        key = (place.snapshot.commit, place.path)
        if body := await self._by_shortcut(stack, place, asked):
            return body
        if key not in self._direct:
            async with self._locks.setdefault(key, asyncio.Lock()):
                if key in self._links:
                    return None
                if key not in self._direct:
                    return await self._ask_resolver(stack, place, asked)
        return await self._ask_resolver(stack, place, asked)

    async def _by_shortcut(self, stack: AsyncExitStack, place: Place, asked: Span) -> Body | None:
        """The body from the address to which the resolver would redirect, where that is known and right. The answer for
        a snapshot's first file tells whether it is; the others wait for that, but not for long."""
        request, commit = self.hub.shortcut(place.snapshot, place.path), place.snapshot.commit
        if request is None:
            return None
        if self.hub.has_shortcuts(place.snapshot):
            return await self._try(stack, place, _ranged(request, asked))
        if trial := self._trials.get(commit):
            await _is_set(trial, _TRIAL)
            if request := self.hub.shortcut(place.snapshot, place.path):
                known = self.hub.has_shortcuts(place.snapshot)
                return await self._try(stack, place, _ranged(request, asked)) if known else None
            return None
        trial = self._trials[commit] = asyncio.Event()
        try:
            return await self._try(stack, place, _ranged(request, asked))
        finally:
            trial.set()
            del self._trials[commit]  # where there was no answer, the next one tries

    async def _try(self, stack: AsyncExitStack, place: Place, shortcut: Request) -> Body | None:
        async with self._resolver:
            body = await stack.enter_async_context(self._transport.get(shortcut))
        if is_busy(body.status):
            return body
        headers = body.headers if body.status in (200, 206) else None
        if self.hub.judge_shortcut(place.snapshot, place.path, headers):
            return body
        await _drain(body)
        await stack.aclose()
        return None

    async def _ask_resolver(self, stack: AsyncExitStack, place: Place, asked: Span) -> Body | None:
        if (wait := self._resolver_from - self._context.clock()) > 0:  # said to somebody else while this one waited
            raise SourceError(Failure.BUSY, "a pause was asked for", retry_after=wait, of_resolver=True)
        key, request = (place.snapshot.commit, place.path), self._address(place)
        async with self._resolver:
            body = await self._get(stack, request, asked)
        if is_busy(body.status) and (pause := asked_wait(body.status, body.headers, self._context.wall())):
            self._resolver_from = max(self._resolver_from, self._context.clock() + pause)
        if body.status in REDIRECTS:
            self._remember(key, redirected(request, body.headers.get("location", "")))
            await _drain(body)
            await stack.aclose()
            return None
        if body.status in (200, 206):
            self._direct.add(key)
        return body

    async def _follow(self, stack: AsyncExitStack, key: tuple[str, str], request: Request, asked: Span) -> Body:
        for _ in range(_MOST_HOPS):
            body = await self._get(stack, request, asked)
            if body.status not in REDIRECTS:
                return body
            request = redirected(request, body.headers.get("location", ""))
            self._remember(key, request)
            await _drain(body)
            await stack.aclose()
        raise SourceError(Failure.WRONG_REPLY, f"more than {_MOST_HOPS} redirects")

    async def _get(self, stack: AsyncExitStack, request: Request, asked: Span) -> Body:
        body = await stack.enter_async_context(self._transport.get(_ranged(request, asked)))
        if body.setup is not None:
            self._newcomers.append(body.setup)
        return body

    def _remember(self, key: tuple[str, str], request: Request) -> None:
        now = self._context.wall()
        self._links[key] = _Link(request, links.expires_at(request.url, now), now)

    def _forget(self, key: tuple[str, str], link: _Link) -> None:
        if self._links.get(key) is link:
            del self._links[key]

    async def _refusal(self, body: Body, redirected: bool) -> SourceError:
        text = await _beginning(body)
        if not redirected and (told := self.hub.explain(body.status, body.headers, text)):
            told.of_resolver = True
            return told
        if redirected and body.status in _LINK_REFUSED:
            return SourceError(Failure.EXPIRED, f"the link was refused ({body.status})")
        if is_busy(body.status):
            wait = asked_wait(body.status, body.headers, self._context.wall())
            return SourceError(Failure.BUSY, f"status {body.status}", retry_after=wait)
        failure = Failure.MISSING if body.status in (404, 451) else Failure.WRONG_REPLY
        return SourceError(failure, f"status {body.status}")

    async def _explained(self, body: Body) -> SourceError | None:
        """What a reply with the wrong length says, where it is a hub's error in the guise of a file."""
        if "json" not in body.headers.get("content-type", ""):
            return None
        return self.hub.explain(body.status, body.headers, await _beginning(body))


def _ranged(request: Request, asked: Span) -> Request:
    return Request(request.url, {**request.headers, "Range": asked.as_header()})


async def _is_set(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


async def _beginning(body: Body) -> bytes:
    text = bytearray()
    while len(text) < _EXPLANATION and (chunk := await body.read()):
        text += chunk
    return bytes(text[:_EXPLANATION])


async def _drain(body: Body) -> None:
    """Reads a redirect's small body, so that its connection can be used again."""
    await _beginning(body)
