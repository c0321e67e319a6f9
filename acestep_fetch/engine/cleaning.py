"""Giving up what unfinished downloads have left."""

from __future__ import annotations

from acestep_fetch.core.errors import LeaseError
from acestep_fetch.storage import platform
from acestep_fetch.storage.layout import Layout
from acestep_fetch.storage.lease import Lease
from acestep_fetch.storage.sweeping import Leftover, drop, leftovers


def clean(layout: Layout, *, journals: bool = False, dry_run: bool = False) -> tuple[Leftover, ...]:
    """Drops part files, what is staged, and journals of files that are not finished; returns what was (or, with
    `dry_run`, would be) dropped. `journals` are those of finished files, without which `repair` fetches whole files.

    Raises `LeaseError` while somebody is at work in the folder, and what the disk raises as `DiskError`.
    """
    platform.require_folder(layout.root)
    if holder := Lease.holder(layout.lease):
        raise _busy(holder)
    try:
        found = leftovers(layout, journals=journals)
        if dry_run or not found:
            return tuple(found)
        taken = Lease.take(layout.lease)
        if not isinstance(taken, Lease):
            raise _busy(taken)
        try:
            found = leftovers(layout, journals=journals)
            for leftover in found:
                drop(leftover)
        finally:
            taken.release()
    except OSError as exc:
        raise platform.explain(exc, exc.filename or layout.root) from exc
    return tuple(found)


def _busy(holder: object) -> LeaseError:
    return LeaseError(
        f"{holder} is at work in this folder: nothing was dropped", hint="wait for it to end, then run this again"
    )
