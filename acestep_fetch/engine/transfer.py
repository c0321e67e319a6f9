"""One content under way: which of its bytes are missing, in flight, held and hashed, and who may still serve it.

`Transfer` only keeps the books. Flights move the bytes (`flight`), the scheduler hands out the work (`scheduler`),
`frontier` hashes behind the contiguous prefix.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from acestep_fetch.core.errors import FetchError, SourceError
from acestep_fetch.core.model import HubName, RemoteFile
from acestep_fetch.core.spans import Span, SpanSet
from acestep_fetch.engine.sources import Place, Source
from acestep_fetch.storage.checksum import Digests
from acestep_fetch.storage.parts import PartFile

SMALL: Final = 1 << 20  # bytes: such files are fetched whole, checked in memory and not journalled


class State(Enum):
    OPEN = "open"
    DONE = "done"
    FAILED = "failed"


@dataclass(eq=False, slots=True)
class Flight:
    """One request under way. `stop` may be moved down by a thief; `offset` is the next byte to come.

    A hedge fetches into memory what its `rival` still has to bring. Whichever has it first ends the other; where the
    rival fails, the hedge owes what it left.
    """

    transfer: Transfer
    source: Source
    start: int
    stop: int
    began: float
    offset: int = 0
    last_byte: float = 0.0
    speed: float = 0.0  # bytes a second, smoothed
    sampled: int = 0  # offset at the last look at the clock
    whole: bool = False  # the source ignores ranges: read from the first byte on and skip what is held
    held_up: bool = False  # silent because our own budget or disk makes it wait
    throttled: float = float("-inf")  # when our own budget last made it wait: its speed is not its own then
    scope: asyncio.Timeout | None = None
    spare: bool = False  # beyond the pace: it waits for a round trip, not for bandwidth
    is_hedge: bool = False
    rival: Flight | None = None  # of a hedge: the flight whose bytes it fetches too, while that is under way
    hedge: Flight | None = None  # of that flight: the hedge
    kept: int = 0  # of a hedge: where the bytes begin that nobody else brings
    is_trial: bool = False  # a small file that was not proven to be the same at this source when it was asked for

    def __post_init__(self) -> None:
        self.offset = self.sampled = self.start
        self.last_byte = self.began
        self.is_trial = self.transfer.small and self.source.name not in self.transfer.proven

    @property
    def remaining(self) -> int:
        return max(0, self.stop - self.offset)

    @property
    def owed(self) -> Span:
        """What is missing if the flight ends now."""
        return Span(min(self.kept if self.is_hedge else self.offset, self.stop), self.stop)

    def overtake(self) -> Span:
        """Of a hedge that has all of its bytes: ends the rival, and returns the span that is to be written."""
        if rival := self.rival:
            self.kept = rival.stop = rival.offset
            rival.end()
            rival.hedge = self.rival = None
        return self.owed

    def end(self) -> None:
        """Stops waiting for more."""
        if self.scope:
            self.scope.reschedule(0)
            self.scope = None


@dataclass(eq=False)
class Transfer:
    """A content and everything known about getting it. `places` may grow while it is under way."""

    file: RemoteFile  # by the word of the hub that is the truth
    label: str  # for people: the first path that it is for
    places: dict[HubName, Place]
    proven: set[HubName] = field(default_factory=set)  # of these, the ones listed with an equal digest
    turn: int = 0  # of the models that want it, the place of the first: what it wants comes before what others do
    movable: bool = False  # the other hub has another version that could be taken instead
    part: PartFile | None = None
    state: State = State.OPEN
    error: FetchError | None = None
    digests: Digests | None = None
    data: bytes | None = None  # of a small file that is done
    missing: SpanSet = field(default_factory=SpanSet)  # neither held nor in flight
    held: SpanSet = field(default_factory=SpanSet)  # on disk
    flights: list[Flight] = field(default_factory=list)
    banned: dict[HubName, SourceError] = field(default_factory=dict)
    without_ranges: set[HubName] = field(default_factory=set)
    strikes: Counter[HubName] = field(default_factory=Counter)
    failures: int = 0  # since the last progress
    failing_since: float | None = None
    replaced: int = 0  # flights that were ended because they crawled
    useless: bool = False  # nobody will want what the part holds
    by_source: Counter[str] = field(default_factory=Counter)
    attempts: list[str] = field(default_factory=list)
    began: float | None = None
    moved: asyncio.Event = field(default_factory=asyncio.Event)  # held has grown, or the state changed
    wake: Callable[[], None] = lambda: None  # tells the scheduler that there is work again
    on_end: Callable[[], None] = lambda: None  # called once, when it is done or failed

    @property
    def small(self) -> bool:
        return self.file.size <= SMALL

    @property
    def open(self) -> bool:
        return self.state is State.OPEN

    @property
    def complete(self) -> bool:
        """Every byte is on disk (and perhaps not hashed yet)."""
        return not self.small and len(self.held) == self.file.size

    @property
    def wants_git(self) -> bool:
        """Whether git's digest has to be computed too: it is asked for, or it is cheap and tells the hubs apart."""
        return self.small or self.file.git_sha1 is not None

    def usable(self, name: HubName) -> bool:
        return name in self.places and name not in self.banned

    def hold(self, span: Span) -> None:
        """More bytes are on disk."""
        if len(span) > self.held.run_from(span.start) - span.start:
            self.failures, self.failing_since = 0, None
        self.held.add(span)
        self.moved.set()

    def failed(self, now: float) -> None:
        """Counts a flight that ended without being whole."""
        self.failures += 1
        if self.failing_since is None:
            self.failing_since = now

    def lose(self, span: Span) -> None:
        """Bytes that were held are not to be trusted: they are missing again."""
        self.held.remove(span)
        self.missing.add(span)
        self.wake()

    def note(self, name: HubName, error: SourceError) -> None:
        """Keeps what was tried, for the error message, without repeating itself."""
        line = f"{name.title}: {error.failure} ({error.message})"
        if line not in self.attempts:
            self.attempts.append(line)

    async def settled(self) -> None:
        """Returns when the transfer is done or failed."""
        while self.open:
            self.moved.clear()
            await self.moved.wait()

    async def grounded(self) -> None:
        """Returns when no flight is under way any more, so that the part file can be closed."""
        while self.flights:
            self.moved.clear()
            await self.moved.wait()

    def finish(self, digests: Digests, data: bytes | None = None) -> None:
        if self.open:
            self.state, self.digests, self.data = State.DONE, digests, data
            self.moved.set()
            self.on_end()

    def fail(self, error: FetchError) -> None:
        if self.open:
            self.state, self.error = State.FAILED, error
            for flight in self.flights:
                flight.end()
            self.moved.set()
            self.on_end()
