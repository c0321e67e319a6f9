"""What a run came to, for the caller and for the last event."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from acestep_fetch.core.errors import FetchError, PartialError
from acestep_fetch.core.events import (
    BytesCompared,
    BytesDropped,
    BytesReceived,
    ComponentReady,
    Event,
    FileAdopted,
    FileFailed,
    FileReused,
    FileVerified,
    ModelReady,
    PlanMade,
    RunFailed,
    RunFinished,
    SourcesChosen,
)
from acestep_fetch.core.plain import plain_fields

MOST_CODES: Final = 127  # an exit code above is a signal's
_AGAIN: Final = "run the same command again"


@dataclass(slots=True)
class Ledger:
    """Adds up events as they pass."""

    verified: int = 0
    reused: int = 0
    bytes_fetched: int = 0
    bytes_reused: int = 0
    bytes_compared: int = 0
    bytes_dropped: int = 0
    changed: bool = False
    by_source: Counter[str] = field(default_factory=Counter)
    failed: dict[str, str] = field(default_factory=dict)  # message -> the file that it is about
    order: tuple[str, ...] = ()
    why: str = ""
    planned: set[str] = field(default_factory=set)  # models whose files are told one by one

    def listen(self, event: Event) -> None:
        match event:
            case BytesReceived() | BytesCompared():
                self.bytes_fetched += event.count
                self.by_source[event.source] += event.count
                self.bytes_compared += event.count if isinstance(event, BytesCompared) else 0
            case BytesDropped():
                self.bytes_dropped += event.count
            case ComponentReady():
                self.changed |= event.fetched
            case FileFailed():
                self.failed.setdefault(event.message, event.path)
            case FileVerified():
                self.verified += 1
            case FileReused() | FileAdopted():
                self.reused += 1
                self.bytes_reused += event.size
            case SourcesChosen():
                self.order, self.why = event.order, event.why
            case PlanMade():
                self.bytes_reused += event.partial
                self.planned.update(event.models)
            case ModelReady(fetched=False) if event.model not in self.planned:
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


def failure(error: FetchError, models: Mapping[str, str], ledger: Ledger) -> RunFailed:
    """What is told of `error`, which a run with these `models` ended with."""
    failed = [name for name, state in models.items() if state == "failed"]
    return RunFailed(
        error=error.name,
        exit_code=error.exit_code,
        retryable=error.retryable,
        message=error.message,
        hint=error.hint,
        attempts=error.attempts,
        model=failed[0] if len(failed) == 1 else None,
        path=ledger.failed.get(error.message),
    )


def finished(report: Report, ledger: Ledger) -> RunFinished:
    """The last event of a run."""
    error = report.error
    stopped = report.exit_code > MOST_CODES
    return RunFinished(
        exit_code=report.exit_code,
        models=report.models,
        files_verified=ledger.verified,
        files_reused=ledger.reused,
        bytes_fetched=report.bytes_fetched,
        bytes_reused=report.bytes_reused,
        by_source=report.by_source,
        seconds=report.seconds,
        error=error.message if error else None,
        hint=error.hint if error else None,
        attempts=error.attempts if error else (),
        changed=ledger.changed,
        retryable=stopped or bool(error and error.retryable),
        avg_bps=average(report.bytes_fetched, report.seconds),
        bytes_compared=ledger.bytes_compared,
        bytes_dropped=ledger.bytes_dropped,
    )


def average(count: int, seconds: float) -> int:
    return round(count / seconds) if seconds > 0 else 0


def together(ends: Sequence[RunFinished]) -> RunFinished:
    """What several runs, one after the other, came to. A stop ends them all; else `overall`'s rule holds."""
    first, *others = ends
    if not others:
        return first
    last, failed = ends[-1], [end for end in ends if end.exit_code]
    models = {name: state for end in ends for name, state in end.models.items()}
    became = [end for end in ends if not end.exit_code and end.changed]  # what was ready before is no success of these
    worst = last if last.exit_code > MOST_CODES else min(failed, key=_gravity) if failed else first
    fetched, seconds = sum(end.bytes_fetched for end in ends), sum(end.seconds for end in ends)
    whole = replace(
        worst,
        models=models,
        files_verified=sum(end.files_verified for end in ends),
        files_reused=sum(end.files_reused for end in ends),
        bytes_fetched=fetched,
        bytes_reused=sum(end.bytes_reused for end in ends),
        by_source=dict(sum((Counter(end.by_source) for end in ends), Counter[str]())),
        seconds=seconds,
        changed=any(end.changed for end in ends),
        avg_bps=average(fetched, seconds),
        bytes_compared=sum(end.bytes_compared for end in ends),
        bytes_dropped=sum(end.bytes_dropped for end in ends),
    )
    if not (failed and became) or last.exit_code > MOST_CODES:
        return whole
    return replace(
        whole,
        exit_code=PartialError.exit_code,
        retryable=any(end.retryable for end in failed),
        error=f"{len(failed)} of {len(ends)} models failed: {worst.error}",
        hint=worst.hint or _AGAIN,
    )


def _gravity(error: FetchError | RunFinished) -> tuple[bool, int]:
    """The least is the gravest: what no retry can help, and of that the lowest code."""
    return error.retryable, error.exit_code


def overall(errors: Sequence[FetchError], became_ready: int) -> FetchError | None:
    """The one error a run ends with: partial success, else the gravest cause that no retry can help. Models that were
    ready before are no part of it: whoever runs it again until it is done would never see another code than 10."""
    if not errors:
        return None
    worst = min(errors, key=_gravity)
    if not became_ready:
        return worst
    return PartialError(
        f"{len(errors)} of {len(errors) + became_ready} models failed: {worst.message}",
        hint=worst.hint or _AGAIN,
        attempts=worst.attempts,
        retryable=any(error.retryable for error in errors),
    )
