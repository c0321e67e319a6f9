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
            platform.write_at(fd, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode(), 0)
        except OSError:
            os.close(fd)
            raise
        return cls(fd)

    def release(self) -> None:
        with contextlib.suppress(OSError):
            os.ftruncate(self._fd, 0)
        os.close(self._fd)


def _holder(fd: int) -> Holder:
    try:
        row = json.loads(os.read(fd, 4096))
        return Holder(int(row["pid"]), str(row["host"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Holder(0, "")
