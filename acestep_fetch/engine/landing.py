"""Small files on their way from memory to the disk: as many in one visit as have come in meanwhile.

A file of a few KiB costs more in a thread's wake-up than in its bytes, so what ends within a moment goes together.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from acestep_fetch.engine.planning import Job

_LINGER: Final = 0.02  # seconds in which others may join the first
_MOST_FILES: Final = 256  # of one visit, which nothing can interrupt
_MOST_BYTES: Final = 8 << 20


class Landing:
    """Collects the jobs of small files as their transfers end, in whatever way."""

    def __init__(self) -> None:
        self._ended = asyncio.Queue[Job]()

    def expect(self, job: Job) -> None:
        """`next` will have the job once its transfer is done or failed."""
        if job.transfer.open:
            job.transfer.on_end = partial(self._ended.put_nowait, job)
        else:
            self._ended.put_nowait(job)

    async def next(self) -> list[Job]:
        """Waits for a job that has ended, and a moment for more of them."""
        batch = [await self._ended.get()]
        size = batch[0].transfer.file.size
        await asyncio.sleep(_LINGER)
        while not self._ended.empty() and len(batch) < _MOST_FILES and size < _MOST_BYTES:
            batch.append(self._ended.get_nowait())
            size += batch[-1].transfer.file.size
        return batch
