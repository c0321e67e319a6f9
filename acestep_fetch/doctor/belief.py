"""What ACE-Step takes for installed, and what is true.

Older versions of ACE-Step take a folder for a model. Newer ones (since its pull request 828) look for one known weight
or index file. Its API server wants any entry in the folder. None of them looks further, so that half a download counts
as a whole one and dies when it is loaded. The truth is a receipt of ours, or what the files' own headers say.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from acestep_fetch.catalogue import Model, load_catalogue
from acestep_fetch.catalogue.asking import command, to_fetch
from acestep_fetch.catalogue.models import MAIN
from acestep_fetch.doctor.findings import Finding, fail, ok, warn
from acestep_fetch.storage.layout import Layout
from acestep_fetch.storage.receipts import Receipt, all_receipts, compare
from acestep_fetch.storage.wholeness import KINDS, STEMS, faults

PICKED: Final = ("acestep-v15-", "acestep-5Hz-lm-")  # what its menus list, whoever put it there

_KNOWN: Final = tuple(f"{stem}.{kind}{end}" for stem in STEMS for kind in KINDS for end in ("", ".index.json"))
_WHAT: Final = "models"
_FEW: Final = 3


@dataclass(frozen=True, slots=True)
class Belief:
    """A folder that may pass for a model. `lacks` is what is wrong with it by its own files, `damaged` and `drifted` by
    our receipt, None where there is none. `model` is what fetches it, "" where no hub is known to have it."""

    name: str
    model: str
    by_folder: bool  # taken for installed by older versions, and in menus
    by_weight: bool  # and by newer ones
    is_empty: bool  # no file in it, at any depth
    lacks: tuple[str, ...] = ()
    damaged: tuple[str, ...] | None = None
    drifted: tuple[str, ...] = ()
    touched: tuple[str, ...] = ()  # of the right size, with another time than when they were verified

    @property
    def is_true(self) -> bool:
        return not self.lacks if self.damaged is None else not self.damaged


def look_at_models(root: Path) -> tuple[Belief, ...]:
    """Every folder of `root` that ACE-Step could take for a model, and those that a receipt speaks of. Raises OSError
    where `root` cannot be read."""
    owners, receipts = _owners(), _receipts(root)
    return tuple(_belief(root, name, owners.get(name), receipts.get(name)) for name in sorted(model_folders(root)))


def model_folders(root: Path) -> set[str]:
    """The names of all folders that are, or were to be, models. Raises OSError where `root` cannot be read."""
    there = {entry.name for entry in os.scandir(root) if entry.is_dir()} if root.is_dir() else set()
    return {name for name in there if name in _owners() or name.startswith(PICKED)} | set(_receipts(root))


def _owners() -> dict[str, Model]:
    return {name: model for model in load_catalogue().known for name in model.folders}


def _receipts(root: Path) -> dict[str, Receipt]:
    found = sorted(all_receipts(Layout(root).receipts), key=lambda each: compare(each, root).ready)
    return {name: each for each in found for name in _folders(each)}  # of two, the one that holds


def _folders(receipt: Receipt) -> Iterator[str]:
    """Of a whole model: a selection of files says nothing about the rest."""
    return (name for name in receipt.commits if name) if receipt.is_whole else iter(())


def _belief(root: Path, name: str, owner: Model | None, receipt: Receipt | None) -> Belief:
    folder = root / name
    is_there, standing = folder.is_dir(), compare(receipt, root) if receipt else None
    inside = f"{name}/"
    touched = _touched(root, receipt, standing.damaged) if receipt and standing else ()
    return Belief(
        name,
        model=receipt.model if receipt else owner.name if owner else "",
        by_folder=is_there,
        by_weight=any((folder / known).exists() for known in _KNOWN),
        is_empty=is_there and not any(files for _, _, files in os.walk(folder)),
        lacks=faults(folder) if standing is None else (),
        damaged=tuple(path for path in standing.damaged if path.startswith(inside) and path not in touched)
        if standing
        else None,
        touched=tuple(path for path in touched if path.startswith(inside)),
        drifted=tuple(path for path in standing.drifted if path.startswith(inside)) if standing else (),
    )


def _touched(root: Path, receipt: Receipt, damaged: Iterable[str]) -> tuple[str, ...]:
    """Of what is not as it was those that may be: a copy of the folder has other times."""
    sizes = {file.path: file.size for file in receipt.files}
    return tuple(path for path in damaged if (root / path).is_file() and (root / path).stat().st_size == sizes[path])


def of_models(beliefs: tuple[Belief, ...], folder: Path | None = None) -> Iterator[Finding]:
    """A line for each folder, and one for a main model of which a part is missing. `folder`: see `asking.command`."""
    if not beliefs:
        yield ok(_WHAT, "none is here yet", command("", folder))
    for belief in beliefs:
        yield _finding(belief, folder)
    yield from _of_main({belief.name for belief in beliefs if belief.by_folder}, folder)


def _finding(belief: Belief, folder: Path | None) -> Finding:
    if belief.touched and not belief.damaged:
        text = f"all there, with other times than when it was verified: {_few(belief.touched, ', ')}"
        todo = command("repair", folder, [belief.model])
        return warn(belief.name, text, f"{todo} (asks no hub where all is right)")
    if belief.is_true and belief.damaged is not None:
        changed = f"; {len(belief.drifted)} changed by ACE-Step, which is no damage" if belief.drifted else ""
        return ok(belief.name, f"verified, and still what it was{changed}")
    if belief.is_true:
        todo = f"{_fetching(belief, folder)} (verifies it, and fetches nothing that is right)" if belief.model else ""
        return ok(belief.name, "whole as far as its own files tell, and never verified", todo)
    wrong = _wrong(belief)
    if not belief.by_folder:
        return fail(belief.name, f"{wrong}; ACE-Step would fetch the model again", _mend(belief, folder))
    whose = "ACE-Step" if belief.by_weight else "An older ACE-Step, or its menu,"
    return fail(
        belief.name, f"{whose} would take it for installed, and it would die at load: {wrong}", _mend(belief, folder)
    )


def _wrong(belief: Belief) -> str:
    if belief.is_empty:
        return "the folder is empty"
    if belief.damaged is None:
        return _few(belief.lacks, "; ")
    return f"changed or missing since it was verified: {_few(belief.damaged, ', ')}"


def _mend(belief: Belief, folder: Path | None) -> str:
    if belief.damaged is not None:
        return command("repair", folder, [belief.model])
    if belief.model:
        return _fetching(belief, folder)
    return "no hub is known to have it: complete it, or move the folder away"


def _fetching(belief: Belief, folder: Path | None) -> str:
    """Of a model of the catalogue: what no receipt speaks of is known by its name only."""
    return to_fetch([(belief.model, str(load_catalogue().find(belief.model).repo))], folder, alone=False)


def _of_main(there: set[str], folder: Path | None) -> Iterator[Finding]:
    needed = load_catalogue().find(MAIN).folders
    missing = [name for name in needed if name not in there]
    if there and missing:
        size = load_catalogue().find(MAIN).size / 1e9
        detail = (
            f"{', '.join(missing)} not here: ACE-Step would fetch all of the main model ({size:.0f} GB) at its start"
        )
        yield warn(MAIN, detail, f"{command('', folder)} (fetches only what is missing)")


def _few(things: tuple[str, ...], between: str) -> str:
    more = f" and {len(things) - _FEW} more" if len(things) > _FEW else ""
    return between.join(things[:_FEW]) + more
