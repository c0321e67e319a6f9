"""What lies in our own folder and is not wanted any more: what a loss of power left, and what `clean` gives up."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from acestep_fetch.storage.begun import all_begun
from acestep_fetch.storage.layout import Layout
from acestep_fetch.storage.parts import allocated_bytes, journal_of
from acestep_fetch.storage.receipts import all_receipts


@dataclass(frozen=True, slots=True)
class Leftover:
    """`what` is for people. `size` is in bytes on the disk, of all `paths` together (a part and its journal, say)."""

    what: str
    size: int
    paths: tuple[Path, ...]


def sweep(layout: Layout) -> None:
    """Removes journals whose part file is gone, and what was being written or copied, about models too. Only for who
    holds the lease.

    Parts stay: they are what the next run goes on from. Raises OSError.
    """
    if any(f.is_symlink() for f in (layout.state, layout.parts, layout.staging, layout.receipts, layout.begun)):
        return  # not ours; who writes there says so
    stale = [journal for journal in layout.parts.glob("*.journal") if not journal.with_suffix(".part").exists()]
    written = (*layout.receipts.glob(".*.tmp"), *layout.begun.glob(".*.tmp"))
    for path in (*stale, *written, *layout.staging.rglob(".[0-9]*-[0-9]*.tmp")):
        with suppress(FileNotFoundError):
            path.unlink()


def leftovers(layout: Layout, *, journals: bool = False) -> list[Leftover]:
    """What unfinished downloads have left, and with `journals` also those that `repair` needs to fetch of a damaged
    file only the pieces. A final file is never among it, nor a receipt, nor what lies behind a link."""
    if layout.state.is_symlink():
        return []
    found = chain(_parts(layout), _staged(layout), _notes(layout), _journals(layout, everything=journals))
    return list(found)


def drop(leftover: Leftover) -> None:
    """Removes it. Only for who holds the lease. Raises OSError."""
    for path in leftover.paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _parts(layout: Layout) -> Iterator[Leftover]:
    names = {file.digest: file.path for begun in all_begun(layout) for file in begun.files}
    for part in _files(layout.parts, "*.part"):
        digest = layout.digest_of(part)
        name = names.get(digest, str(digest)) if digest else part.name
        paths = (part, *(path for path in [journal_of(part)] if path.is_file()))
        yield _leftover(f"what there is of {name}", paths)
    for journal in _files(layout.parts, "*.journal"):
        if not journal.with_suffix(".part").exists():
            yield _leftover("a journal without its file", [journal])


def _staged(layout: Layout) -> Iterator[Leftover]:
    if layout.staging.is_dir() and not layout.staging.is_symlink():
        for folder in sorted(layout.staging.iterdir()):
            yield Leftover(f"finished files of {folder.name}, which is not", _size_of(folder), (folder,))


def _notes(layout: Layout) -> Iterator[Leftover]:
    notes = [*_files(layout.begun, "*.json"), *_files(layout.begun, ".*.tmp"), *_files(layout.receipts, ".*.tmp")]
    if notes:
        yield _leftover("notes of what was begun", notes)


def _journals(layout: Layout, *, everything: bool) -> Iterator[Leftover]:
    kept = set[str]() if everything else _digests_in_use(layout)
    if journals := [path for path in _files(layout.kept_journals, "*.journal") if path.stem not in kept]:
        yield _leftover(f"journals of {'finished' if everything else 'dropped'} files", journals)


def _digests_in_use(layout: Layout) -> set[str]:
    """Of files that a receipt speaks of, or that have their final names and wait for the rest of their model."""
    used = {
        digest for r in all_receipts(layout.receipts) for f in r.files for digest in (f.sha256, f.git_sha1) if digest
    }
    final = (f for begun in all_begun(layout) for f in begun.files if (layout.root / f.path).is_file())
    return used | {file.digest.hex for file in final}


def _files(folder: Path, names: str) -> list[Path]:
    if folder.is_symlink():
        return []
    return sorted(path for path in folder.glob(names) if path.is_file() and not path.is_symlink())


def _leftover(what: str, paths: Iterable[Path]) -> Leftover:
    paths = tuple(paths)
    return Leftover(what, sum(map(allocated_bytes, paths)), paths)


def _size_of(folder: Path) -> int:
    if folder.is_symlink() or not folder.is_dir():
        return 0
    return sum(allocated_bytes(path) for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
