"""Files opened and read off the event loop, and closed whatever happens.

A client may go away at any moment, and its request is then cancelled: between a thread's `open` and the loop's hearing
of it, or while a `close` waits for a thread. `aiofiles.open` would leave the file to the garbage collector in both
cases.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from io import FileIO
from pathlib import Path

import aiofiles.threadpool
from aiofiles.threadpool.binary import AsyncFileIO


@asynccontextmanager
async def reading(path: Path) -> AsyncIterator[AsyncFileIO]:
    """The file at `path`, unbuffered. Raises `OSError`."""
    opening = asyncio.get_running_loop().run_in_executor(None, partial(FileIO, path, "rb"))
    try:
        file = await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close_late)
        raise
    with file:  # closing what was only read does not block
        yield aiofiles.threadpool.wrap(file)


def _close_late(opening: asyncio.Future[FileIO]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
