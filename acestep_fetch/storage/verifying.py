"""Are finished files still what they were when they were verified? Answered on this disk alone.

A receipt has each file's sha256. Where a file came through a part file, its journal was kept: it has the checksum of
every piece, so that damage is found to the piece, and `take_back` can make a part file of what is still right.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from acestep_fetch.core.model import Digest
from acestep_fetch.core.spans import Span
from acestep_fetch.storage import platform
from acestep_fetch.storage.checksum import crc_at, hash_file
from acestep_fetch.storage.journal import Journal, Piece
from acestep_fetch.storage.layout import Layout
from acestep_fetch.storage.parts import held_bytes, journal_of
from acestep_fetch.storage.receipts import Receipt, ReceiptFile, is_same_time, may_drift, write_receipt
from acestep_fetch.storage.staging import refuse_links

_SPARE: Final = 64 << 20  # bytes that a copy leaves free
_NEVER: Final = -1  # a modification time that no file has: the receipt does not vouch for it any more


class Condition(StrEnum):
    RIGHT = "right"
    CHANGED = "changed"  # a file that the application rewrites, or the user's: a note, not damage
    DAMAGED = "damaged"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Finding:
    """`bad` are the spans that do not hold, where that is known. `mtime_ns` is the file's own time now."""

    file: ReceiptFile
    condition: Condition
    why: str = ""
    bad: tuple[Span, ...] = ()
    mtime_ns: int = _NEVER
    unreadable: bool = False

    @property
    def is_fault(self) -> bool:
        return self.condition in (Condition.DAMAGED, Condition.MISSING)


def inspect(layout: Layout, file: ReceiptFile, *, fast: bool, keep_on: Callable[[], None] = lambda: None) -> Finding:
    """Looks at one file: size and time if `fast`, every byte if not. Blocks; an unreadable file is a damaged one.
    `keep_on` is called every now and then, and may raise to stop it."""
    path = layout.root / file.path
    try:
        found = path.stat()
        right = Finding(file, Condition.RIGHT, mtime_ns=found.st_mtime_ns)
        if found.st_size != file.size:
            emptied = not found.st_size  # that is what a loss of power leaves, and nobody's wish
            return _fault(file, f"{found.st_size} bytes, {file.size} expected", may_be_wanted=not emptied)
        if fast:
            return (
                right
                if is_same_time(found.st_mtime_ns, file.mtime_ns)
                else _fault(file, "changed since it was verified")
            )
        if hash_file(path, git=False, keep_on=keep_on).sha256 == file.sha256:
            return right
        return _located(layout, file, keep_on)
    except FileNotFoundError:
        return Finding(file, Condition.MISSING, "it is not there")
    except OSError as exc:
        return Finding(file, Condition.DAMAGED, f"it cannot be read: {exc.strerror or exc}", unreadable=True)


def take_back(layout: Layout, receipt: Receipt, findings: Iterable[Finding]) -> None:
    """Lets the next run fetch what is at fault, and of a large file only the pieces that do not hold: a copy of it
    becomes a part file, and the receipt does not vouch for it any more. What turned out right is vouched for with the
    time that it has now.

    Only for who holds the lease. Raises OSError, and `DiskError` where a link stands in the way.
    """
    found = {finding.file.path: finding for finding in findings}
    files = tuple(_recorded(file, found.get(file.path)) for file in receipt.files)
    if files != receipt.files:
        refuse_links(layout.state, layout.receipts)
        write_receipt(layout.receipts, replace(receipt, files=files))
    for finding in found.values():
        if finding.unreadable:
            (layout.root / finding.file.path).unlink(missing_ok=True)
        elif finding.is_fault and finding.bad:
            _make_part(layout, finding.file, finding.bad)


def has_news(findings: Iterable[Finding]) -> bool:
    """Whether `take_back` would do anything."""
    return any(finding.is_fault or _recorded(finding.file, finding) != finding.file for finding in findings)


def _recorded(file: ReceiptFile, finding: Finding | None) -> ReceiptFile:
    if finding is None or finding.condition is Condition.CHANGED:
        return file
    return replace(file, mtime_ns=finding.mtime_ns)


def _fault(file: ReceiptFile, why: str, *, may_be_wanted: bool = True) -> Finding:
    return Finding(file, Condition.CHANGED if may_be_wanted and may_drift(file.path) else Condition.DAMAGED, why)


def _located(layout: Layout, file: ReceiptFile, keep_on: Callable[[], None]) -> Finding:
    _, pieces = _pieces(layout, file)
    if not pieces:
        return _fault(file, "its bytes are not what they were")
    fd = os.open(layout.root / file.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        bad = tuple(piece.span for piece in pieces if not _holds(fd, piece, keep_on))
    finally:
        os.close(fd)
    if not bad:
        return _fault(file, "its bytes are not what they were")
    why = f"{len(bad)} of {len(pieces)} pieces do not hold, the first at byte {bad[0].start}"
    return replace(_fault(file, why), bad=bad)


def _holds(fd: int, piece: Piece, keep_on: Callable[[], None]) -> bool:
    keep_on()
    return crc_at(fd, piece.span.start, len(piece.span)) == piece.crc


def _pieces(layout: Layout, file: ReceiptFile) -> tuple[Digest, list[Piece]]:
    """The kept journal's pieces, and the digest by which the file was fetched."""
    sha256 = Digest("sha256", file.sha256)
    for digest in (sha256, *([Digest("git-sha1", file.git_sha1)] if file.git_sha1 else [])):
        if pieces := Journal.peek(layout.pieces(digest), digest, file.size):
            return digest, pieces
    return sha256, []


def _make_part(layout: Layout, file: ReceiptFile, bad: Sequence[Span]) -> None:
    """A part file of what is right, unless there is one that has as much: an earlier repair may have been stopped. Its
    journal does not name what is `bad`, so that the plan counts that as missing before anybody reads it again."""
    digest, damaged = _pieces(layout, file)[0], layout.root / file.path
    part = layout.part(digest)
    if held_bytes(part, digest, file.size) >= file.size - sum(map(len, bad)) or not damaged.exists():
        return
    for path in (part, journal_of(part)):
        refuse_links(layout.state, path)
    part.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(layout.pieces(digest), journal_of(part))
    _drop(journal_of(part), digest, file.size, bad)
    if not damaged.is_symlink() and platform.free_bytes(layout.root) < file.size + _SPARE:
        platform.move(damaged, part)  # no room for two: the damaged one gives way
    else:
        platform.clone(damaged, part)


def _drop(path: Path, digest: Digest, size: int, bad: Iterable[Span]) -> None:
    if loaded := Journal.load(path, digest, size):
        journal, _ = loaded
        try:
            for span in bad:
                journal.drop(span)
        finally:
            journal.close()
