"""The checkpoints folder: which one, on what disk, is there room, can it be written, do locks hold."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from acestep_fetch.catalogue import load_catalogue
from acestep_fetch.catalogue.models import MAIN
from acestep_fetch.display.units import size
from acestep_fetch.doctor.belief import PICKED
from acestep_fetch.doctor.findings import Finding, fail, ok, warn
from acestep_fetch.engine.records import Records
from acestep_fetch.storage import platform
from acestep_fetch.storage.begun import Begun
from acestep_fetch.storage.claim import STALE
from acestep_fetch.storage.layout import Layout
from acestep_fetch.storage.parts import allocated_bytes
from acestep_fetch.storage.receipts import is_whole

_FAT: Final = frozenset({"vfat", "msdos", "fat", "umsdos"})
_FLEETING: Final = frozenset({"tmpfs", "ramfs"})
_REMOTE: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph", "lustre", "gpfs", "beegfs"})
_LARGEST_ON_FAT: Final = 4_294_967_295
_DIT: Final = 4_787_825_604  # bytes of a DiT, the largest single file of most models


@dataclass(frozen=True, slots=True)
class FolderFacts:
    """`needed` are the bytes that the main model still lacks, about; `reserved` is the room that its part files have
    taken for them already. `kind` is the file system's, "" where the system does not tell. `locks` is None where that
    was not tried."""

    root: Path
    origin: str
    note: str | None
    exists: bool
    free: int
    needed: int
    reserved: int = 0
    kind: str = ""
    refusal: str = ""  # why it cannot be written
    locks: bool | None = None
    nested: bool = False  # models lie in checkpoints/checkpoints
    others: tuple[Path, ...] = ()  # where ACE-Step may look instead, with models in it


def look_at_folder(root: Path, note: str | None, origin: str, environ: Mapping[str, str]) -> FolderFacts:
    """Creates nothing that stays. Raises OSError where the disk cannot be asked at all."""
    place = platform.existing(root)
    refusal, locks = _try_to_write(place)
    needed, reserved = _needed(Layout(root))
    return FolderFacts(
        root=root,
        origin=origin,
        note=note,
        exists=root.is_dir(),
        free=platform.free_bytes(root),
        needed=needed,
        reserved=reserved,
        kind=_kind(place),
        refusal=refusal,
        locks=locks,
        nested=_has_models(root / "checkpoints"),
        others=tuple(_others(root, environ)),
    )


def _try_to_write(place: Path) -> tuple[str, bool | None]:
    """Why a file cannot be written there, and whether a second lock on it is refused as it must be."""
    if not place.is_dir():
        return f"{place} is a file", None
    try:
        with tempfile.NamedTemporaryFile(dir=place, prefix=".acestep-fetch-") as first:
            first.write(b"1")
            first.flush()
            second = platform.open_for_update(Path(first.name), create=False)
            try:
                return "", platform.try_lock(first.fileno()) and not platform.try_lock(second)
            finally:
                os.close(second)
    except OSError as exc:
        return exc.strerror or str(exc), None


def _needed(layout: Layout) -> tuple[int, int]:
    """What the main model lacks, and what its parts have reserved of that: by our own records where there are some,
    else by the catalogue's sizes. Nobody is asked."""
    records = Records(layout)
    mine = [each for each in records.all if each.model == MAIN and is_whole(each.selection)]
    if mine:  # what was begun comes first: it is the newer word
        lacking = mine[0].size - sum(records.held(mine[0]).values())
        return max(0, lacking), _reserved(mine[0], records) if isinstance(mine[0], Begun) else 0
    main = load_catalogue().find(MAIN)
    there = {
        part.name: _bytes_in(layout.final(part.name)) + _bytes_in(layout.staged(part.name)) for part in main.components
    }
    return max(0, main.size - sum(min(part.size, there[part.name]) for part in main.components)), 0


def _reserved(begun: Begun, records: Records) -> int:
    sizes = {file.digest: file.size for file in begun.files}
    taken = {digest: allocated_bytes(records.layout.part(digest)) for digest in sizes}
    return sum(max(0, taken[digest] - records.in_part(digest, size)) for digest, size in sizes.items())


def _bytes_in(folder: Path) -> int:
    total = 0
    for inside, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(os.path.join(inside, name)).st_size
            except OSError:
                continue
    return total


def _kind(place: Path) -> str:
    """The file system's name, of the mount that is nearest above."""
    try:
        rows = [line.split() for line in Path("/proc/self/mountinfo").read_text("utf-8").splitlines()]
        real = place.resolve()
    except (OSError, UnicodeDecodeError):
        return ""
    found = ("", "")
    for row in rows:
        mount = row[4].replace("\\040", " ")
        if real.is_relative_to(mount) and len(mount) >= len(found[0]):
            found = (mount, row[row.index("-") + 1])
    return found[1]


def _others(root: Path, environ: Mapping[str, str]) -> Iterator[Path]:
    """ACE-Step's own ideas: its API server looks below the project's folder whatever the variable says, and its older
    versions beside their own package."""
    places = [Path(environ.get("ACESTEP_PROJECT_ROOT") or ".")]
    try:
        spec = importlib.util.find_spec("acestep")
    except (ImportError, ValueError):  # a stand-in without a spec
        spec = None
    places += [Path(package).parent for package in (spec.submodule_search_locations or ())] if spec else []
    seen = {_real(root)}
    for place in places:
        folder = _real(place / "checkpoints")
        if folder not in seen and _has_models(folder):
            seen.add(folder)
            yield folder


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _has_models(folder: Path) -> bool:
    known = load_catalogue().find(MAIN).folders
    try:
        with os.scandir(folder) as entries:
            return any(entry.is_dir() and (entry.name in known or entry.name.startswith(PICKED)) for entry in entries)
    except OSError:
        return False


def of_folder(facts: FolderFacts) -> Iterator[Finding]:
    """A line for each thing that was looked at. Pure."""
    what = "folder"
    there = "" if facts.exists else ", which does not exist yet"
    yield ok(what, f"{facts.root} ({facts.origin}){there}")
    if facts.note:
        yield warn(what, facts.note, "start from the folder above, or name the folder with --dir")
    if facts.refusal:
        yield fail(what, f"it cannot be written: {facts.refusal}", "check who owns it, or choose another with --dir")
    yield _of_room(facts)
    yield from _of_disk(facts)
    if facts.nested:
        inner = facts.root / "checkpoints"
        yield warn(
            what, f"there are models in {inner} too (ACE-Step issue 623)", f"move them up: mv {inner}/* {facts.root}/"
        )
    for other in facts.others:
        yield warn(
            what,
            f"there are models in {other} too, where ACE-Step may look instead (its issue 763)",
            f"make one of them a link to the other, or set ACESTEP_CHECKPOINTS_DIR={facts.root} for all programs",
        )


def _of_room(facts: FolderFacts) -> Finding:
    free = f"{size(facts.free)} free"
    if not facts.needed:
        return ok("disk", f"{free}, and the main model is here")
    needed = f"the main model still needs about {size(facts.needed)}"
    if (missing := facts.needed - facts.reserved - facts.free) > 0:
        return fail("disk", f"{free}, but {needed}", f"free {size(missing)}, or choose another disk with --dir")
    return ok("disk", f"{free}; {needed}")


def _of_disk(facts: FolderFacts) -> Iterator[Finding]:
    kind = facts.kind
    if kind in _FAT:
        detail = f"{kind}: no file over {size(_LARGEST_ON_FAT)} fits, and ACE-Step's largest have {size(_DIT)}"
        yield fail("file system", detail, "choose a folder on another disk with --dir")
    elif kind in _FLEETING:
        yield warn("file system", f"{kind}: what is there is gone after a restart", "choose another disk with --dir")
    elif kind:
        yield ok("file system", f"{kind}{', over a network' if kind in _REMOTE else ''}")
    if facts.locks is False:
        detail = "they do not hold on this disk: runs tell one another by files; one killed elsewhere is followed"
        yield warn("locks", f"{detail} after {STALE:.0f} s", "run one at a time where that is too slow")
