"""Locks without a network: made of what was received here, and held against one another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from acestep_fetch.catalogue import Model
from acestep_fetch.core.errors import IncompleteError, LockedError
from acestep_fetch.core.lock import Lock, changes
from acestep_fetch.engine.readiness import fitting
from acestep_fetch.options import Options
from acestep_fetch.storage.layout import Layout
from acestep_fetch.storage.lockfile import locked_as_received


def lock_received(models: Sequence[Model], layout: Layout, options: Options) -> Lock:
    """Of models that are ready, from their receipts: opens no socket. Raises `IncompleteError`."""
    found = {model.name: fitting(model, layout, options) for model in models}
    lacking = [m.name for m in models if not found[m.name] and not (options.all_models and m.announced)]
    if lacking:
        raise IncompleteError(
            f"{', '.join(lacking)}: not ready in {layout.root}, so that only the hubs know what it should be",
            hint="leave out --offline (and HF_HUB_OFFLINE), or choose the checkpoints folder with --dir",
        )
    return Lock(tuple(locked_as_received(each[0]) for each in found.values() if each))


def refuse_changes(path: Path, old: Lock, new: Lock, *, shown: bool = False) -> None:
    """Raises `LockedError` with the first difference, if there is any. `shown`: whoever asked has read them all."""
    if found := list(changes(old, new)):
        more = f", and {len(found) - 1} more" if len(found) > 1 else ""
        raise LockedError(
            f"{path} was left as it is: the hubs differ from it{'' if shown else f' ({found[0]}{more})'}",
            hint=f"{'' if shown else '--diff shows all that differs, '}--update writes what is new into it",
        )
