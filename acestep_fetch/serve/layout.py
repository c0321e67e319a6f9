"""Which repositories a folder holds, and which files each repository has.

Two layouts are understood. A *folder of repositories* is ``DIR/OWNER/NAME/...``. A *checkpoints folder* is what
ACE-Step uses: the catalogue's components of the main model (``vae``, ...) and the files at the root are one
repository, and every other folder is a repository of its own. An incomplete main model is not offered at all, because
a downloader would take what is listed for all there is.

Nothing outside the folder is ever found: a symbolic link is followed only if it stays inside.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from acestep_fetch.catalogue import load_catalogue
from acestep_fetch.core.errors import UsageError
from acestep_fetch.core.model import RepoId

OWNER: Final = "ACE-Step"

# What downloaders, git and Python leave beside the files.
HIDDEN: Final = frozenset(
    {".acestep-fetch", ".cache", ".msc", ".mdl", ".mv", "._____temp", ".lock", ".git", ".DS_Store", "__pycache__"}
)
UNFINISHED: Final = (".incomplete", ".parallel_tmp")


@dataclass(frozen=True, slots=True)
class RepoFolder:
    """Where a repository's files are. `parts` names the top-level folders that belong to it; None means all."""

    repo: RepoId
    top: Path
    parts: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file on disk: `path` is its name inside the repository, `location` the real one, without links."""

    path: str
    location: Path
    size: int
    mtime_ns: int


def is_checkpoints(root: Path) -> bool:
    """Whether `root` is a checkpoints folder: a component is there, or some folder directly holds files."""
    folders = [entry for entry in _visible(root) if entry.is_dir()]
    if any(entry.name in _main_parts() for entry in folders):
        return True
    return any(child.is_file() for entry in folders for child in _visible(entry))


def find_repositories(root: Path, *, checkpoints: bool | None = None) -> Mapping[RepoId, RepoFolder]:
    """The repositories under `root`, by id. `checkpoints` says which layout it is; None finds out."""
    if not root.is_dir():
        return {}
    as_checkpoints = is_checkpoints(root) if checkpoints is None else checkpoints
    found = _in_checkpoints(root) if as_checkpoints else _in_owners(root)
    return {folder.repo: folder for folder in found}


def find_files(root: Path, folder: RepoFolder) -> Iterator[FoundFile]:
    """Every visible regular file of `folder`, none of them outside `root`. Raises `OSError` for what cannot be read."""
    real_root = root.resolve()
    for entry in _entries(folder.top):
        if folder.parts is None or not entry.is_dir() or entry.name in folder.parts:
            yield from _found(real_root, entry, entry.name, trail=(folder.top.resolve(),))


def _found(root: Path, entry: Path, path: str, trail: tuple[Path, ...]) -> Iterator[FoundFile]:
    try:
        real = entry.resolve(strict=True)
    except (OSError, RuntimeError):  # a dangling link, or a circle of links
        return
    if not real.is_relative_to(root):
        return
    if real.is_file():
        status = real.stat()
        yield FoundFile(path, real, status.st_size, status.st_mtime_ns)
    elif real.is_dir() and real not in trail:
        for child in _entries(real):
            yield from _found(root, child, f"{path}/{child.name}", (*trail, real))


def _in_owners(root: Path) -> Iterator[RepoFolder]:
    for owner in _visible(root):
        for top in _visible(owner) if owner.is_dir() else ():
            if top.is_dir() and (repo := _repo_id(f"{owner.name}/{top.name}")):
                yield RepoFolder(repo, top)


def _in_checkpoints(root: Path) -> Iterator[RepoFolder]:
    folders = {entry.name: entry for entry in _visible(root) if entry.is_dir()}
    main, parts = load_catalogue().find("main"), _main_parts()
    if all(part in folders and _visible(folders[part]) for part in parts):
        yield RepoFolder(main.repo, root, parts)
    known = {model.name: model.repo for model in load_catalogue().known}
    for name, top in folders.items():
        if name not in parts and (repo := known.get(name) or _repo_id(f"{OWNER}/{name}")):
            yield RepoFolder(repo, top)


def _main_parts() -> frozenset[str]:
    return frozenset(load_catalogue().find("main").folders)


def _visible(folder: Path) -> list[Path]:
    """`_entries`, but none where the folder cannot be read."""
    try:
        return _entries(folder)
    except OSError:
        return []


def _entries(folder: Path) -> list[Path]:
    """The entries of `folder` that may be offered, in order."""
    return [folder / name for name in sorted(os.listdir(folder)) if not _is_hidden(name)]


def _is_hidden(name: str) -> bool:
    return name in HIDDEN or name.endswith(UNFINISHED) or not _is_text(name)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # not UTF-8 on disk: no URL can name it
        return False
    return "\\" not in name


def _repo_id(text: str) -> RepoId | None:
    try:
        return RepoId.parse(text)
    except UsageError:
        return None
