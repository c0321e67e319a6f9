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

    def __init__(self, fd: int) -> None:
        self._fd = fd

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
            lease = cls(fd)
            lease.tell(0, 0)
        except OSError:
            os.close(fd)
            raise
        return lease

    def tell(self, done: int, total: int) -> None:
        """Writes down how far the owner is, for those who wait. Raises OSError."""
        row = {"pid": os.getpid(), "host": socket.gethostname(), "done": done, "total": total}
        platform.write_at(self._fd, json.dumps(row).encode().ljust(_ROOM), 0)

    def release(self) -> None:
        with contextlib.suppress(OSError):
            os.ftruncate(self._fd, 0)
        os.close(self._fd)


def _holder(fd: int) -> Holder:
    try:
        row = json.loads(os.read(fd, 4096))
        return Holder(int(row["pid"]), str(row["host"]), int(row.get("done", 0)), int(row.get("total", 0)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Holder(0, "")
