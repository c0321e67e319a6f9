"""What other folders on this machine hold of what is wanted: found by size, believed by digest, and not fetched.

Each file is read once in a run to learn its digests; one whose name claims a digest is taken at its word until it is
taken, and the next one is looked at where the word was wrong. Nothing gets a name of ours before the bytes that we have
of it, and not those that somebody may still change, have the right digest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from acestep_fetch.core.errors import DiskError
from acestep_fetch.core.events import Note, Waiting
from acestep_fetch.core.model import Digest, RemoteFile
from acestep_fetch.engine.context import Context
from acestep_fetch.storage import taking
from acestep_fetch.storage.checksum import Digests, FileHash
from acestep_fetch.storage.finding import Candidate, Search, candidate_at
from acestep_fetch.storage.receipts import may_drift
from acestep_fetch.storage.taking import HashedCopy, UnreadableError, Way

_TELL_EVERY: Final = 0.5  # seconds
_WITH_GIT: Final = 1 << 20  # bytes: up to this size a hub may list git's blob id alone


class Elsewhere:
    """The folders that `Options.adopt` names. Does nothing where that is none."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._by_digest = dict[Digest, Candidate]()
        self._by_size = defaultdict[int, list[Candidate]](list)
        self._read = dict[Candidate, Digests | None]()  # None: it could not be read, or changed meanwhile
        self._hashed = self._to_hash = 0
        self._said = False
        self._told = float("-inf")

    def copy_of(self, digests: Iterable[Digest]) -> Path | None:
        """A file with one of these digests, as far as is known."""
        return next((self._by_digest[d].path for d in digests if d in self._by_digest), None)

    async def look_for(self, wanted: Sequence[RemoteFile]) -> None:
        """Finds as much of `wanted` as the folders hold."""
        roots = [place.resolve() for place in self._context.options.adopt]
        wanted = [file for file in wanted if file.size and not self.copy_of(file.digests)]
        if not roots or not wanted or self._context.options.force:
            return
        search = Search(roots, {file.size for file in wanted})
        while await self._context.disk.run(search.step):
            pass
        for text in search.skipped[:4]:
            self._context.emit(Note("warning", f"{text}: not looked into"))
        if more := search.skipped[4:]:
            self._context.emit(Note("warning", f"{len(more)} more folders could not be looked into"))
        self._by_size.clear()
        for candidate in sorted(search.found, key=lambda found: found.claim is None):
            self._by_size[candidate.size].append(candidate)
        self._to_hash += sum(c.size for c in search.found if not c.claim and c not in self._read)
        for size in sorted(self._by_size):
            await self._settle([file for file in wanted if file.size == size], self._by_size[size])

    async def distrust(self, source: Path, file: RemoteFile) -> None:
        """The file at `source` is not `file`, whatever its name claims, or cannot be had: the next one is looked at."""
        for digest in [d for d, candidate in self._by_digest.items() if candidate.path == source]:
            self._read[self._by_digest.pop(digest)] = None
        await self._settle([file], self._by_size[file.size])

    async def _settle(self, wanted: Sequence[RemoteFile], candidates: Sequence[Candidate]) -> None:
        """Looks at `candidates`, all of the size of `wanted`, until nothing of that is left to be found."""
        for candidate in candidates:
            lacking = [file for file in wanted if not self.copy_of(file.digests)]
            if not lacking:
                return
            if candidate in self._read:
                continue
            claim = candidate.claim
            if claim and all(claim.kind in [digest.kind for digest in file.digests] for file in lacking):
                if any(claim in file.digests for file in lacking):
                    self._by_digest[claim] = candidate
                continue  # by its name it is something else
            git = candidate.size <= _WITH_GIT or any(file.git_sha1 for file in lacking)
            self._read[candidate] = digests = await self._hash(candidate, git=git)
            if digests:
                self._by_digest.setdefault(Digest("sha256", digests.sha256), candidate)
                if digests.git_sha1:
                    self._by_digest.setdefault(Digest("git-sha1", digests.git_sha1), candidate)

    async def _hash(self, candidate: Candidate, *, git: bool) -> Digests | None:
        context, path = self._context, candidate.path
        try:
            reader = await context.on_hasher(path, FileHash, path, git=git)
            with reader:
                while await context.on_hasher(path, reader.step):
                    self._hashed += FileHash.STEP
                    self._tell("reading files of this machine that may be what is wanted", self._hashed, self._to_hash)
                digests = reader.digests()
        except DiskError as error:
            context.emit(Note("warning", f"{error.message}: not used"))
            return None
        if await context.disk.run(candidate.is_unchanged):
            return digests
        context.emit(Note("warning", f"{path}: changed while it was read: not used"))
        return None

    def _tell(self, why: str, done: int, total: int) -> None:
        if self._context.clock() >= self._told + _TELL_EVERY:
            self._told = self._context.clock()
            self._context.emit(Waiting(why, 0.0, min(done, total), total))

    async def take(self, source: Path, target: Path, file: RemoteFile) -> tuple[Digests, Way] | None:
        """Makes `target` have the bytes of `source`. The digests of what is there now, and how it came there; None
        where it cannot be had that way, or not be read. Raises `DiskError` and `DiskFullError` for our own disk."""
        context, git = self._context, file.git_sha1 is not None or file.size <= _WITH_GIT
        way = Way(context.options.adopt_by)
        if way is Way.HARDLINK and may_drift(target.name):
            way = Way.AUTO  # ACE-Step rewrites these in place, and would rewrite somebody else's
        if way is Way.HARDLINK and await context.on_disk(target, taking.put_link, source, target):
            linked = await context.on_disk(target, candidate_at, target)
            digests = await context.hash_file(target, git=git)
            unchanged = linked is not None and await context.disk.run(linked.is_unchanged)
            if unchanged:
                return digests, way
            await context.on_disk(target, target.unlink)
            return None
        if way in (Way.AUTO, Way.REFLINK) and await context.on_disk(target, taking.put_clone, source, target):
            return await context.hash_file(target, git=git), Way.REFLINK
        if way in (Way.HARDLINK, Way.REFLINK):
            self._say_once(f"this disk cannot make a {way} of {source}: not used (--copy copies what is found)")
            return None
        copied = await self._copy(source, target, file, git=git)
        return (copied, Way.COPY) if copied else None

    async def _copy(self, source: Path, target: Path, file: RemoteFile, *, git: bool) -> Digests | None:
        context, copy, size = self._context, None, 0
        try:
            with context.explained(target):
                copy = await context.disk.acquire(
                    target, lambda: HashedCopy(source, target, git=git), HashedCopy.discard
                )
            while await context.on_hasher(target, copy.step):
                size += taking.STEP
                self._tell(f"copying {target.parent.name}/{target.name}", size, file.size)
            whole, copy = copy, None
            return await context.on_disk(target, whole.finish)
        except UnreadableError as error:
            context.emit(Note("warning", f"{error}: not used"))
            return None
        finally:
            if copy:
                await context.on_disk(target, copy.discard)

    def _say_once(self, text: str) -> None:
        if not self._said:
            self._context.emit(Note("warning", text))
        self._said = True
