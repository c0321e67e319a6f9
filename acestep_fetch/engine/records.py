"""What our own records say of a folder, and how much of what they speak of is there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from acestep_fetch.core.model import Digest
from acestep_fetch.storage.begun import Begun, BegunFile, all_begun
from acestep_fetch.storage.layout import Layout
from acestep_fetch.storage.parts import held_bytes
from acestep_fetch.storage.receipts import Receipt, all_receipts, compare

Record = Receipt | Begun


class Records:
    """Receipts and what was begun, read once. Blocks for a moment; raises OSError where the folder cannot be read."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.receipts = list(all_receipts(layout.receipts))
        self.begun = list(all_begun(layout))
        self._damaged = {id(receipt): set(compare(receipt, layout.root).damaged) for receipt in self.receipts}
        self._vouched = {f.path: f for r in self.receipts for f in r.files if f.path not in self._damaged[id(r)]}
        self._doubted = set[str]().union(*self._damaged.values()) - self._vouched.keys()
        self._in_parts = dict[Digest, int]()

    @property
    def all(self) -> list[Record]:
        return [*self.begun, *self.receipts]

    def is_ready(self, receipt: Receipt) -> bool:
        return not self._damaged[id(receipt)]

    def held(self, record: Record) -> Mapping[str, int]:
        """The bytes that are here of each of its files, by the path under the checkpoints folder."""
        if isinstance(record, Receipt):
            damaged = self._damaged[id(record)]
            return {file.path: 0 if file.path in damaged else file.size for file in record.files}
        return {file.path: self._held(file) for file in record.files}

    def _held(self, file: BegunFile) -> int:
        """Under its final name, staged, or in a part file."""
        staged = self.layout.staged(file.component) / file.inside
        if self._may_be_final(file) or _size(staged) == file.size:
            return file.size
        return min(self.in_part(file.digest, file.size), file.size)

    def _may_be_final(self, file: BegunFile) -> bool:
        """By a receipt that vouches for it, else by its size."""
        if vouched := self._vouched.get(file.path):
            theirs = vouched.sha256 if file.digest.kind == "sha256" else vouched.git_sha1
            return vouched.size == file.size and theirs in (None, file.digest.hex)
        return file.path not in self._doubted and _size(self.layout.root / file.path) == file.size

    def in_part(self, digest: Digest, size: int) -> int:
        """The bytes that the part file of this content holds, as its journal says."""
        if digest not in self._in_parts:
            try:
                self._in_parts[digest] = held_bytes(self.layout.part(digest), digest, size)
            except OSError:
                self._in_parts[digest] = 0
        return self._in_parts[digest]


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
