"""What a run would do, as one value: every file and where it stands, the bytes, the disk, and the hubs' order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from acestep_fetch.core.errors import DiskFullError
from acestep_fetch.core.plain import plain_fields
from acestep_fetch.engine.report import Figures, FileReport, Report, figures_of
from acestep_fetch.engine.space import fitting, needed
from acestep_fetch.storage import platform, receipts
from acestep_fetch.storage.layout import Layout


@dataclass(frozen=True, slots=True)
class Plan:
    """Sizes are bytes. `bytes_total` is the sum of the five that follow it.

    `order` are the hubs, the one whose version counts first, and `why` they come in that order; both are empty where no
    hub had to be asked. `fitting` are the models that fit on the disk; all of them where `fits`.
    """

    folder: str
    models: dict[str, str]  # name -> "ready" | "planned" | "unavailable" | "failed"
    files: tuple[FileReport, ...]
    order: tuple[str, ...]
    why: str
    bytes_total: int
    bytes_here: int
    bytes_partial: int  # in parts of an earlier run
    bytes_shared: int  # the same as other files of this folder or of the plan
    bytes_adoptable: int  # in the folders that were named to look in
    bytes_fetch: int
    disk_free: int
    disk_after: int  # below 0: that much is missing
    fits: bool
    fitting: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """In JSON's own types."""
        return plain_fields(self)


def plan_of(report: Report, layout: Layout, kept: int = 0) -> Plan:
    """The plan that a dry run made, where `kept` bytes are to be left free. Raises what that ended with, but for too
    small a disk."""
    fits = not isinstance(report.error, DiskFullError)
    if fits:
        report.raise_for_error()
    files = (*_ready(report, layout), *report.files)
    figures: Figures = figures_of(files)
    free = platform.free_bytes(layout.root)
    open_models = tuple(dict.fromkeys(row.model for row in report.files))
    return Plan(
        folder=str(layout.root),
        models={name: "planned" if state == "failed" and not fits else state for name, state in report.models.items()},
        files=files,
        order=report.order,
        why=report.why,
        bytes_total=figures.total,
        bytes_here=figures.here,
        bytes_partial=figures.partial,
        bytes_shared=figures.shared,
        bytes_adoptable=figures.adoptable,
        bytes_fetch=figures.fetch,
        disk_free=free,
        disk_after=free - needed(report.files) if report.files else free,
        fits=fits,
        fitting=open_models if fits else fitting(report.files, free, kept),
    )


def _ready(report: Report, layout: Layout) -> Iterator[FileReport]:
    """The files of models that are complete: no hub was asked about them."""
    for receipt in receipts.all_receipts(layout.receipts):
        if report.models.get(receipt.model) == "ready" and receipts.compare(receipt, layout.root).ready:
            for file in receipt.files:
                yield FileReport(receipt.model, file.path, file.size, "here", (), f"sha256:{file.sha256}")
