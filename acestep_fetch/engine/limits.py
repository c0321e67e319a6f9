"""The bandwidth budget that all connections share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

_BURST_SECONDS: Final = 0.25
_GRAIN_SECONDS: Final = 0.02


class Budget:
    """A token bucket of `rate` bytes a second; None lets everything pass.

    A taker may overdraw, then waits until the debt is paid: chunks are never split and the mean is exact.
    """

    def __init__(self, rate: int | None, clock: Callable[[], float]) -> None:
        self._rate, self._clock = rate, clock
        self._level, self._at = 0.0, clock()

    @property
    def limited(self) -> bool:
        return self._rate is not None

    def grain(self, count: int) -> int:
        """How many of `count` bytes to ask for at a time."""
        return count if self._rate is None else min(count, max(1, int(self._rate * _GRAIN_SECONDS)))

    async def take(self, count: int) -> None:
        """Returns when `count` more bytes fit the budget."""
        if self._rate is None:
            return
        now = self._clock()
        self._level = min(self._level + (now - self._at) * self._rate, _BURST_SECONDS * self._rate) - count
        self._at = now
        if self._level < 0:
            await asyncio.sleep(-self._level / self._rate)
