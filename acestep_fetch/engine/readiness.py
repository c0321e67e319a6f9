"""Is a model there already? Answered from its receipt and a few stat calls: no event loop, no socket, no network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from acestep_fetch.catalogue import Model
from acestep_fetch.core.events import Event, ModelReady, Note
from acestep_fetch.options import Options
from acestep_fetch.storage import receipts
from acestep_fetch.storage.layout import Layout


@dataclass(frozen=True, slots=True)
class Ready:
    """A model that needs nothing. `events` tell of it."""

    folders: tuple[str, ...]  # absolute
    events: tuple[Event, ...]


def selection_of(options: Options) -> Mapping[str, Any]:
    """What a receipt must have been written for: all that changes which files a model has."""
    values = {"revision": options.revision, "include": list(options.include), "exclude": list(options.exclude)}
    return {name: value for name, value in values.items() if value}


def look(model: Model, layout: Layout, options: Options) -> Ready | None:
    """The model, if its receipt fits what is asked for and what is on disk; None otherwise. Blocks for a moment."""
    if options.force:
        return None
    candidates = [selection_of(options)]
    if not options.revision:
        candidates.append({})  # a whole model has every selection of its files
    for asked in candidates:
        receipt = receipts.read_receipt(layout.receipts, model.name, asked)
        if receipt and receipt.selection == asked and receipt.repo == str(model.repo):
            standing = receipts.compare(receipt, layout.root)
            if standing.ready:
                return _ready(model, layout, receipt, standing)
    return None


def _ready(model: Model, layout: Layout, receipt: receipts.Receipt, standing: receipts.Standing) -> Ready:
    events = list[Event]()
    if standing.drifted:
        names = ", ".join(standing.drifted[:4])
        events.append(Note("info", f"{names}: changed since the download (ACE-Step does that), left as it is"))
    folders = tuple(str(layout.final(name)) for name in receipt.commits if name)
    events.append(ModelReady(model.name, folders, len(receipt.files), receipt.size, fetched=False))
    return Ready(folders, tuple(events))
