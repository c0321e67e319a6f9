"""What a run came to, for the caller and for the last event."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from acestep_fetch.core.errors import FetchError, PartialError
from acestep_fetch.core.events import (
    BytesCompared,
    BytesReceived,
    Event,
    FileAdopted,
    FileReused,
    FileVerified,
    ModelReady,
    PlanMade,
    RunFinished,
    SourcesChosen,
)
from acestep_fetch.core.plain import plain_fields


@dataclass(slots=True)
class Ledger:
    """Adds up events as they pass."""

    verified: int = 0
    reused: int = 0
    bytes_fetched: int = 0
    bytes_reused: int = 0
    by_source: Counter[str] = field(default_factory=Counter)
    order: tuple[str, ...] = ()
    why: str = ""

    def listen(self, event: Event) -> None:
        match event:
            case BytesReceived() | BytesCompared():
                self.bytes_fetched += event.count
                self.by_source[event.source] += event.count
            case FileVerified():
                self.verified += 1
            case FileReused() | FileAdopted():
                self.reused += 1
                self.bytes_reused += event.size
            case SourcesChosen():
                self.order, self.why = event.order, event.why
            case PlanMade():
                self.bytes_reused += event.partial
            case ModelReady(fetched=False):
                self.reused += event.files
                self.bytes_reused += event.size
            case _:
                pass


@dataclass(frozen=True, slots=True)
class FileReport:
    """One file of the plan: where it stands, and what it will take.

    `state` is ``here``, ``partial`` (an earlier run left `held` bytes of it), ``fetch``, ``shared`` (the same as
    another file of this folder or of the plan), ``adoptable`` (from `origin`) or ``adopted`` (that is done).
    """

    model: str
    path: str  # under checkpoints/
    size: int
    state: str
    sources: tuple[str, ...]  # the hubs that can serve it, the one whose version counts first
    digest: str = ""
    held: int = 0  # bytes
    taken: int = 0  # bytes of the disk that it has already, or does not need
    origin: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The fields in JSON's own types."""
        return plain_fields(self)


@dataclass(frozen=True, slots=True)
class Figures:
    """Bytes of a plan by where they are; `total` is the sum of the others."""

    total: int
    here: int
    partial: int  # in parts that an earlier run left
    shared: int
    adoptable: int
    fetch: int


def figures_of(rows: Iterable[FileReport]) -> Figures:
    """Adds up. What was adopted is here."""
    sums = Counter[str]()
    for row in rows:
        state = {"adopted": "here", "partial": "fetch"}.get(row.state, row.state)
        sums[state] += row.size - row.held
        sums["partial"] += row.held
    names = ("here", "partial", "shared", "adoptable", "fetch")
    return Figures(sum(sums.values()), *(sums[name] for name in names))


@dataclass(frozen=True, slots=True)
class Report:
    """What a run came to. `exit_code` 0 means: everything asked for is there and verified."""

    exit_code: int
    models: dict[str, str]
    folders: tuple[str, ...]  # absolute, of the models that are ready
    bytes_fetched: int
    bytes_reused: int
    by_source: dict[str, int]
    seconds: float
    files: tuple[FileReport, ...] = ()  # the plan, where one was made
    error: FetchError | None = None
    order: tuple[str, ...] = ()  # the hubs, the one whose version counts first; none where no hub was asked
    why: str = ""  # they come in that order

    def raise_for_error(self) -> None:
        """Raises the run's error, if there was one."""
        if self.error:
            raise self.error

    def to_dict(self) -> dict[str, Any]:
        """The report in JSON's own types; what the last event has, too, has the same name and form here."""
        error = self.error
        return plain_fields(replace(self, error=None)) | {
            "error": error.message if error else None,
            "hint": error.hint if error else None,
            "attempts": list(error.attempts) if error else [],
        }


def overall(errors: Sequence[FetchError], ready: int) -> FetchError | None:
    """The one error a run ends with: partial success, else the gravest cause that no retry can help."""
    if not errors:
        return None
    worst = min(errors, key=lambda e: (e.retryable, e.exit_code))
    if not ready:
        return worst
    return PartialError(
        f"{len(errors)} of {len(errors) + ready} models failed: {worst.message}",
        hint=worst.hint or "run the same command again",
        attempts=worst.attempts,
    )


def finished(report: Report, ledger: Ledger) -> RunFinished:
    """The last event of the run that came to `report`."""
    return RunFinished(
        exit_code=report.exit_code,
        models=report.models,
        files_verified=ledger.verified,
        files_reused=ledger.reused,
        bytes_fetched=report.bytes_fetched,
        bytes_reused=report.bytes_reused,
        by_source=report.by_source,
        seconds=report.seconds,
        error=report.error.message if report.error else None,
        hint=report.error.hint if report.error else None,
        attempts=report.error.attempts if report.error else (),
    )
