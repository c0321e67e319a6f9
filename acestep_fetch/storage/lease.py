"""The right to write into a checkpoints folder: one process at a time.

The lock is the operating system's, so it ends with its owner however that ends. The file's text only tells people who
holds it, and how far that is. Where locks lie (some network disks), part files are still keyed by digest and proven by
it before they are published: what is lost is work, never a right file.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from acestep_fetch.core.errors import DiskError
from acestep_fetch.storage import platform

_ROOM: Final = 512  # bytes of the text, always the same, so that no reader sees the end of an older one


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds the lease, and how many bytes of how many it has, as far as it wrote that down."""

    pid: int
    host: str
    done: int = 0
    total: int = 0

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}" if self.pid else "another process"


class Lease:
    """Held until `release`."""

    def __init__(self, fd: int, path: Path) -> None:
        self._fd, self._path = fd, path
        self._disk = path.stat().st_dev

    @classmethod
    def take(cls, path: Path) -> Lease | Holder:
        """The lease, or who has it. Never waits. Raises OSError where the folder cannot be written."""
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = platform.open_for_update(path, getattr(os, "O_NOFOLLOW", 0))
        try:
            if not platform.try_lock(fd):
                holder = _holder(fd)
                os.close(fd)
                return holder
            os.ftruncate(fd, 0)
            lease = cls(fd, path)
            lease._sign()
        except OSError:
            os.close(fd)
            raise
        return lease

    def _sign(self) -> None:
        """A disk without room for that has a better place to say so: the plan's verdict."""
        try:
            self.tell(0, 0)
        except OSError as exc:
            if exc.errno not in platform.NO_ROOM:
                raise

    def tell(self, done: int, total: int) -> None:
        """Writes down who the owner is and how far, for those who wait. Raises OSError."""
        row = {"pid": os.getpid(), "host": socket.gethostname(), "done": done, "total": total}
        platform.write_at(self._fd, json.dumps(row).encode().ljust(_ROOM), 0)

    def check(self) -> None:
        """Raises `DiskError` where the folder is gone, or another one lies there now (moved away, unmounted): what is
        written from here on would land in the wrong place. Raises OSError."""
        try:
            there = self._path.stat().st_dev == self._disk
        except (FileNotFoundError, NotADirectoryError):
            there = False
        if not there:
            raise DiskError(
                f"{self._path.parent}: it has vanished while files were fetched into it",
                hint="see that folder and disk are there, and run the same command: what is left is used",
            )

    def release(self) -> None:
        """Whatever the disk says: the lock goes with the descriptor."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._fd, 0)
        with contextlib.suppress(OSError):
            os.close(self._fd)


def holder_of(path: Path) -> Holder | None:
    """Who holds the lease at `path` now; None where nobody does. Creates nothing. Raises OSError."""
    try:
        fd = platform.open_for_update(path, getattr(os, "O_NOFOLLOW", 0), create=False)
    except FileNotFoundError:
        return None
    try:
        return None if platform.try_lock(fd) else _holder(fd)
    finally:
        os.close(fd)


def _holder(fd: int) -> Holder:
    try:
        row = json.loads(os.read(fd, 4096))
        return Holder(int(row["pid"]), str(row["host"]), int(row.get("done", 0)), int(row.get("total", 0)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Holder(0, "")
