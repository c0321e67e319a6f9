"""The right to write into a checkpoints folder: one process at a time.

The lock is the operating system's, so it ends with its owner however that ends. The file's text only tells people who
holds it. Where locks lie (some network disks), part files are still keyed by digest and proven by it before they are
published: what is lost is work, never a right file.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from acestep_fetch.core.errors import DiskError
from acestep_fetch.storage import platform


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds the lease, as far as it wrote that down."""

    pid: int
    host: str

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
            _sign(fd)
            return cls(fd, path)
        except OSError:
            os.close(fd)
            raise

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


def _sign(fd: int) -> None:
    """Writes down who holds it. A disk without room for that has a better place to say so: the plan's verdict."""
    os.ftruncate(fd, 0)
    try:
        platform.write_at(fd, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode(), 0)
    except OSError as exc:
        if exc.errno not in platform.NO_ROOM:
            raise


def _holder(fd: int) -> Holder:
    try:
        row = json.loads(os.read(fd, 4096))
        return Holder(int(row["pid"]), str(row["host"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Holder(0, "")
