"""Between a download, which must never wait, and whoever listens, at a speed of their own."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from acestep_fetch.core.events import BytesCompared, BytesReceived, Event


class Backlog:
    """Events that nobody has taken yet, in their order.

    Bytes of one file from one source are added up, as long as no other kind of event comes between: so a listener that
    is slow costs memory for what tells something, not for the transfer, and the sum of what it hears is right.
    `wake` is called by whoever puts in an event when there was none; it must return at once.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._waiting = deque[Event]()
        self._bytes = dict[tuple[type[Event], str, str], BytesReceived | BytesCompared]()  # after all that is waiting

    def put(self, event: Event) -> None:
        with self._lock:
            was_empty = not self._waiting and not self._bytes
            if isinstance(event, BytesReceived | BytesCompared):
                key = (type(event), event.path, event.source)
                before = self._bytes.get(key)
                self._bytes[key] = replace(before, count=before.count + event.count) if before else event
            else:
                self._waiting.extend(self._bytes.values())
                self._bytes.clear()
                self._waiting.append(event)
        if was_empty:
            self._wake()

    def take(self) -> Event | None:
        """The oldest event; None where there is none."""
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            if self._bytes:
                return self._bytes.pop(next(iter(self._bytes)))
            return None
