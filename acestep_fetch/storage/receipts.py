"""The record that a model is complete and verified: what makes a rerun instant and silent on the network.

A receipt is believed for a file whose size and modification time are still what it says. Python files are exempt:
ACE-Step rewrites them in place (its ``_sync_model_code_files``), which is a note, not damage.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from glob import escape
from itertools import chain
from pathlib import Path
from typing import Any, Final

from acestep_fetch.core.merge import is_furniture
from acestep_fetch.core.model import SHA1_HEX, SHA256_HEX, Digest
from acestep_fetch.core.paths import why_unsafe, why_unsafe_name
from acestep_fetch.storage import platform

VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class ReceiptFile:
    """`path` is relative to the checkpoints folder. `repo_path` is the file's name in its repository."""

    path: str
    repo_path: str
    size: int
    mtime_ns: int
    sha256: str
    git_sha1: str | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """`selection` is what was asked for beyond the model's name: revision and patterns; empty for all of it, in the
    version that was the newest. `snapshots` are the commits of all hubs that were listed."""

    model: str
    repo: str
    commits: Mapping[str, str]  # component -> "hub:commit"
    selection: Mapping[str, Any]
    files: tuple[ReceiptFile, ...]
    snapshots: Mapping[str, str] = field(default_factory=dict)  # hub -> commit

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def is_whole(self) -> bool:
        return is_whole(self.selection)


def is_whole(selection: Mapping[str, Any]) -> bool:
    """Whether it is all files of a model, of whichever revision."""
    return not (selection.get("include") or selection.get("exclude"))


@dataclass(frozen=True, slots=True)
class Standing:
    """How a model's files compare with its receipt."""

    damaged: tuple[str, ...]  # missing, or another size or time
    drifted: tuple[str, ...]  # Python files that the application changed

    @property
    def ready(self) -> bool:
        return not self.damaged


def compare(receipt: Receipt, root: Path) -> Standing:
    """Looks at names, sizes and times only: a few stat calls."""
    damaged, drifted = list[str](), list[str]()
    for file in receipt.files:
        try:
            found = (root / file.path).stat()
        except OSError:
            damaged.append(file.path)
            continue
        if found.st_size != file.size or not is_same_time(found.st_mtime_ns, file.mtime_ns):
            (drifted if may_drift(file.path) and (found.st_size or not file.size) else damaged).append(file.path)
    return Standing(tuple(damaged), tuple(drifted))


def is_same_time(found_ns: int, recorded_ns: int) -> bool:
    """Whether a file has kept its time. Archives, and the layers of a container image, keep whole seconds only."""
    return found_ns in (recorded_ns, recorded_ns - recorded_ns % 1_000_000_000)


def may_drift(path: str) -> bool:
    """Files that belong to the application or the user once they are there."""
    return path.endswith(".py") or is_furniture(path)


def write_receipt(folder: Path, receipt: Receipt) -> None:
    """Atomically, in place of what was said of the same files before. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    path = file_of(folder, receipt.model, receipt.selection)
    write_atomically(path, json.dumps({"v": VERSION, **asdict(receipt)}, indent=1).encode())
    for old in named_by_revision(folder, receipt.model) if receipt.is_whole else ():
        if (theirs := _parse(old)) and theirs.model == receipt.model and theirs.is_whole:
            old.unlink(missing_ok=True)


def read_receipt(folder: Path, model: str, selection: Mapping[str, Any] | None = None) -> Receipt | None:
    """The first of `receipts_for`; None where there is none that can be understood."""
    return next(receipts_for(folder, model, selection or {}), None)


def receipts_for(folder: Path, model: str, selection: Mapping[str, Any]) -> Iterator[Receipt]:
    """What may speak for `selection` of `model`, the likeliest first. For all of a model that is its receipt, of the
    revision that is asked for, or of whichever where none is; for some of its files only what was written for these."""
    paths = [file_of(folder, model, selection)]
    for path in chain(paths, named_by_revision(folder, model) if is_whole(selection) else ()):
        if (found := _parse(path)) and found.model == model and _speaks_for(found.selection, selection):
            yield found


def _speaks_for(theirs: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    if not (is_whole(asked) and is_whole(theirs)):
        return theirs == asked
    return asked.get("revision") in (None, theirs.get("revision"))


def named_by_revision(folder: Path, model: str) -> Iterator[Path]:
    """Where an older program wrote of a whole model; receipts of some of its files are among them."""
    with suppress(OSError):
        yield from sorted(folder.glob(f"{escape(model)}@*.json"))


def all_receipts(folder: Path) -> Iterator[Receipt]:
    """Every receipt that can be understood."""
    return (receipt for _, receipt in named_receipts(folder) if receipt)


def named_receipts(folder: Path) -> Iterator[tuple[str, Receipt | None]]:
    """Every receipt with its file's name; None in place of one that is damaged, or another version's."""
    if folder.is_dir():
        for path in sorted(folder.glob("*.json")):
            yield path.name, _parse(path)


def spoken_of(receipts: Iterable[Receipt]) -> set[tuple[str, Digest]]:
    """What was where when these receipts were written, whatever is there now."""
    files = [file for receipt in receipts for file in receipt.files]
    by_git = {(file.path, Digest("git-sha1", file.git_sha1)) for file in files if file.git_sha1}
    return by_git | {(file.path, Digest("sha256", file.sha256)) for file in files}


def write_atomically(path: Path, data: bytes) -> None:
    """The file is the old one or the new one, whatever happens in between."""
    with platform.beside(path) as temporary:
        fd = platform.open_for_update(temporary)
        try:
            os.ftruncate(fd, 0)
            platform.write_at(fd, data, 0)
            platform.sync_data(fd)
        finally:
            os.close(fd)


def file_of(folder: Path, model: str, selection: Mapping[str, Any]) -> Path:
    """Where a model is spoken of, of whichever revision: one folder holds one. A selection of its files has a file of
    its own, so that it never takes the place of the whole model's."""
    text = json.dumps(selection, sort_keys=True)
    suffix = "" if is_whole(selection) else f"@{zlib.crc32(text.encode()):08x}"
    return folder / f"{model}{suffix}.json"


def _parse(path: Path) -> Receipt | None:
    try:
        row = json.loads(platform.read_whole(path))
        if row.pop("v") != VERSION:
            return None
        receipt = Receipt(**{**row, "files": tuple(ReceiptFile(**file) for file in row["files"])})
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return receipt if _is_sound(receipt) else None


def _is_sound(receipt: Receipt) -> bool:
    """Whether the fields are what they should be, names of files on this disk included: the receipt may have been
    edited, or be somebody else's."""
    named = all(isinstance(text, str) for text in (receipt.model, receipt.repo))
    named = named and why_unsafe_name(receipt.model) is None
    mapped = all(isinstance(each, dict) for each in (receipt.commits, receipt.selection, receipt.snapshots))
    placed = mapped and all(not name or why_unsafe_name(name) is None for name in receipt.commits)
    told = placed and all(
        isinstance(commit, str) for commit in (*receipt.commits.values(), *receipt.snapshots.values())
    )
    return named and told and bool(receipt.files) and all(_is_sound_file(file) for file in receipt.files)


def _is_sound_file(file: ReceiptFile) -> bool:
    texts = (file.path, file.repo_path, file.sha256)
    return (
        all(isinstance(text, str) for text in texts)
        and why_unsafe(file.path) is None
        and all(isinstance(number, int) for number in (file.size, file.mtime_ns))
        and _fits(SHA256_HEX, file.sha256)
        and (file.git_sha1 is None or _fits(SHA1_HEX, file.git_sha1))
    )


def _fits(shape: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and shape.fullmatch(value) is not None
