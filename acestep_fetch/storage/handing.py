"""A small file for somebody else who may read it at any moment: old or new, and never half of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from acestep_fetch.storage import platform

_LARGE: Final = 1 << 16


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
        before = os.fstat(fd).st_size
        if before > _LARGE:
            os.ftruncate(fd, 0)
            before = 0
        os.write(fd, data.ljust(before))  # blanks over the rest of a longer text, until that is cut off
        if before > len(data):
            os.ftruncate(fd, len(data))
    finally:
        os.close(fd)
