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
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from acestep_fetch.core.errors import DiskError
from acestep_fetch.storage import platform

_ROOM: Final = 1024  # bytes of the text, always the same, so that no reader sees the end of an older one
_GLANCES: Final = 4  # times that the lock is tried for: who looks in `Lease.holder` has it for a blink
_BLINK: Final = 0.01  # seconds


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds the lease, and how many bytes of how many it has, as far as it wrote that down.

    `since` is in epoch seconds. `models` are those that it makes ready; none where it does something else.
    """

    pid: int
    host: str
    done: int = 0
    total: int = 0
    since: float = field(default=0.0, compare=False)
    models: tuple[str, ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}" if self.pid else "another process"


class Lease:
    """Held until `release`."""

    def __init__(self, fd: int, path: Path, models: Sequence[str] = ()) -> None:
        self._fd, self._path = fd, path
        self._disk = path.stat().st_dev
        self._models, self._since = list(models), time.time()

    @classmethod
    def take(cls, path: Path, models: Sequence[str] = ()) -> Lease | Holder:
        """The lease, or who has it. Never waits for that. `models` are for people. Raises OSError where the folder
        cannot be written, `DiskError` where none can be made at all."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except FileNotFoundError as exc:  # of a folder whose parent is there: it never was, and so has not vanished
            raise DiskError(
                f"{exc.filename or path.parent}: no folder can be made there",
                hint="see that the disk is there and holds files, or choose another folder with --dir",
            ) from exc
        fd = platform.open_for_update(path, getattr(os, "O_NOFOLLOW", 0))
        try:
            if not _locked(fd):
                holder = _holder(fd)
                os.close(fd)
                return holder
            os.ftruncate(fd, 0)
            lease = cls(fd, path, models)
            lease._sign()
        except OSError:
            os.close(fd)
            raise
        return lease

    @staticmethod
    def holder(path: Path) -> Holder | None:
        """Who has the lease, for those who only look: nothing is made or changed. None where nobody has it, or where
        it cannot be read."""
        try:
            fd = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0))
        except OSError:
            return None
        try:
            if not os.fstat(fd).st_size or platform.try_shared_lock(fd):
                return None  # given back in order, or its owner is dead
            return _holder(fd)
        except OSError:
            return None
        finally:
            os.close(fd)

    def _sign(self) -> None:
        """A disk without room for that has a better place to say so: the plan's verdict."""
        try:
            self.tell(0, 0)
        except OSError as exc:
            if exc.errno not in platform.NO_ROOM:
                raise

    def tell(self, done: int, total: int) -> None:
        """Writes down who the owner is and how far, for those who wait. Raises OSError."""
        row = {"pid": os.getpid(), "host": socket.gethostname(), "done": done, "total": total, "since": self._since}
        text = json.dumps(row | {"models": self._models}).encode()
        if len(text) > _ROOM:
            text = json.dumps(row).encode()
        platform.write_at(self._fd, text.ljust(_ROOM), 0)

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


def _locked(fd: int) -> bool:
    for _ in range(_GLANCES - 1):
        if platform.try_lock(fd):
            return True
        time.sleep(_BLINK)
    return platform.try_lock(fd)


def _holder(fd: int) -> Holder:
    try:
        row = json.loads(os.read(fd, 4096))
        done, total, since = int(row.get("done", 0)), int(row.get("total", 0)), float(row.get("since", 0.0))
        return Holder(int(row["pid"]), str(row["host"]), done, total, since, tuple(map(str, row.get("models", ()))))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Holder(0, "")
