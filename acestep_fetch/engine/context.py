"""What every part of the engine is handed: the disk, the clock, chance, and whom to tell."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import ParamSpec, TypeVar

from acestep_fetch.core.errors import DiskError, LeaseError
from acestep_fetch.core.events import Event, Listener
from acestep_fetch.engine.pulse import Pulse
from acestep_fetch.options import Options
from acestep_fetch.storage import platform
from acestep_fetch.storage.checksum import Digests, FileHash
from acestep_fetch.storage.layout import Layout
from acestep_fetch.storage.threads import Disk

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Context:
    """`clock` is monotonic seconds, `wall` epoch seconds, `jitter` a draw from [0, 1).

    `check_folder` blocks; it raises where the checkpoints folder is not the one any more that the run began with, or is
    somebody else's by now. `is_alone` says that locks hold there, so that no other run can have come in.
    """

    options: Options
    layout: Layout
    disk: Disk
    listener: Listener
    jitter: Callable[[], float] = random.random
    wall: Callable[[], float] = time.time
    clock: Callable[[], float] = time.monotonic  # asyncio's loops go by the same one
    pulse: Pulse = field(default_factory=Pulse)
    check_folder: Callable[[], None] = lambda: None
    is_alone: bool = True

    def emit(self, event: Event) -> None:
        """Tells the listener."""
        self.pulse.hear(event)
        self.listener(event)

    async def on_disk(self, label: object, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """A blocking call in a disk thread. Raises `DiskError` or `DiskFullError` that names `label`'s file, and what
        `check_folder` raises where that says more: files vanish for whoever does not own the folder any more."""
        async with self._still_ours():
            with self.explained(label):
                return await self.disk.run_on(label, call, *args, **kwargs)

    async def on_hasher(self, label: object, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same in a hashing thread."""
        async with self._still_ours():
            with self.explained(label):
                return await self.disk.hash_on(label, call, *args, **kwargs)

    @asynccontextmanager
    async def _still_ours(self) -> AsyncIterator[None]:
        try:
            yield
        except DiskError as error:
            with suppress(OSError):
                await self.disk.run(self.check_folder)
            if not self.is_alone and isinstance(error.__cause__, FileNotFoundError):
                raise LeaseError(
                    f"{error.message}: another run seems to be at work here too, and locks do not hold on this disk",
                    hint="run the same command again: what is there is kept",
                ) from error
            raise

    @contextmanager
    def explained(self, label: object) -> Iterator[None]:
        """What the disk refuses within the block is raised as `DiskError` or `DiskFullError`."""
        try:
            yield
        except OSError as exc:
            raise platform.explain(exc, exc.filename or str(label)) from exc

    async def hash_file(self, path: Path, *, git: bool) -> Digests:
        """The digests of a file on disk, in steps between which a stop is heard."""
        reader = await self.on_hasher(path, FileHash, path, git=git)
        with reader:
            while await self.on_hasher(path, reader.step):
                pass
            return reader.digests()
