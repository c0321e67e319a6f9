"""What is on this disk already, by the word of receipts: files that can be found by their content."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from acestep_fetch.core.model import Digest
from acestep_fetch.storage import receipts
from acestep_fetch.storage.layout import Layout


@dataclass(frozen=True, slots=True)
class Held:
    """A verified file, with the sha256 that it had then."""

    path: Path
    size: int
    sha256: str


class Inventory:
    """Looks at receipts, sizes and times once, when it is made; blocks for that."""

    def __init__(self, layout: Layout) -> None:
        self._held, self._spoken = dict[Digest, Held](), set[tuple[str, Digest]]()
        for receipt in receipts.all_receipts(layout.receipts):
            self._spoken |= receipts.spoken_of([receipt])
            standing = receipts.compare(receipt, layout.root)
            for file in receipt.files:
                if file.path not in standing.damaged and file.path not in standing.drifted:
                    held = Held(layout.root / file.path, file.size, file.sha256)
                    self._held.setdefault(Digest("sha256", file.sha256), held)
                    if file.git_sha1:
                        self._held.setdefault(Digest("git-sha1", file.git_sha1), held)

    def once_was(self, path: str, digests: Iterable[Digest]) -> bool:
        """Whether that was at `path` when a receipt was written, whatever is there now."""
        return any((path, digest) in self._spoken for digest in digests)

    def find(self, digests: Iterable[Digest], size: int) -> Held | None:
        """A file with the first of these digests."""
        found = next((self._held[digest] for digest in digests if digest in self._held), None)
        return found if found and found.size == size else None
