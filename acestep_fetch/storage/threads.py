"""Disk work off the event loop: a few threads of our own.

A cancelled caller still waits for the call that is under way (they are short), so that no thread is left holding a file
descriptor that its owner is about to close. What is under way can be seen from outside: a disk may never answer.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Final, ParamSpec, Self, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

THREADS: Final = 6


class Disk:
    """Runs blocking calls in threads. Hashing has threads of its own, so that a long read never delays a write."""

    def __init__(self) -> None:
        self._writers = ThreadPoolExecutor(THREADS, thread_name_prefix="disk")
        self._hashers = ThreadPoolExecutor(2, thread_name_prefix="hash")
        self._lock, self._numbers = threading.Lock(), itertools.count(1)
        self._under_way = dict[int, object]()
        self.ended = 0  # calls that have come back

    @property
    def under_way(self) -> dict[int, str]:
        """The calls that have not come back, oldest first: a number for each, and the file that it is about."""
        with self._lock:
            return {number: str(what) for number, what in self._under_way.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._writers.shutdown(wait=True)
        self._hashers.shutdown(wait=True)

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs `call` in a disk thread and returns what it returns."""
        return await self.run_on("", call, *args, **kwargs)

    async def run_on(self, what: object, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same; `what` names the file that it is about."""
        return await _settled(self._writers, self._noted(what, partial(call, *args, **kwargs)), None)

    async def acquire(self, what: object, call: Callable[[], T], undo: Callable[[T], None]) -> T:
        """`run_on` for a call whose result must be given back: `undo` gets it where the caller was cancelled
        meanwhile."""
        return await _settled(self._writers, self._noted(what, call), undo)

    async def hash_on(self, what: object, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`run_on` in a hashing thread."""
        return await _settled(self._hashers, self._noted(what, partial(call, *args, **kwargs)), None)

    def _noted(self, what: object, call: Callable[[], T]) -> Callable[[], T]:
        def noted() -> T:
            with self._lock:
                number = next(self._numbers)
                self._under_way[number] = what
            try:
                return call()
            finally:
                with self._lock:
                    del self._under_way[number]
                    self.ended += 1

        return noted


async def _settled(pool: ThreadPoolExecutor, call: Callable[[], T], undo: Callable[[T], None] | None) -> T:
    work = asyncio.get_running_loop().run_in_executor(pool, call)
    stopped: asyncio.CancelledError | None = None
    while not work.done():  # however often the caller is cancelled
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError as exc:
            stopped = exc
    if stopped is None:
        return work.result()
    if not work.cancelled() and work.exception() is None and undo:
        undo(work.result())
    raise stopped
