"""Between the event loop, which must never wait, and a terminal or pipe, which may block for ever.

The loop's side adds an event to the tally and to a queue under a lock that is held for microseconds. A daemon
thread wakes a few times a second, takes what has queued up together with how the run stands, and paints. Bytes are
not queued, only counted: a blocked reader costs memory for the events that tell something, not for the transfer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Protocol, Self

from acestep_fetch.core.events import BytesCompared, BytesReceived, Event, RunFinished
from acestep_fetch.display.sink import Sink
from acestep_fetch.display.tally import Tally, View

PATIENCE: Final = 1.0  # seconds that `close` waits for a reader that takes nothing


@dataclass(frozen=True, slots=True)
class Heard:
    """An event, and the wall-clock time (seconds since 1970) at which it came."""

    event: Event
    at: float


@dataclass(frozen=True, slots=True)
class Tick:
    """What happened since the last tick, and how the run stands after it."""

    heard: tuple[Heard, ...]
    view: View
    now: float  # monotonic
    wall: float  # seconds since 1970


class Painter(Protocol):
    """Turns ticks into text. Lives in one thread, may block in its sink, knows nothing of the event loop.

    `period` is the time between two ticks. `grace` is how long `Display.close` goes on waiting, at the most, for a
    reader that is slow but alive.
    """

    period: float
    grace: float
    sink: Sink

    def paint(self, tick: Tick) -> None: ...
    def close(self) -> None:
        """Leaves the terminal as it was found. Nothing is painted after this."""


class Display(Protocol):
    """What `open_display` hands out: a context manager that is a `Listener`."""

    def __call__(self, event: Event) -> None:
        """Hears an event. Returns at once and never raises."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    @property
    def refused(self) -> str:
        """Why the output could not be written; "" where it was, or where its reader has gone."""

    def close(self) -> None:
        """Draws what is left. Waits about a second for a reader that takes nothing, then leaves it."""


class Silence:
    """Shows nothing at all."""

    refused = ""

    def __call__(self, event: Event) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def close(self) -> None:
        pass


class Pump:
    """A display that paints in a thread of its own. What comes after `RunFinished` is ignored."""

    def __init__(
        self, painter: Painter, *, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self.patience = PATIENCE
        self.broken: Exception | None = None  # a bug in the painter; it silences the display, never the download
        self._painter = painter
        self._clock, self._wall = clock, wall
        self._lock = threading.Lock()
        self._tally = Tally(clock())
        self._queue = list[Heard]()
        self._finished = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="acestep-fetch display", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def refused(self) -> str:
        return self._painter.sink.refused

    def __call__(self, event: Event) -> None:
        with self._lock:
            if self._finished:
                return
            self._tally.update(event, self._clock())
            if not isinstance(event, BytesReceived | BytesCompared):
                self._queue.append(Heard(event, self._wall()))
            self._finished = isinstance(event, RunFinished)

    def close(self) -> None:
        self._closing.set()
        if self._thread.ident is None:
            return
        start = time.monotonic()
        while self._thread.is_alive() and not self._is_hopeless(time.monotonic() - start):
            self._thread.join(0.02)
        self._painter.sink.give_up()
        self._thread.join(0.1)

    def _is_hopeless(self, waited: float) -> bool:
        stuck_for = min(waited, time.monotonic() - self._painter.sink.moved)
        return stuck_for > self.patience or waited > self._painter.grace

    def _run(self) -> None:
        try:
            while not self._closing.wait(self._painter.period):
                self._painter.paint(self._take())
            self._painter.paint(self._take())
            self._painter.close()
        except Exception as error:
            with self._lock:
                self.broken, self._finished, self._queue = error, True, []

    def _take(self) -> Tick:
        with self._lock:
            heard, self._queue = tuple(self._queue), []
            now = self._clock()
            return Tick(heard, self._tally.view(now), now, self._wall())
