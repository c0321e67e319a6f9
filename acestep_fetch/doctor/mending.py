"""What `--fix` does: needs no network, and takes nothing away that anybody could want back."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from acestep_fetch.core.errors import LeaseError
from acestep_fetch.doctor.belief import Belief, look_at_models
from acestep_fetch.doctor.strays import Stray, find_strays
from acestep_fetch.storage.layout import Layout
from acestep_fetch.storage.lease import Lease
from acestep_fetch.storage.sweeping import sweep


@dataclass(frozen=True, slots=True)
class Removal:
    """`path` is below the checkpoints folder. `is_folder`: it, and folders in it, without a file in any of them."""

    path: str
    why: str
    is_folder: bool = False


def removable_strays(strays: Iterable[Stray]) -> Iterator[Removal]:
    """Those that nobody has touched for an hour, or has open as far as that can be known. Pure."""
    return (Removal(stray.path, f"left by {stray.tool}") for stray in strays if stray.is_left)


def removable_folders(beliefs: Iterable[Belief]) -> Iterator[Removal]:
    """Those without a file that ACE-Step would take for installed. Pure."""
    return (
        Removal(belief.name, "empty, and ACE-Step takes it for installed", True)
        for belief in beliefs
        if belief.is_empty
    )


def mend(layout: Layout, tell: Callable[[Removal], None]) -> None:
    """Removes what can be removed; `tell` hears of each before it goes. What resists stays, for the next look to tell.

    Raises `LeaseError` while somebody downloads into the folder, and OSError where it cannot be read.
    """
    if not layout.root.is_dir():
        return
    if not layout.state.is_dir():  # nobody of ours was ever here
        _mend(layout, tell)
        return
    taken = Lease.take(layout.lease)
    if not isinstance(taken, Lease):
        raise LeaseError(
            f"nothing was fixed: {taken} is downloading into {layout.root}",
            hint="wait for it to end, then run this again",
        )
    try:
        sweep(layout)
        _mend(layout, tell)
    finally:
        taken.release()


def _mend(layout: Layout, tell: Callable[[Removal], None]) -> None:
    for removal in removable_strays(find_strays(layout.root)):
        tell(removal)
        _forgiving(os.unlink, layout.root / removal.path)
    for removal in removable_folders(look_at_models(layout.root)):
        tell(removal)
        _remove_empty(layout.root / removal.path)


def _remove_empty(folder: Path) -> None:
    """From the inside to the outside, by a call that refuses where a file is after all; a link to a folder stays."""
    if folder.is_symlink():
        return
    for inside, _, _ in os.walk(folder, topdown=False):
        _forgiving(os.rmdir, Path(inside))


def _forgiving(remove: Callable[[Path], None], path: Path) -> None:
    try:
        remove(path)
    except OSError:
        return
