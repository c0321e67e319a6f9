"""Speed over the last few seconds; time is an argument."""

from __future__ import annotations

from collections import deque
from typing import Final

_SOONEST: Final = 0.5  # seconds: a first burst is not taken for a speed


class Rate:
    """Bytes per second over a sliding window. Falls to 0 within `window` seconds once nothing comes.

    Memory is bounded: bytes are kept in buckets of a sixteenth of the window.
    """

    def __init__(self, window: float) -> None:
        self._window = window
        self._grain = window / 16
        self._buckets = deque[tuple[float, int]]()
        self._sum = 0
        self._since: float | None = None

    def add(self, count: int, now: float) -> None:
        if self._since is None:
            self._since = now
        self._sum += count
        if self._buckets and now - self._buckets[-1][0] < self._grain:
            start, held = self._buckets[-1]
            self._buckets[-1] = (start, held + count)
        else:
            self._buckets.append((now, count))
            self._forget(now)

    def per_second(self, now: float) -> float:
        self._forget(now)
        if self._since is None or not self._sum:
            return 0.0
        return self._sum / min(self._window, max(now - self._since, _SOONEST))

    def _forget(self, now: float) -> None:
        while self._buckets and self._buckets[0][0] <= now - self._window:
            self._sum -= self._buckets.popleft()[1]
