"""Does a plan fit on the disk, and if not, what of it does? Pure arithmetic on the plan's rows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from acestep_fetch.catalogue.models import MAIN
from acestep_fetch.engine.report import FileReport

SPARE: Final = 32 << 20  # bytes that are left free for journals, receipts and the file system itself


def needed(rows: Collection[FileReport]) -> int:
    """Bytes that must be free. What two files share is fetched once, and takes its room twice all the same."""
    return SPARE + sum(max(0, row.size - row.taken) for row in rows if row.state != "here")


def fitting(rows: Sequence[FileReport], free: int) -> tuple[str, ...]:
    """As many of the models as fit, in the order of the plan: main before all others (which are of no use without it),
    then the smaller ones first."""
    by_model = dict[str, list[FileReport]]()
    for row in rows:
        by_model.setdefault(row.model, []).append(row)
    chosen, room = set[str](), list[FileReport]()
    for model in sorted(by_model, key=lambda model: (model != MAIN, needed(by_model[model]))):
        if needed([*room, *by_model[model]]) <= free:
            chosen.add(model)
            room += by_model[model]
        elif model == MAIN:
            break
    return tuple(model for model in by_model if model in chosen)
