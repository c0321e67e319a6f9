"""Links of large files, learned while the plan is still being made.

The plan waits for both hubs' lists. With the first of them it is as good as certain what will be fetched from that hub:
the large files that are not on this disk in any form. Their links are asked for at once, just as the first flights
would, so that those find them. Whatever is open to doubt is left to the flights.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from acestep_fetch.catalogue import Model
from acestep_fetch.core.merge import Agreement, agreement
from acestep_fetch.core.model import HubName, RemoteFile, Snapshot
from acestep_fetch.engine.context import Context
from acestep_fetch.engine.examine import Known
from acestep_fetch.engine.listing import Listings
from acestep_fetch.engine.sources import Place, Source
from acestep_fetch.engine.transfer import SMALL
from acestep_fetch.storage import platform
from acestep_fetch.storage.parts import held_bytes

MOST: Final = 5  # files of one model at one hub: the first flights take the first files


async def warm(
    model: Model,
    order: Sequence[HubName],
    listings: Listings,
    sources: Sequence[Source],
    known: Known,
    context: Context,
) -> None:
    """Has each source learn the links of what it will surely be asked for: the preferred hub once its list is there,
    the other for what both lists prove equal. Ends with the last link, or when it is cancelled."""
    by_name = {source.name: source for source in sources}
    truth: Snapshot | None = None
    async with asyncio.TaskGroup() as group:
        for name in order:
            snapshot = await listings.snapshot(model.repo, name)
            if snapshot is None:
                continue
            files = await context.on_disk(context.layout.root, _surely_wanted, model, snapshot, truth, known, context)
            truth = truth or snapshot
            places = [Place(snapshot, file.path, file.size) for file in files[:MOST]]
            group.create_task(by_name[name].warm(places), name=f"warm {name}")


def _surely_wanted(
    model: Model, snapshot: Snapshot, truth: Snapshot | None, known: Known, context: Context
) -> list[RemoteFile]:
    """Blocks."""
    agreed = {file.path: file for file in truth.files} if truth else None
    files = [
        file
        for file in snapshot.files
        if file.size > SMALL
        and (agreed is None or _equal(file, agreed.get(file.path)))
        and not _is_here(model, file, known, context)
    ]
    return files if sum(file.size for file in files) < platform.free_bytes(context.layout.root) else []


def _equal(file: RemoteFile, other: RemoteFile | None) -> bool:
    return other is not None and agreement(file, other) is Agreement.EQUAL


def _is_here(model: Model, file: RemoteFile, known: Known, context: Context) -> bool:
    """Whether something on this disk may make fetching `file` needless."""
    if context.options.force or file.digest is None:
        return file.digest is None
    if known.copy_of(file.digests) or any(path.exists() for path in _places(model, file.path, context)):
        return True
    return held_bytes(context.layout.part(file.digest), file.digest, file.size) >= file.size


def _places(model: Model, path: str, context: Context) -> tuple[Path, Path]:
    component, rest = model.name, path
    if model.components:
        component, rest = path.split("/", 1) if "/" in path else ("", path)
    return context.layout.final(component) / rest, context.layout.staged(component) / rest
