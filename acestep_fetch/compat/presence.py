"""Does a model exist? Answered offline, from a few stat calls.

ACE-Step takes a folder for a model, later one weight or index file for it, so that half a download counts as a whole
one and dies when it is loaded. Here a model of the catalogue exists when its receipt, which is written when every
byte has been verified, fits what is on disk. A folder that we know nothing about (somebody's own fine-tune) exists
when it is whole, as far as its own files tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

from acestep_fetch.catalogue import Model, load_catalogue


def is_ready(name: str, root: Path) -> bool:
    """Whether the model or component `name` is complete under `root`. Never raises OSError."""
    from acestep_fetch.storage import receipts
    from acestep_fetch.storage.layout import Layout

    model = _owners().get(name)
    if model is None:
        return is_whole(root / name)
    for receipt in receipts.receipts_for(Layout(root).receipts, model.name, {}):
        files = [file for file in receipt.files if name == model.name or file.path.startswith(f"{name}/")]
        ours = replace(receipt, files=tuple(files))
        if files and receipt.repo == str(model.repo) and receipts.compare(ours, root).ready:
            return True
    return False


def looks_whole(name: str, root: Path) -> bool:
    """Whether everything of `name` is there by the word of the files themselves: no truncation, but no proof either."""
    model = _owners().get(name)
    folders = model.folders if model and name == model.name else (name,)
    return all(is_whole(root / folder) for folder in folders)


def is_whole(folder: Path) -> bool:
    """A configuration, every weight file that is named at its full length, and what else a kind needs to be loaded."""
    from acestep_fetch.storage.wholeness import faults

    return not faults(folder)


@cache
def _owners() -> Mapping[str, Model]:
    """The model that brings a name: its own, or that of a component."""
    known = load_catalogue().known
    return {name: model for model in known for name in (model.name, *model.folders)}
