"""What is there already: right files are adopted, whoever put them there, and never fetched again.

A file is believed without hashing only where a receipt of ours names it with the size and time that it still has.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from acestep_fetch.core.errors import DiskError
from acestep_fetch.core.events import FileReused, Note
from acestep_fetch.core.merge import ManifestFile
from acestep_fetch.core.model import Digest, RemoteFile
from acestep_fetch.engine.adopting import Elsewhere
from acestep_fetch.engine.components import Component
from acestep_fetch.engine.context import Context
from acestep_fetch.storage import platform, receipts
from acestep_fetch.storage.checksum import Digests

_AT_ONCE: Final = 256  # files looked at in one visit to the disk, which nothing can interrupt


class Known:
    """What receipts say is on this disk: digests by path, and a path for each digest. `elsewhere` is what other folders
    hold."""

    def __init__(self, context: Context) -> None:
        self.elsewhere = Elsewhere(context)
        self._context = context
        self._by_path: dict[str, receipts.ReceiptFile] = {}
        self._by_digest: dict[Digest, Path] = {}
        self._spoken: set[tuple[str, Digest]] = set()

    async def learn(self) -> None:
        """Reads the receipts and looks at the files they name."""
        for name in await self._context.on_disk(self._context.layout.receipts, self._learn):
            text = f"the receipt {name} is damaged, or another version's: what it spoke of is looked at anew"
            self._context.emit(Note("warning", text))

    def _learn(self) -> list[str]:
        """The names of receipts that cannot be used."""
        root, unusable = self._context.layout.root, list[str]()
        for name, receipt in receipts.named_receipts(self._context.layout.receipts):
            if receipt is None:
                unusable.append(name)
                continue
            standing = receipts.compare(receipt, root)
            self._spoken |= receipts.spoken_of([receipt])
            for file in receipt.files:
                if file.path not in standing.damaged and file.path not in standing.drifted:
                    self._by_path[file.path] = file
                    self._by_digest[Digest("sha256", file.sha256)] = root / file.path
                    if file.git_sha1:
                        self._by_digest[Digest("git-sha1", file.git_sha1)] = root / file.path
        return unusable

    def digests(self, label: str, *, git: bool) -> Digests | None:
        """The digests of the file at `label` under checkpoints/, if a receipt vouches for it."""
        file = self._by_path.get(label)
        return Digests(file.sha256, file.git_sha1) if file and (file.git_sha1 or not git) else None

    def once_was(self, label: str, file: RemoteFile) -> bool:
        """Whether `file` was at `label` under checkpoints/ when a receipt was written, whatever is there now."""
        return any((label, digest) in self._spoken for digest in file.digests)

    def copy_of(self, digests: Iterable[Digest]) -> Path | None:
        """A file on this disk with one of these digests (none, where everything is to be fetched anew)."""
        if self._context.options.force:
            return None
        digests = tuple(digests)
        ours = next((self._by_digest[d] for d in digests if d in self._by_digest), None)
        return ours or self.elsewhere.copy_of(digests)

    def is_ours(self, path: Path) -> bool:
        """Whether what `copy_of` said lies in this folder."""
        return path in self._by_digest.values()

    async def distrust(self, path: Path, file: RemoteFile) -> None:
        """The bytes at `path` are not those of `file`, or cannot be had: `copy_of` says something else from now on."""
        for digest in [d for d, known in self._by_digest.items() if known == path]:
            del self._by_digest[digest]
        await self.elsewhere.distrust(path, file)


async def examine(component: Component, known: Known, context: Context) -> None:
    """Sorts what is under the final name and in staging into kept, staged and foreign."""
    if context.options.force:
        return
    drifted, layout = list[str](), context.layout
    is_locked = component.record is not None and component.record.locked  # what never was the lock's is no change of it
    for file, there in await _looked(component, context):
        label = component.label(file.path)
        final = layout.final(component.name) / file.path
        if found := there.final == file.file.size and await _match(
            final, file, known.digests(label, git=_git(file)), context
        ):
            component.kept[file.path] = found
        elif found := there.staged == file.file.size and await _match(
            layout.staged(component.name) / file.path, file, None, context
        ):
            component.staged[file.path] = found
        elif receipts.may_drift(file.path) and there.final and (not is_locked or known.once_was(label, file.file)):
            component.foreign[file.path] = await context.hash_file(final, git=_git(file))
            drifted.append(label)
            continue
        else:
            continue
        context.emit(FileReused(label, file.file.size))
    if drifted:
        text = (
            f"{', '.join(drifted[:4])}{' and more' if len(drifted) > 4 else ''}: not the hub's version, left as it is"
        )
        context.emit(Note("info", f"{text} (--force fetches it anew)"))


@dataclass(frozen=True, slots=True)
class _There:
    """The sizes of what is under a file's final name and in staging; None where there is no file."""

    final: int | None
    staged: int | None


async def _looked(component: Component, context: Context) -> list[tuple[ManifestFile, _There]]:
    """The component's wanted files and what is there of each, many to a visit to the disk."""
    wanted, found = component.wanted, list[_There]()
    final, staged = context.layout.final(component.name), context.layout.staged(component.name)
    for start in range(0, len(wanted), _AT_ONCE):
        paths = [file.path for file in wanted[start : start + _AT_ONCE]]
        found += await context.on_disk(final, _look, context.layout.root, final, staged, paths)
    return list(zip(wanted, found, strict=True))


def _look(root: Path, final: Path, staged: Path, paths: Iterable[str]) -> list[_There]:
    found, clear, limit = list[_There](), set[Path](), platform.longest_name(root)
    for path in paths:
        if limit and any(len(os.fsencode(name)) > limit for name in path.split("/")):
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), str(final / path))
        _clear_way(root, final / path, clear)
        found.append(_There(_size(final / path), _size(staged / path)))
    return found


async def _match(path: Path, file: ManifestFile, vouched: Digests | None, context: Context) -> Digests | None:
    if vouched is None:
        vouched = await context.hash_file(path, git=_git(file))
    return vouched if vouched.agrees_with(file.file) else None


def _git(file: ManifestFile) -> bool:
    return file.file.git_sha1 is not None or file.file.size <= 1 << 20


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _clear_way(root: Path, final: Path, clear: set[Path]) -> None:
    """Raises `DiskError` where something that is no file stands in a file's place, or no folder in a folder's.
    `clear` are folders that need no second look."""
    if final.is_dir():
        raise DiskError(f"{final}: a folder stands where a file belongs", hint="move it away and run this again")
    for folder in final.parents:
        if folder in clear or folder == root:
            return
        clear.add(folder)
        if folder.is_dir():
            return
        if folder.exists():
            raise DiskError(f"{folder}: a file stands where a folder belongs", hint="move it away and run this again")
