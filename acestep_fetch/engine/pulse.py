"""What the engine can tell of itself at any moment to who watches it from outside: a watchdog, and other processes.

Kept by the event loop, and read by a thread as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from acestep_fetch.core.events import BytesDropped, BytesReceived, Detail, Event, FileVerified, PlanMade, Waiting

Describe = Callable[[], Iterable[str]]


@dataclass(frozen=True, slots=True, eq=False)
class Wait:
    """`until` is on the clock: by then it ends, one way or the other."""

    what: str
    until: float


class Pulse:
    """`beats` changes with every sign of life. `done` of `total` bytes are here; 0 of 0 while there is no plan."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.beats = self.done = self.total = 0
        self._clock = clock
        self._waits = dict[Wait, None]()
        self._announced: Wait | None = None
        self._parts = list[Describe]()

    def beat(self) -> None:
        """Something moved."""
        self.beats += 1

    def hear(self, event: Event) -> None:
        """What the engine tells is a sign of life, but for what it tries and what it waits for."""
        match event:
            case Waiting():
                self._announced = Wait(event.why, self._clock() + event.seconds)
                return
            case Detail():
                return
            case PlanMade():
                self.total, self.done = event.total, event.total - event.fetch
            case BytesReceived():
                self.done += event.count
            case BytesDropped():
                self.done -= event.count
            case _:
                pass
        self.beat()
        if isinstance(event, BytesReceived | FileVerified):
            self._announced = None

    @contextmanager
    def expects(self, what: str, seconds: float) -> Iterator[None]:
        """For as long as the block takes, but no longer than that, `what` explains silence."""
        wait = Wait(what, self._clock() + seconds)
        self._waits[wait] = None
        try:
            yield
        finally:
            del self._waits[wait]
            self.beat()

    @property
    def expected(self) -> list[Wait]:
        """What `expects` was told of and has not ended."""
        now = self._clock()
        return [wait for wait in list(self._waits) if wait.until > now]

    @property
    def is_explained(self) -> bool:
        """Whether something that was announced explains silence now."""
        announced = self._announced
        return bool(self.expected) or (announced is not None and announced.until > self._clock())

    def explain(self, part: Describe) -> None:
        """`part` says, a line for each, what it waits for."""
        self._parts.append(part)

    def parts(self) -> list[str]:
        """What every part waits for."""
        return [line for part in self._parts for line in part()]
