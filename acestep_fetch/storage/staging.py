"""From verified bytes to a component that ACE-Step may see.

ACE-Step takes a folder's existence for completeness, so a new component is put together under ``staging/`` and renamed
whole. Where the folder is already there, its files are replaced one by one, weights first and configuration last,
because ACE-Step (since its pull request 828) looks for a weight or an index file.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from acestep_fetch.core.errors import DiskError
from acestep_fetch.storage import platform


def refuse_links(state: Path, target: Path) -> None:
    """Raises `DiskError` where a link stands in the place of `target`, or on the way to it from our own folder `state`:
    whoever planted it would have us write somewhere else. (A component's final folder may be one: that is the user's.)
    """
    for path in (target, *target.parents):
        if path.is_symlink():
            raise DiskError(
                f"{path}: a link stands where something of ours belongs", hint="remove it and run this again"
            )
        if path == state:
            return


def put_bytes(target: Path, data: bytes) -> None:
    """A small verified file, whole or not at all. Raises OSError."""
    try:
        _put_bytes(target, data)
    except FileNotFoundError:
        target.parent.mkdir(parents=True, exist_ok=True)
        _put_bytes(target, data)


def _put_bytes(target: Path, data: bytes) -> None:
    with platform.beside(target) as temporary:
        temporary.write_bytes(data)


def put_copy(source: Path, target: Path) -> None:
    """A copy of a verified file, sharing its blocks where the disk can. Raises OSError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with platform.beside(target) as temporary:
        platform.clone(source, temporary)


def publish(staged: Path, final: Path, files: Iterable[str]) -> None:
    """Moves the component's staged `files` to `final`: one rename where `final` is not there yet.

    Everything is durable before the first name appears. Raises OSError.
    """
    paths = list(files)
    platform.sync_paths([staged / path for path in paths])
    with contextlib.suppress(OSError):
        final.rmdir()  # an empty folder left by somebody's failed attempt
    final.parent.mkdir(parents=True, exist_ok=True)
    if not final.exists() and paths:
        _sync_folders(staged)
        staged.replace(final)
        platform.sync_folder(final.parent)
        return
    for _, rank in groupby(sorted(paths, key=_config_last), key=lambda path: _config_last(path)[0]):
        targets = {path: final / path for path in rank}
        folders = {target.parent for target in targets.values()}
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        for path, target in targets.items():
            platform.move(staged / path, target)
        for folder in folders:
            platform.sync_folder(folder)
    shutil.rmtree(staged, ignore_errors=True)


def _config_last(path: str) -> tuple[int, str]:
    return (2 if path.endswith("config.json") else 1 if path.endswith(".json") else 0, path)


def _sync_folders(top: Path) -> None:
    for folder, _, _ in os.walk(top, topdown=False):
        platform.sync_folder(Path(folder))


def prune(staged: Path, keep: Iterable[str]) -> None:
    """Removes from a staging folder what is not in `keep`, before it becomes a component."""
    wanted = {staged / path for path in keep}
    for folder, _, names in os.walk(staged, topdown=False):
        for name in names:
            if (path := Path(folder) / name) not in wanted:
                path.unlink()
        with contextlib.suppress(OSError):
            Path(folder).rmdir()
