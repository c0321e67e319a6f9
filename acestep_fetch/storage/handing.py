"""A small file for somebody else to read: the summary of a run."""

from __future__ import annotations

import os
from pathlib import Path

from acestep_fetch.storage import platform


def hand_over(target: Path, data: bytes) -> None:
    """Writes `data`, a text of a few KiB, to `target`. Raises OSError.

    A new file appears whole. One that is there is written in place and stays the same file, because others may have
    mounted it (a container's /dev/termination-log), opened it or linked to it; so is a device or a pipe.
    """
    if target.exists():
        _write_in_place(target, data)
        return
    with platform.beside(target) as temporary:
        temporary.write_bytes(data)


def _write_in_place(target: Path, data: bytes) -> None:
    fd = os.open(target, os.O_WRONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
    try:
        os.write(fd, data)
        if os.fstat(fd).st_size > len(data):
            os.ftruncate(fd, len(data))
    finally:
        os.close(fd)
