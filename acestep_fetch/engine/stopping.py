"""A stop in order: what has arrived is written down. But nobody waits long for a disk that does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

from acestep_fetch.engine.context import Context

_STEP: Final = 0.05  # seconds between two looks,
_PATIENCE: Final = 6  # and looks in a row that see no call to the disk come back


async def in_order(work: Coroutine[Any, Any, None], context: Context, leave: Callable[[], None]) -> None:
    """Runs `work`. A cancel reaches it and waits for its end.

    Where the disk does not answer meanwhile, `leave` is called, once: it ends the process, if there is one to end.
    Nothing is lost that a kill would not cost, because the journal needs no sync to be safe.
    """
    task = asyncio.create_task(work, name="session")
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        task.cancel()
        await _ended(task, context, leave)
        raise
    task.result()


async def _ended(task: asyncio.Task[None], context: Context, leave: Callable[[], None]) -> None:
    quiet, ended = 0, context.disk.ended
    while not task.done():  # however often the caller is cancelled
        with suppress(asyncio.CancelledError):
            await asyncio.wait([task], timeout=_STEP)
        quiet = quiet + 1 if context.disk.ended == ended else 0  # counted, because we may be late ourselves
        ended = context.disk.ended
        if quiet == _PATIENCE:
            leave()
    if not task.cancelled():
        task.exception()  # seen: the stop is what counts
