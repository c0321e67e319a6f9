"""The bandwidth budget that everything shares which reads a file's bytes from the network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from acestep_fetch.core.budget import after_passing, after_taking, chunk_size, line_of, seconds_to

_TOO_SHORT: Final = 0.001  # seconds: timers are no finer


class Budget:
    """`rate` bytes a second in every second, for all takers together; None lets everything pass.

    Takers pass in the order in which they come, and each waits for one chunk of every other at the most. Whoever has
    read takes before using what it read; to be even, it uses no more than `chunk` bytes at once. `moved` is called each
    time that a chunk has passed.
    """

    def __init__(self, rate: int | None, clock: Callable[[], float], moved: Callable[[], None] = lambda: None) -> None:
        self.chunk = chunk_size(rate) if rate else None  # the most bytes to use at once; None: any number
        self._line = line_of(rate) if rate else None
        self._clock, self._moved = clock, moved

    @property
    def limited(self) -> bool:
        return self._line is not None

    async def take(self, count: int) -> bool:
        """Returns when `count` more bytes have passed; True where they had to wait."""
        waited = False
        while self.chunk and count > 0:
            waited |= await self._pass(min(count, self.chunk))
            count -= self.chunk
        return waited

    async def _pass(self, count: int) -> bool:
        assert self._line
        now = self._clock()
        self._line = after_taking(self._line, count, now)
        due = self._line.until
        waits = seconds_to(self._line, due, now) > 0
        try:
            while (wait := seconds_to(self._line, due, now)) > _TOO_SHORT:
                await asyncio.sleep(wait)
                now = self._clock()
                self._moved()
        finally:
            self._line = after_passing(self._line, due, now)
        return waits
