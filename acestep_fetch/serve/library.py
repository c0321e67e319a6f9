"""What the hub has on its shelves: repositories, their commits, and the files behind a digest."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Final, ParamSpec, TypeVar

from acestep_fetch.core.model import RepoId
from acestep_fetch.serve.digests import DigestCache, FileDigests
from acestep_fetch.serve.layout import FoundFile, RepoFolder, find_files, find_repositories

LFS_FROM: Final = 10 << 20  # bytes
BINARY_SUFFIXES: Final = (".safetensors", ".pt", ".bin", ".gguf")
_COMMITS_KEPT: Final = 8

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Blob:
    """A file as it is offered. `oid` is git's object id: of the content, or of the pointer if the file is in LFS."""

    path: str
    size: int
    sha256: str
    oid: str
    lfs: bool
    location: Path
    mtime_ns: int

    @property
    def etag(self) -> str:
        """What Hugging Face gives as the file's ETag, without quotes."""
        return self.sha256 if self.lfs else self.oid

    def is_unchanged(self) -> bool:
        """Whether the file on disk is still the one that was hashed. Blocks."""
        try:
            status = os.stat(self.location)
            is_same_place = os.path.realpath(self.location) == str(self.location)
        except OSError:
            return False
        return is_same_place and (status.st_size, status.st_mtime_ns) == (self.size, self.mtime_ns)


@dataclass(frozen=True, slots=True)
class Folder:
    path: str
    oid: str  # stands for git's tree id; nobody can check it


Entry = Blob | Folder


@dataclass(frozen=True)
class Listing:
    """A repository at one commit. `blobs` is sorted by path."""

    repo: RepoId
    commit: str
    blobs: Mapping[str, Blob]

    @property
    def modified(self) -> float:
        """When the newest file was written, in seconds since the epoch."""
        return max((blob.mtime_ns for blob in self.blobs.values()), default=0) / 1e9

    @cached_property
    def folders(self) -> Mapping[str, Folder]:
        paths = {str(parent) for path in self.blobs for parent in PurePosixPath(path).parents} - {"."}
        return {path: Folder(path, _sha1(f"tree {self.commit} {path}")) for path in sorted(paths)}

    def entries(self, under: str = "", *, recursive: bool) -> list[Entry] | None:
        """Files and folders below the folder `under`, by path; None if there is no such folder."""
        if under and under not in self.folders:
            return None
        head = f"{under}/" if under else ""
        everything: Mapping[str, Entry] = {**self.folders, **self.blobs}
        return [
            everything[path]
            for path in sorted(everything)
            if path.startswith(head) and (recursive or "/" not in path[len(head) :])
        ]


@dataclass
class _Shelf:
    """What is remembered of one repository: its commits, newest last."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    commits: dict[str, Listing] = field(default_factory=dict)
    newest: Listing | None = None
    looked_at: float = float("-inf")


class Library:
    """The repositories under a folder, as they are now; belongs to one event loop.

    A repository is looked at again at most every `rescan_after` seconds, and when a file that is asked for has changed;
    it is hashed when somebody first asks for it.
    Files of at least `lfs_from` bytes and binary ones count as LFS files. `renamed` maps old ids to new ones.
    """

    def __init__(
        self,
        root: Path,
        *,
        checkpoints: bool | None = None,
        lfs_from: int = LFS_FROM,
        renamed: Mapping[str, str] | None = None,
        rescan_after: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.root = root.resolve()
        self._checkpoints, self._lfs_from = checkpoints, lfs_from
        self._renamed = {old.lower(): RepoId.parse(new) for old, new in (renamed or {}).items()}
        self._rescan_after, self._clock = rescan_after, clock
        self._folders: Mapping[RepoId, RepoFolder] = {}
        self._folders_at = float("-inf")
        self._shelves = dict[RepoId, _Shelf]()
        self._by_sha256 = dict[str, dict[Path, Blob]]()
        self._digests = DigestCache(wants_git=lambda file: not self._is_lfs(file))
        self._scanners = ThreadPoolExecutor(4, thread_name_prefix="library")

    async def repositories(self) -> list[RepoId]:
        """Every repository that is there now."""
        if self._clock() - self._folders_at >= self._rescan_after:
            self._folders = await self._in_thread(find_repositories, self.root, checkpoints=self._checkpoints)
            self._folders_at = self._clock()
        return list(self._folders)

    async def find(self, owner: str, name: str) -> RepoId | None:
        """The repository somebody means by ``owner/name``: its id in the right case, or the new id of an old one."""
        asked = f"{owner}/{name}".lower()
        if new := self._renamed.get(asked):
            return new
        return next((repo for repo in await self.repositories() if str(repo).lower() == asked), None)

    async def listing(self, repo: RepoId, commit: str | None = None) -> Listing | None:
        """`repo` as it is now, or at one of the last commits that were seen; None if there is no such thing.

        The first call reads all of the repository's files; if the caller gives up, the reading goes on. A folder
        without files is no repository: failed downloads leave such folders. Raises `OSError` where a file cannot be
        read or changes meanwhile: half a repository is never listed.
        """
        await self.repositories()
        if repo not in self._folders:
            return None
        shelf = self._shelves.setdefault(repo, _Shelf())
        if commit is not None and commit in shelf.commits:
            return shelf.commits[commit]
        async with shelf.lock:
            if self._clock() - shelf.looked_at >= self._rescan_after:
                self._keep(shelf, await self._in_thread(self._take_stock, self._folders[repo]))
        listing = shelf.newest if commit is None else shelf.commits.get(commit)
        return listing if listing and listing.blobs else None

    async def blob(self, listing: Listing, path: str) -> Blob | None:
        """The file `path` of `listing`; None where there is none, or where its content is gone.

        A file that looks changed is looked at again at once: somebody may only have touched it. Raises as `listing`.
        """
        blob = listing.blobs.get(path)
        if blob is None or await self.is_unchanged(blob):
            return blob
        shelf, folder = self._shelves[listing.repo], self._folders.get(listing.repo)
        async with shelf.lock:
            if folder and shelf.commits.get(listing.commit) is listing:  # nobody has looked meanwhile
                self._keep(shelf, await self._in_thread(self._take_stock, folder))
        again = shelf.commits.get(listing.commit)
        blob = again.blobs.get(path) if again else None
        return blob if blob and await self.is_unchanged(blob) else None

    async def by_sha256(self, sha256: str) -> Blob | None:
        """A file that holds the content `sha256`, as far as it has been listed. Raises as `listing`."""
        if blob := await self._holder(sha256):
            return blob
        for repo in list(self._shelves) if sha256 in self._by_sha256 else ():  # perhaps it was only touched
            await self.listing(repo)
        return await self._holder(sha256)

    async def _holder(self, sha256: str) -> Blob | None:
        for blob in list(self._by_sha256.get(sha256, {}).values()):
            if await self.is_unchanged(blob):
                return blob
        return None

    async def is_unchanged(self, blob: Blob) -> bool:
        """`Blob.is_unchanged`, off the event loop."""
        return await asyncio.to_thread(blob.is_unchanged)  # not behind the scanners, which can be busy for minutes

    def close(self) -> None:
        """Ends the threads at once; what was being hashed is forgotten."""
        self._digests.close()
        self._scanners.shutdown(cancel_futures=True)

    def _keep(self, shelf: _Shelf, listing: Listing) -> None:
        shelf.commits.pop(listing.commit, None)  # its content is the same, but times may have changed
        shelf.commits[listing.commit] = shelf.newest = listing
        shelf.looked_at = self._clock()
        for old in list(shelf.commits)[:-_COMMITS_KEPT]:
            del shelf.commits[old]
        for blob in listing.blobs.values():
            self._by_sha256.setdefault(blob.sha256, {})[blob.location] = blob

    def _take_stock(self, folder: RepoFolder) -> Listing:
        files = sorted(find_files(self.root, folder), key=lambda file: file.path)
        digests = self._digests.of_all(files)
        blobs = {f.path: self._blob(f, d) for f, d in zip(files, digests, strict=True)}
        return Listing(folder.repo, commit_of(blobs.values()), blobs)

    def _blob(self, file: FoundFile, digests: FileDigests) -> Blob:
        lfs = self._is_lfs(file)
        oid = pointer_oid(digests.sha256, file.size) if lfs else digests.git_sha1
        return Blob(file.path, file.size, digests.sha256, oid, lfs, file.location, file.mtime_ns)

    def _is_lfs(self, file: FoundFile) -> bool:
        return file.size >= self._lfs_from or file.path.endswith(BINARY_SUFFIXES)

    async def _in_thread(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._scanners, lambda: call(*args, **kwargs))


def commit_of(blobs: Iterable[Blob]) -> str:
    """A commit id that follows from the content alone: equal folders have equal commits."""
    rows = sorted((blob.path, blob.size, blob.sha256) for blob in blobs)
    return _sha1("\n".join(f"{path}\0{size}\0{sha256}" for path, size, sha256 in rows))


def pointer_oid(sha256: str, size: int) -> str:
    """The git blob id of a Git LFS pointer, which is what both listings call the `oid` of an LFS file."""
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
    return hashlib.sha1(b"blob %d\0" % len(pointer) + pointer, usedforsecurity=False).hexdigest()


def _sha1(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
