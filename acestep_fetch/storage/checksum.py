"""Content digests, computed once while the bytes pass by."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from acestep_fetch.core.model import Digest, RemoteFile
from acestep_fetch.storage import platform

BLOCK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Digests:
    """Both digests that the hubs use, of the same bytes."""

    sha256: str
    git_sha1: str | None  # None where nobody asked for it

    def agrees_with(self, file: RemoteFile) -> bool:
        """Whether every digest that the listing gives (at least one) is this one; False where one was not computed."""
        return bool(file.digests) and file.sha256 in (None, self.sha256) and file.git_sha1 in (None, self.git_sha1)

    def of_kind(self, digest: Digest) -> Digest:
        return Digest(digest.kind, (self.sha256 if digest.kind == "sha256" else self.git_sha1) or "")


class ContentHash:
    """Feeds on a file's bytes in order. git's blob id costs a second pass over each block, so it is optional."""

    def __init__(self, size: int, *, git: bool) -> None:
        self._sha256 = hashlib.sha256()
        self._sha1 = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False) if git else None

    def update(self, data: bytes | memoryview) -> None:
        self._sha256.update(data)
        if self._sha1:
            self._sha1.update(data)

    def digests(self) -> Digests:
        return Digests(self._sha256.hexdigest(), self._sha1.hexdigest() if self._sha1 else None)


def digests_of(data: bytes) -> Digests:
    """Of a whole small file in memory."""
    content = ContentHash(len(data), git=True)
    content.update(data)
    return content.digests()


def hash_file(path: Path, *, git: bool, keep_on: Callable[[], None] = lambda: None) -> Digests:
    """Of a file on disk. `keep_on` is called every now and then, and may raise to stop it. Raises OSError."""
    with FileHash(path, git=git) as reader:
        while reader.step():
            keep_on()
        return reader.digests()


class FileHash:
    """The same in steps of up to `STEP` bytes, so that who waits for it can stop in between."""

    STEP: Final = 16 << 20

    def __init__(self, path: Path, *, git: bool) -> None:
        self._file = path.open("rb", buffering=0)
        self._content = ContentHash(os.fstat(self._file.fileno()).st_size, git=git)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()

    def step(self) -> bool:
        """Hashes some more; False at the end."""
        buffer = memoryview(bytearray(BLOCK))
        for _ in range(self.STEP // BLOCK):
            count = self._file.readinto(buffer)
            if not count:
                return False
            self._content.update(buffer[:count])
        return True

    def digests(self) -> Digests:
        return self._content.digests()


def crc_of(chunks: Iterable[bytes | memoryview], start: int = 0) -> int:
    """The crc32 of `chunks` one behind the other."""
    crc = start
    for chunk in chunks:
        crc = zlib.crc32(chunk, crc)
    return crc


def crc_at(fd: int, offset: int, length: int) -> int:
    """The crc32 of bytes on disk; of what is there if the file is shorter."""
    buffer = memoryview(bytearray(min(BLOCK, length)))
    crc = 0
    while length:
        count = platform.read_at(fd, buffer[: min(len(buffer), length)], offset)
        if not count:
            break
        crc = zlib.crc32(buffer[:count], crc)
        offset, length = offset + count, length - count
    return crc
