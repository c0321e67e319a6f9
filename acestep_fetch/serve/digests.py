"""Digests of files on disk, computed once for each (location, size, modification time) and kept in memory."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from acestep_fetch.serve.layout import FoundFile

_BLOCK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class FileDigests:
    """`git_sha1` is git's blob id, which Hugging Face lists for files outside LFS; "" where nobody asks for it."""

    sha256: str
    git_sha1: str


def compute_digests(location: Path, size: int, with_git: bool, stopped: threading.Event) -> FileDigests:
    """Reads the file once. Raises `OSError`, also where it does not have `size` bytes (any more) or when `stopped`."""
    sha256, git = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    with location.open("rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            sha256.update(block)
            if with_git:
                git.update(block)
            if stopped.is_set():
                raise InterruptedError(f"{location} is no longer wanted")
        if file.tell() != size:
            raise OSError(f"{location} changed while it was read")
    return FileDigests(sha256.hexdigest(), git.hexdigest() if with_git else "")


class DigestCache:
    """Computes digests in threads of its own, so that neither the event loop nor readers of files wait for it.

    `wants_git` says for which files the git blob id is needed too.
    """

    def __init__(self, wants_git: Callable[[FoundFile], bool]) -> None:
        self._wants_git = wants_git
        self._known = dict[tuple[Path, int, int, bool], FileDigests]()
        self._busy = dict[tuple[Path, int, int, bool], threading.Lock]()
        self._guard = threading.Lock()
        self._stopped = threading.Event()
        self._pool = ThreadPoolExecutor(min(4, os.cpu_count() or 1), thread_name_prefix="digests")

    def of_all(self, files: Iterable[FoundFile]) -> list[FileDigests]:
        """The digests of `files`, in order. Blocks; callable from any thread. Raises `OSError`."""
        return list(self._pool.map(self._of, files))

    def close(self) -> None:
        """Stops within a block of the file that is being read, and drops the ones that wait."""
        self._stopped.set()
        self._pool.shutdown(cancel_futures=True)

    def _of(self, file: FoundFile) -> FileDigests:
        key = (file.location, file.size, file.mtime_ns, self._wants_git(file))
        with self._guard:
            lock = self._busy.setdefault(key, threading.Lock())
        with lock:
            if key not in self._known:
                self._known[key] = compute_digests(file.location, file.size, self._wants_git(file), self._stopped)
            return self._known[key]
