"""Files in other folders of this machine that may be what is wanted, found by their size alone.

Hugging Face's cache names a file by its digest (``blobs/<sha256>``, git's blob id for small ones): that name is a
claim, which says what to look at first and proves nothing.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from acestep_fetch.core.model import SHA1_HEX, SHA256_HEX, Digest
from acestep_fetch.storage.layout import STATE

_ENTRIES: Final = 2000  # looked at in one step
_UNFINISHED: Final = (STATE, "parts")  # reserved at full length, so that their sizes say nothing


@dataclass(frozen=True, slots=True)
class Candidate:
    """A regular file, at its own name. Another state of the same file is another candidate."""

    path: Path
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: tuple[int, int]

    @property
    def claim(self) -> Digest | None:
        """The digest that its name says."""
        if self.path.parent.name != "blobs":
            return None
        if SHA256_HEX.fullmatch(self.path.name):
            return Digest("sha256", self.path.name)
        return Digest("git-sha1", self.path.name) if SHA1_HEX.fullmatch(self.path.name) else None

    def is_unchanged(self) -> bool:
        """Whether nobody has written to it since it was found."""
        try:
            return candidate_at(self.path) == self
        except OSError:
            return False


def candidate_at(path: Path) -> Candidate | None:
    """None where `path` leads to no regular file. Raises OSError."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        return None
    return Candidate(path, found.st_size, found.st_mtime_ns, found.st_ctime_ns, (found.st_dev, found.st_ino))


class Search:
    """Looks through whole folders, in steps, so that who waits for it can stop in between.

    Links to files are followed, links to folders are not: so nothing is looked at twice, and no loop has a beginning.
    """

    def __init__(self, roots: Sequence[Path], sizes: Collection[int]) -> None:
        self.found = list[Candidate]()
        self.skipped = list[str]()  # what could not be read, and why
        self._folders = list(reversed(roots))
        self._sizes = frozenset(sizes)
        self._seen = set[tuple[int, int]]()

    def step(self) -> bool:
        """Looks at some more; False when there is no more. Blocks for a moment."""
        seen = 0
        while self._folders and seen < _ENTRIES:
            seen += self._look(self._folders.pop())
        return bool(self._folders)

    def _look(self, folder: Path) -> int:
        try:
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as exc:
            self.skipped.append(f"{folder}: {exc.strerror or exc}")
            return 1
        for entry in entries:
            path = Path(entry.path)
            try:
                if entry.is_dir(follow_symlinks=False):
                    if path.parts[-2:] != _UNFINISHED:
                        self._folders.append(path)
                elif entry.is_symlink():
                    self._consider(path.resolve(strict=True))
                elif entry.is_file(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_size in self._sizes:
                    self._consider(path)
            except (OSError, RuntimeError):  # gone meanwhile, or a link that leads nowhere or to itself
                continue
        return len(entries) + 1

    def _consider(self, path: Path) -> None:
        found = candidate_at(path)
        if found and found.size in self._sizes and found.inode not in self._seen:
            self._seen.add(found.inode)
            self.found.append(found)


def usual_places(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Where other programs keep models, as far as it exists: Hugging Face's and ModelScope's caches, ComfyUI."""
    try:
        home = Path(environ.get("HOME") or Path.home())
    except RuntimeError:  # nobody's
        return ()
    cache = Path(environ.get("XDG_CACHE_HOME") or home / ".cache")
    hub = environ.get("HF_HUB_CACHE") or environ.get("HUGGINGFACE_HUB_CACHE")
    places = (
        Path(hub) if hub else Path(environ.get("HF_HOME") or cache / "huggingface") / "hub",
        Path(environ.get("MODELSCOPE_CACHE") or cache / "modelscope"),
        *(Path(environ[name]) / "models" for name in ("COMFYUI_PATH", "COMFYUI_HOME") if environ.get(name)),
        home / "ComfyUI" / "models",
        home / "Documents" / "ComfyUI" / "models",
    )
    return tuple(dict.fromkeys(place.expanduser() for place in places if place.expanduser().is_dir()))
