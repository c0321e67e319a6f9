"""A small file for somebody else to read, where they want it: the summary of a run, a lock, needs."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from acestep_fetch.storage import platform
from acestep_fetch.storage.receipts import write_atomically

_DESCRIPTORS: Final = re.compile("/dev|/dev/fd|/proc/[^/]+/fd")  # where names stand for what is open already


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


def put(target: Path, data: bytes) -> None:
    """Writes `data` to a file that people name. Raises OSError.

    A file is the old one or the new one, whatever happens in between, and a link to one goes on leading there. What is
    no file of its own (`is_stream`) is written to. A link that leads nowhere is replaced: in a folder that somebody
    else made, it would choose where we write.
    """
    if is_stream(target):
        fd = os.open(target, os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0))
        try:
            _write_all(fd, data)
        finally:
            os.close(fd)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(Path(os.path.realpath(target)) if target.exists() else target, data)


def is_stream(target: Path) -> bool:
    """Whether what is written there goes somewhere, and is not kept: a device, a pipe, or /dev/stdout and the like,
    which may lead to a file that already holds something."""
    if not target.exists():
        return False
    place = os.path.realpath(target.absolute().parent)
    return _DESCRIPTORS.fullmatch(place) is not None or not (target.is_file() or target.is_dir())


def _write_in_place(target: Path, data: bytes) -> None:
    fd = os.open(target, os.O_WRONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
    try:
        _write_all(fd, data)
        if os.fstat(fd).st_size > len(data):
            os.ftruncate(fd, len(data))
    finally:
        os.close(fd)


def _write_all(fd: int, data: bytes) -> None:
    """A disk that is nearly full, and a pipe, take less than all at once."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]
