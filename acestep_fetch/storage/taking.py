"""How a file that somebody else keeps becomes ours: sharing its blocks, as a copy, or as a second name for it."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Final

from acestep_fetch.storage import platform
from acestep_fetch.storage.checksum import BLOCK, ContentHash, Digests

STEP: Final = 16 << 20


class Way(StrEnum):
    """AUTO shares blocks where the disk can, and copies elsewhere. The others mean just that, or nothing."""

    AUTO = "auto"
    COPY = "copy"
    REFLINK = "reflink"
    HARDLINK = "hardlink"


class UnreadableError(Exception):
    """The source cannot be read: a word about the source, not about our own disk."""


class _CannotError(Exception):
    pass


class HashedCopy:
    """Copies in steps, and hashes what it copies. Nothing of it stays under `target` before `finish`. Raises OSError
    for our own disk, `UnreadableError` for the source."""

    def __init__(self, source: Path, target: Path, *, git: bool) -> None:
        try:
            self._reader = source.open("rb", buffering=0)
        except OSError as exc:
            raise UnreadableError(f"{source}: {exc.strerror or exc}") from exc
        try:
            self._content = ContentHash(os.fstat(self._reader.fileno()).st_size, git=git)
            target.parent.mkdir(parents=True, exist_ok=True)
            self._beside = platform.beside(target)
            self._writer = self._beside.__enter__().open("wb", buffering=0)
            self._offset = 0
        except BaseException:
            self._reader.close()
            raise

    def step(self) -> bool:
        """Copies some more; False at the end."""
        buffer = memoryview(bytearray(BLOCK))
        for _ in range(STEP // BLOCK):
            try:
                count = self._reader.readinto(buffer)
            except OSError as exc:
                raise UnreadableError(f"{self._reader.name}: {exc.strerror or exc}") from exc
            if not count:
                return False
            self._content.update(buffer[:count])
            platform.write_at(self._writer.fileno(), buffer[:count], self._offset)
            self._offset += count
        return True

    def finish(self) -> Digests:
        """Gives the copy its name."""
        self._close()
        self._beside.__exit__(None, None, None)
        return self._content.digests()

    def discard(self) -> None:
        """Leaves nothing of it."""
        self._close()
        self._beside.__exit__(_CannotError, _CannotError(), None)

    def _close(self) -> None:
        self._reader.close()
        self._writer.close()


def put_clone(source: Path, target: Path) -> bool:
    """`target` shares the blocks of `source` from now on; False where the disk cannot. Raises OSError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(source, os.R_OK):
        return False
    try:
        with platform.beside(target) as temporary:
            _share(source, temporary)
    except _CannotError:
        return False
    return True


def _share(source: Path, target: Path) -> None:
    if not platform.reflink(source, target):
        raise _CannotError


def put_link(source: Path, target: Path) -> bool:
    """`target` is another name of `source` from now on; False where the disk cannot."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with platform.beside(target) as temporary:
            os.link(source, temporary)
    except OSError:
        return False
    return True
