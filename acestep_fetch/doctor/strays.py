"""What other tools, and earlier runs of ours, left in a checkpoints folder."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Final

from acestep_fetch.catalogue.asking import command
from acestep_fetch.core.model import Digest
from acestep_fetch.display.units import plural, size
from acestep_fetch.doctor.belief import model_folders
from acestep_fetch.doctor.findings import Finding, fail, ok, warn
from acestep_fetch.storage.layout import Layout
from acestep_fetch.storage.lease import Holder, Lease
from acestep_fetch.storage.parts import held_bytes

QUIET: Final = 3600.0  # seconds without a change, after which what nobody holds open is nobody's any more
_MOST: Final = 50_000  # files that are looked at: the folder may be the wrong one
_NAMED: Final = 4
_TEMP: Final = "._____temp"
_TOOLS_OWN: Final = frozenset([".cache", _TEMP])


@dataclass(frozen=True, slots=True)
class Stray:
    """A file that another tool did not finish. `path` is below the checkpoints folder. `is_open`: a process has it
    open; None where that cannot be known."""

    path: str
    tool: str
    size: int
    age: float  # seconds since it was written to
    is_open: bool | None
    is_needed: bool = False  # it tells that the file beside it is not finished

    @property
    def is_lock(self) -> bool:
        return self.path.endswith(".lock")

    @property
    def is_left(self) -> bool:
        """Whether nobody can be at work on it any more, as far as can be known."""
        return not self.is_open and self.age > QUIET and not self.is_needed


@dataclass(frozen=True, slots=True)
class Leftovers:
    """Of ours. `held` are the bytes in unfinished files, which the next run goes on from. `links` stand where folders
    of ours belong: what is behind them is not ours."""

    parts: int = 0
    held: int = 0
    orphans: int = 0  # journals without their part
    holder: Holder | None = None  # who writes here now
    links: tuple[Path, ...] = ()


def find_strays(root: Path) -> tuple[Stray, ...]:
    """Unfinished files of hf, modelscope and aria2, in `root` itself and in folders of models: it may be the wrong
    folder. Raises OSError where `root` cannot be read, and nothing for what else cannot."""
    seen, now, searched = 0, time.time(), model_folders(root) | _TOOLS_OWN
    found = list[tuple[Path, str, os.stat_result]]()
    for folder, folders, files in os.walk(root):
        if Path(folder) == root:
            folders[:] = [name for name in folders if name in searched]
        seen += len(files)
        if seen > _MOST:
            break
        for name in files:
            path = Path(folder, name)
            if tool := _tool(path.relative_to(root)):
                try:
                    found.append((path, tool, path.lstat()))
                except OSError:
                    continue
    opened = open_files() if found else None
    return tuple(
        Stray(
            path.relative_to(root).as_posix(),
            tool,
            at.st_size,
            now - at.st_mtime,
            None if opened is None else (at.st_dev, at.st_ino) in opened,
            tool == "aria2" and path.with_suffix("").exists(),
        )
        for path, tool, at in found
    )


def _tool(path: Path) -> str | None:
    """Whose unfinished file it is, by its name; None for what is none."""
    if _TEMP in path.parts:
        return "modelscope"
    if path.suffix == ".aria2":
        return "aria2"
    beside = ".cache" in path.parts and "huggingface" in path.parts
    if path.suffix == ".incomplete":
        return "hf" if beside or path.parent.name == "blobs" else None
    return "hf" if beside and path.suffix == ".lock" else None


def open_files() -> set[tuple[int, int]] | None:
    """Device and inode of every file that a process of ours has open; None where the system does not tell."""
    held = set[tuple[int, int]]()
    try:
        processes = [name for name in os.listdir("/proc") if name.isdecimal()]
    except OSError:
        return None
    for number in processes:
        for path in _descriptors(number):
            with suppress(OSError):
                at = os.stat(path)
                held.add((at.st_dev, at.st_ino))
    return held


def _descriptors(process: str) -> list[str]:
    """Of a process that has ended, or is another user's, none."""
    folder = f"/proc/{process}/fd"
    try:
        return [f"{folder}/{name}" for name in os.listdir(folder)]
    except OSError:
        return []


def look_at_leftovers(layout: Layout) -> Leftovers:
    """Raises OSError where they cannot be read."""
    if links := tuple(each for each in (layout.state, layout.parts, layout.staging) if each.is_symlink()):
        return Leftovers(holder=Lease.holder(layout.lease), links=links)
    parts = sorted(layout.parts.glob("*.part"))
    orphans = [path for path in layout.parts.glob("*.journal") if not path.with_suffix(".part").exists()]
    return Leftovers(len(parts), sum(map(_held, parts)), len(orphans), Lease.holder(layout.lease))


def _held(part: Path) -> int:
    """By its journal. The part's name is its digest (`Layout.part`)."""
    git = part.stem.removeprefix("git-sha1-")
    try:
        digest = Digest("sha256", part.stem) if git == part.stem else Digest("git-sha1", git)
        return held_bytes(part, digest, part.stat().st_size)
    except (OSError, ValueError):
        return 0


def of_strays(strays: tuple[Stray, ...], folder: Path | None = None) -> Iterator[Finding]:
    """A line for each tool that left something. `folder`: see `asking.command`."""
    for tool in dict.fromkeys(stray.tool for stray in strays):
        mine = [stray for stray in strays if stray.tool == tool]
        names = ", ".join(stray.path for stray in mine[:_NAMED]) + (", ..." if len(mine) > _NAMED else "")
        files = f"{plural(len(mine), 'file')} of {tool}'s, {size(sum(stray.size for stray in mine))}: {names}"
        if all(stray.is_lock for stray in mine):
            yield ok("leftovers", f"{files}: locks, which do no harm")
        elif any(stray.is_left for stray in mine):
            yield warn(
                "leftovers",
                f"unfinished: {files}",
                f"{command('doctor --fix', folder)} (removes what nobody writes to)",
            )
        elif any(stray.is_needed for stray in mine):
            todo = "the file of that name is not whole: let aria2c finish it, or remove both"
            yield warn("leftovers", f"unfinished: {files}", todo)
        else:
            yield ok("leftovers", f"unfinished: {files}: written to within the hour, or open now")


def of_leftovers(left: Leftovers, folder: Path | None = None) -> Iterator[Finding]:
    """What of ours is under way or was not finished, and what would keep a run from writing it."""
    for link in left.links:
        detail = f"{link}: a link stands where something of ours belongs, and a download ends there with 8"
        yield fail("our own", detail, f"look where it leads, then remove it: rm {quote(str(link))}")
    if left.holder:
        yield ok("our own", f"{left.holder} is downloading into this folder now")
    elif left.parts:
        detail = f"{plural(left.parts, 'file')} begun and not finished, {size(left.held)} kept"
        yield ok("our own", detail, "the same command as before goes on from there")
    if left.orphans:
        todo = f"{command('doctor --fix', folder)}; the next run does it too"
        yield ok("our own", f"{plural(left.orphans, 'journal')} without a file", todo)
