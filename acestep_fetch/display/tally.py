"""Events -> totals: how far a run is, how fast, and what it waits for. Pure; time is an argument.

A file counts with what it held when it started, plus what came, minus what was dropped, and with its whole size
once it is verified: so a file that is a copy of another one, of which no byte ever arrives, counts too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from acestep_fetch.core import events as ev
from acestep_fetch.core.events import ROOT_FILES
from acestep_fetch.display.rate import Rate

SPEED_WINDOW = 4.0  # seconds that the speed looks back
ETA_WINDOW = 15.0  # longer, so that the remaining time does not jump about
RECENT = 3.0  # a file that got bytes in the last seconds is busy


class Phase(StrEnum):
    STARTING = "starting"
    PROBING = "probing"
    PLANNING = "planning"
    DOWNLOADING = "downloading"
    VERIFYING = "verifying"
    WAITING = "waiting"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class Busy:
    """A file under way."""

    path: str
    done: int
    size: int


@dataclass(frozen=True, slots=True)
class View:
    """How a run stands at one moment. ``done`` never exceeds ``total``."""

    phase: Phase
    why: str  # what is waited for, in `WAITING`
    done: int
    total: int
    reused: int  # the part of `done` that was on the disk before the run
    speed: float  # bytes per second
    eta: float | None  # seconds; None where nobody knows
    by_source: Mapping[str, int]  # bytes received
    files_done: int
    files_total: int
    open_files: int
    busy: tuple[Busy, ...]  # in the order in which they started
    idle: float  # seconds since something last happened
    there: tuple[int, int] = (0, 0)  # where another run is waited for: the bytes that it has, and all


@dataclass(slots=True)
class _File:
    size: int
    have: int
    touched: float


class Tally:
    """`update` for each event, in order; `view` whenever somebody looks. Both are cheap; neither raises.

    A later plan replaces an earlier one: what is done starts over from what that plan says is there.
    """

    def __init__(self, now: float) -> None:
        self._phase = Phase.STARTING
        self._why, self._there = "", (0, 0)
        self._total = self._base = self._gained = self._files_total = 0
        self._open = dict[str, _File]()
        self._finished = dict[str, set[str]]()  # component -> paths that are done
        self._ready = dict[str, int]()  # component -> its files, once it is complete
        self._by_source = dict[str, int]()
        self._speed, self._calm = Rate(SPEED_WINDOW), Rate(ETA_WINDOW)
        self._moved = now

    def update(self, event: ev.Event, now: float) -> None:
        if isinstance(event, ev.BytesReceived | ev.BytesCompared):
            self._came(event, now)
        elif not isinstance(event, ev.Detail | ev.Note):
            self._moved = now
            self._other(event, now)

    def view(self, now: float, limit: int = 4) -> View:
        done = max(0, min(self._base + self._gained, self._total))
        speed, calm = self._speed.per_second(now), self._calm.per_second(now)
        return View(
            phase=self._seen_phase(done),
            why=self._why,
            there=self._there,
            done=done,
            total=self._total,
            reused=min(self._base, done),
            speed=speed,
            eta=(self._total - done) / calm if speed and calm else None,
            by_source=dict(self._by_source),
            files_done=(files := self._files_done()),
            files_total=self._files_total or files,
            open_files=len(self._open),
            busy=self._busiest(now, limit),
            idle=max(0.0, now - self._moved),
        )

    def _came(self, event: ev.BytesReceived | ev.BytesCompared, now: float) -> None:
        self._moved = now
        self._speed.add(event.count, now)
        self._by_source[event.source] = self._by_source.get(event.source, 0) + event.count
        if self._phase is Phase.WAITING:
            self._enter(Phase.DOWNLOADING)
        if isinstance(event, ev.BytesReceived):
            self._calm.add(event.count, now)
            self._count(event.path, event.count, now)

    def _other(self, event: ev.Event, now: float) -> None:
        match event:
            case ev.RunStarted():
                self._enter(Phase.PROBING)
            case ev.SourcesChosen():
                self._enter(Phase.PLANNING)
            case ev.PlanMade():
                self._total, self._files_total = event.total, event.files
                self._base, self._gained = event.present + event.shared + event.partial, 0
                self._enter(Phase.DOWNLOADING)
            case ev.FileStarted():
                self._open[event.path] = _File(event.size, event.held, now)
                self._enter(Phase.DOWNLOADING)
            case ev.BytesDropped():
                self._count(event.path, -event.count, now)
            case ev.FileReused():
                self._close(event.path)
            case ev.FileVerified() | ev.FileAdopted():
                self._verified(event.path, event.size)
            case ev.FileFailed():
                self._open.pop(event.path, None)
            case ev.ComponentReady():
                self._ready[event.component] = event.files
            case ev.Waiting():
                self._enter(Phase.WAITING, event.why)
                self._there = event.done, event.total
            case ev.RunFinished():
                self._enter(Phase.FINISHED)

    def _enter(self, phase: Phase, why: str = "") -> None:
        self._phase, self._why = phase, why

    def _count(self, path: str, change: int, now: float) -> None:
        if path in self._finished.get(_component(path), ()):
            return  # a twin of bytes that are proven already
        self._gained += change
        if (file := self._open.get(path)) is not None:
            file.have += change
            file.touched = now

    def _verified(self, path: str, size: int) -> None:
        if path in self._finished.get(_component(path), ()):
            return
        file = self._open.get(path)
        self._gained += size - (file.have if file is not None else 0)
        self._close(path)
        if self._phase is Phase.WAITING:
            self._enter(Phase.DOWNLOADING)

    def _close(self, path: str) -> None:
        self._open.pop(path, None)
        self._finished.setdefault(_component(path), set()).add(path)

    def _files_done(self) -> int:
        names = self._finished.keys() | self._ready.keys()
        count = sum(self._ready.get(name, len(self._finished.get(name, ()))) for name in names)
        return min(count, self._files_total) if self._files_total else count

    def _seen_phase(self, done: int) -> Phase:
        verifying = self._phase is Phase.DOWNLOADING and self._total > 0 and done >= self._total
        return Phase.VERIFYING if verifying else self._phase

    def _busiest(self, now: float, limit: int) -> tuple[Busy, ...]:
        """The largest of the files that move; largest, because small ones would only flicker."""
        ranked = sorted(self._open, key=lambda p: (now - self._open[p].touched > RECENT, -self._open[p].size))
        chosen = set(ranked[:limit])
        return tuple(
            Busy(path, max(0, min(file.have, file.size)), file.size)
            for path, file in self._open.items()
            if path in chosen
        )


def _component(path: str) -> str:
    head, folder, _ = path.partition("/")
    return head if folder else ROOT_FILES
