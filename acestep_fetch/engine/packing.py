"""From verified files to volumes: what another box lacks, and nothing else.

Each file is read once from end to end, so that its digest is known when its last byte is packed. A volume counts as
written (its sha256 is in ``bundle.json``) only when every content that has bytes in it turned out right, and until then
it has another name: whatever stops this, what is written is right, and the next run goes on behind it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Final

from acestep_fetch.core.bundle import (
    BUNDLE_NAME,
    Bundle,
    Content,
    Extent,
    Needs,
    Volume,
    Wanted,
    lay_out,
    render_bundle,
)
from acestep_fetch.core.errors import DiskFullError, IncompleteError, IntegrityError, LeaseError, UsageError
from acestep_fetch.core.lock import Lock, LockedFile
from acestep_fetch.core.model import RemoteFile
from acestep_fetch.core.spans import Span
from acestep_fetch.storage import platform
from acestep_fetch.storage.carried import read_bundle
from acestep_fetch.storage.checksum import hash_file
from acestep_fetch.storage.inventory import Held, Inventory
from acestep_fetch.storage.layout import Layout
from acestep_fetch.storage.lockfile import write_text
from acestep_fetch.storage.parts import allocated_bytes

BLOCK: Final = 4 << 20
SPARE: Final = 16 << 20
CLAIM: Final = ".acestep-fetch.lock"  # in the folder of a bundle, while one is written there
_TRIES: Final = 100  # of a claim that its owner is just giving up

Tell = Callable[[int], None]  # bytes that were read


def everything_of(lock: Lock) -> Needs:
    """The needs of a box that has nothing."""
    files = [file for model in lock.models for file in model.files if file.size]
    return Needs(lock, {file.path: (Span(0, file.size),) for file in files}, ())


def plan_bundle(needs: Needs, layout: Layout, split: int, fetch: str) -> tuple[Bundle, dict[str, Held]]:
    """The volumes that would be written, and the files that they are made of, by sha256. `fetch` is the command that
    gets what is not here. Raises `IncompleteError` that names what is not."""
    inventory, held, absent = Inventory(layout), dict[str, Held](), list[str]()
    wanted, models = dict[str, Wanted](), list(needs.lock.models)
    for at, model in enumerate(models):
        files = list[LockedFile]()
        for file in model.files:
            found = inventory.find(RemoteFile(file.path, file.size, file.sha256, file.git_sha1).digests, file.size)
            files.append(replace(file, sha256=file.sha256 or found.sha256) if found else file)
            if not (spans := needs.lacks.get(file.path)):
                continue
            if found is None:
                absent.append(file.path)
                continue
            held[found.sha256] = found
            if file.sha256 is None:  # what the other box holds of it is kept under another name than it will have now
                spans = (Span(0, file.size),)
            wanted.setdefault(found.sha256, Wanted(file.path, file.size, found.sha256, spans))
        models[at] = replace(model, files=tuple(files))
    if absent:
        more = f" and {len(absent) - 3} more" if len(absent) > 3 else ""
        raise IncompleteError(
            f"not here in the version that is needed: {', '.join(absent[:3])}{more}",
            hint=f"fetch it first: {fetch}",
        )
    return lay_out(Lock(tuple(models)), wanted.values(), split), held


def pack(folder: Path, bundle: Bundle, held: dict[str, Held], tell: Tell = lambda count: None) -> Bundle:
    """Writes what is not written yet of `bundle` into `folder`, and returns it with the digests of its volumes. Blocks.

    Raises `UsageError` where the folder has another bundle, `LeaseError` where somebody else packs into it,
    `DiskFullError` before the first byte, `IntegrityError` for a file that is not what its receipt says, and what else
    the disk raises as `DiskError`.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            bundle = _begun(folder, bundle)
            _check_space(folder, bundle)
            return _Packer(folder, bundle, held, tell).run()
    except OSError as exc:
        raise platform.explain(exc, exc.filename or folder) from exc


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Nobody else packs into `folder` meanwhile. Raises `LeaseError`, and OSError."""
    path = folder / CLAIM
    fd = _claimed(path)
    try:
        yield
    finally:
        gone = _removed(path)  # while it is ours: a moment later it may be somebody else's
        os.close(fd)
        if not gone:  # Windows removes nothing that is open; so it leaves it to them, too, if somebody has it by now
            _removed(path)


def _claimed(path: Path) -> int:
    """The system's lock ends with its owner, however that ends; a file that was left there means nothing."""
    for _ in range(_TRIES):
        fd = platform.open_for_update(path, getattr(os, "O_NOFOLLOW", 0))
        try:
            if not platform.try_lock(fd):
                break
            if _is_at(path, fd):
                kept, fd = fd, -1
                return kept
        finally:
            if fd >= 0:
                os.close(fd)
    raise LeaseError(
        f"{path.parent}: another `bundle create` is writing into it",
        hint="wait until that has ended and run the same command, or name another folder with -o",
    )


def _is_at(path: Path, fd: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(fd))
    except FileNotFoundError:
        return False


def _removed(path: Path) -> bool:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return False
    return True


def _begun(folder: Path, bundle: Bundle) -> Bundle:
    """`bundle` with the digests of volumes that are there and right. What a kill left of a list goes."""
    for path in folder.glob(".[0-9]*-[0-9]*.tmp"):
        path.unlink(missing_ok=True)
    if not (folder / BUNDLE_NAME).exists():
        if any(path.name != CLAIM for path in folder.iterdir()):
            raise UsageError(f"{folder}: there is something else in it", hint="name a new or empty folder with -o")
        return bundle
    there = read_bundle(folder)
    if not there.is_laid_out_as(bundle):
        raise UsageError(f"{folder}: there is another bundle in it", hint="name another folder with -o, or remove it")
    for number, volume in enumerate(there.volumes):
        path = folder / volume.name
        right = volume.sha256 and path.is_file() and hash_file(path, git=False).sha256 == volume.sha256
        bundle = bundle.with_digest(number, volume.sha256 if right else "")
    return bundle


def _check_space(folder: Path, bundle: Bundle) -> None:
    unwritten = [volume for volume in bundle.volumes if not volume.sha256]
    needed = SPARE + sum(volume.size for volume in unwritten)
    left = sum(
        allocated_bytes(_unfinished(folder, volume)) for volume in unwritten
    )  # by an earlier run, and overwritten
    free = platform.free_bytes(folder) + left
    if needed > free:
        raise DiskFullError(
            f"not enough disk space in {folder}: {needed / 1e9:.2f} GB needed, {free / 1e9:.2f} GB free",
            hint="choose another folder with -o; nothing was written",
        )


def _unfinished(folder: Path, volume: Volume) -> Path:
    return folder / f"{volume.name}.part"


class _Packer:
    def __init__(self, folder: Path, bundle: Bundle, held: dict[str, Held], tell: Tell) -> None:
        self._folder, self._bundle, self._held, self._tell = folder, bundle, held, tell
        self._unverified = [{c.sha256 for c in bundle.contents if n in c.volumes} for n in range(len(bundle.volumes))]
        self._hashes = {n: hashlib.sha256() for n, volume in enumerate(bundle.volumes) if not volume.sha256}
        self._missing = {n: bundle.volumes[n].size for n in self._hashes}  # bytes that are still to be written
        self._files = dict[int, BinaryIO]()  # open ones: those that have some of their bytes

    def run(self) -> Bundle:
        self._note()
        try:
            for content in self._bundle.contents:
                if content.volumes & self._hashes.keys():
                    self._pack(content)
                for number in content.volumes:
                    self._unverified[number].discard(content.sha256)
                self._finish()
        finally:
            for file in self._files.values():
                file.close()
        return self._bundle

    def _pack(self, content: Content) -> None:
        held, digest = self._held[content.sha256], hashlib.sha256()
        extents = [extent for extent in content.extents if extent.volume in self._hashes]
        for start, block in _blocks(held.path):
            digest.update(block)
            self._tell(len(block))
            for extent in extents:
                self._write(extent, start, block)
        if digest.hexdigest() != content.sha256:
            raise IntegrityError(
                f"{held.path}: its bytes are not what they were when it was verified",
                hint="mend it with `acestep-fetch repair`, then run the same command again",
            )

    def _write(self, extent: Extent, start: int, block: memoryview) -> None:
        """What of `block`, which begins at `start` in its file, belongs to `extent`."""
        low, high = max(extent.span.start, start), min(extent.span.stop, start + len(block))
        if low < high:
            piece = block[low - start : high - start]
            self._hashes[extent.volume].update(piece)
            self._open(extent.volume).write(piece)
            self._missing[extent.volume] -= len(piece)
            if not self._missing[extent.volume]:
                self._close(extent.volume)

    def _open(self, number: int) -> BinaryIO:
        if number not in self._files:
            self._files[number] = _unfinished(self._folder, self._bundle.volumes[number]).open("wb")
        return self._files[number]

    def _close(self, number: int) -> None:
        """One that is full: a content may have bytes in more volumes than a process may have open."""
        with self._files.pop(number) as file:
            file.flush()
            platform.sync_data(file.fileno())

    def _finish(self) -> None:
        """Gives their names to volumes of which everything is verified."""
        for number in [n for n in self._hashes if not self._unverified[n]]:
            volume = self._bundle.volumes[number]
            _unfinished(self._folder, volume).replace(self._folder / volume.name)
            platform.sync_folder(self._folder)
            self._bundle = self._bundle.with_digest(number, self._hashes.pop(number).hexdigest())
            self._note()

    def _note(self) -> None:
        write_text(self._folder / BUNDLE_NAME, render_bundle(self._bundle))


def _blocks(path: Path) -> Iterator[tuple[int, memoryview]]:
    buffer, start = memoryview(bytearray(BLOCK)), 0
    with path.open("rb", buffering=0) as file:
        with suppress(AttributeError, OSError):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        while count := file.readinto(buffer):
            yield start, buffer[:count]
            start += count
