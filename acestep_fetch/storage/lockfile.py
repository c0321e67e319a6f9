"""Locks on disk, and what of a finished download goes into one."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from acestep_fetch.core.errors import UsageError
from acestep_fetch.core.lock import Lock, LockedFile, LockedModel, parse, render
from acestep_fetch.core.model import SHA1_HEX
from acestep_fetch.storage import platform
from acestep_fetch.storage.handing import is_stream, put
from acestep_fetch.storage.receipts import Receipt, write_atomically

MOST: Final = 64 << 20  # bytes of a lock, needs or a bundle's list; the longest known are of less than one MiB


def read_lock(path: Path) -> Lock:
    """Raises `UsageError` where there is none, or none that can be understood."""
    return parse(read_text(path, "acestep-fetch lock writes one"), path.name)[0]


def read_text(path: Path, where_from: str) -> bytes:
    """The bytes of a file that people name, or of who writes into a pipe. Raises `UsageError`, which says `where_from`
    it comes, also for one without end."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST + 1)
    except OSError as exc:
        raise UsageError(f"{path}: {exc.strerror or exc}", hint=where_from) from exc
    if len(data) > MOST:
        raise UsageError(f"{path}: it is longer than {MOST >> 20} MiB", hint=where_from)
    return data


def lock_before(path: Path) -> Lock | None:
    """The lock that is there; None where there is none, or what is written there goes on to somebody. Raises
    `UsageError`."""
    return read_lock(path) if path.exists() and not is_stream(path) else None


def write_lock(path: Path, lock: Lock) -> None:
    """Whole or not at all. Raises `DiskError`."""
    write_named(path, render(lock))


def write_named(path: Path, text: str) -> None:
    """To the file, link or device that people name (`handing.put`). Raises `DiskError`."""
    try:
        put(path, text.encode())
    except OSError as exc:
        raise platform.explain(exc, exc.filename or path) from exc


def write_text(path: Path, text: str) -> None:
    """Whole or not at all, in place of whatever is there. Raises `DiskError`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text.encode())
    except OSError as exc:
        raise platform.explain(exc, exc.filename or path) from exc


def locked_as_received(receipt: Receipt) -> LockedModel:
    """A model as its receipt has it: every digest is of bytes that were on this disk."""
    truths = {name: _hub_and_commit(source) for name, source in receipt.commits.items()}
    files = [LockedFile(file.path, file.size, file.sha256, file.git_sha1) for file in receipt.files]
    commits = dict(truths.values()) | dict(receipt.snapshots)
    return LockedModel(
        name=receipt.model,
        repo=receipt.repo,
        folder=receipt.model if set(receipt.commits) == {receipt.model} else "",
        commits={hub: commit for hub, commit in commits.items() if SHA1_HEX.fullmatch(commit)},
        components=tuple(sorted(receipt.commits)),
        files=tuple(sorted(files, key=lambda file: file.path)),
    )


def _hub_and_commit(source: str) -> tuple[str, str]:
    hub, _, commit = source.partition(":")
    return hub, commit
