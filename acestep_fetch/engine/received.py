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


def refuse_changes(path: Path, old: Lock, new: Lock) -> None:
    """Raises `LockedError` with the first differences, if there are any."""
    if found := list(changes(old, new)):
        more = [f"and {len(found) - 5} more"] if len(found) > 5 else []
        raise LockedError(
            f"{path} says something else, and was left as it is",
            hint="--diff shows all that differs, --update writes it",
            attempts=[*found[:5], *more],
        )
