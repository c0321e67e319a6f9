"""Events -> the lines that people should read. Pure; knows neither colours nor terminals.

Most events say nothing here: the progress line tells the rest. What could come hundreds of times in a bad hour
(switches, repairs) is told a few times and then left to ``--verbose``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from acestep_fetch.core import events as ev
from acestep_fetch.display import units
from acestep_fetch.display.ending import ending, tried
from acestep_fetch.display.glyphs import Glyphs
from acestep_fetch.display.names import title

Kind = Literal["info", "good", "warn", "bad", "hint", "stop", "detail", "row"]
OFTEN: Final = 3  # how often the same trouble is told


@dataclass(frozen=True, slots=True)
class Line:
    """One line, free of control characters. The painter adds the sign that belongs to `kind`."""

    kind: Kind
    text: str


class Narrator:
    """Tells a run. `verbose` adds details, single files and probes."""

    def __init__(self, glyphs: Glyphs, *, verbose: bool) -> None:
        self._glyphs = glyphs
        self._verbose = verbose
        self._directory = ""
        self._models: tuple[str, ...] = ()
        self._probes = dict[str, ev.SourceProbed]()
        self._told = Counter[tuple[str, ...]]()
        self._ready = list[ev.ModelReady]()
        self._failed = list[ev.ModelFailed]()
        self._asked = 0
        self._file_failed = ""
        self._idle_plan = False

    def tell(self, event: ev.Event) -> list[Line]:
        """The lines for one event, often none. Foreign text in it loses its control characters."""
        return [Line(line.kind, units.one_line(line.text)) for line in self._lines(event)]

    def _lines(self, event: ev.Event) -> list[Line]:
        match event:
            case ev.RunStarted():
                self._directory, self._asked, self._models = event.directory, len(event.models), event.models
                return self._detail(f"acestep-fetch {event.version}: {', '.join(event.models)}")
            case ev.SourceProbed():
                self._probes[event.source] = event
                outcome = "answered" if event.ok else "failed"
                where = f"{title(event.source)} ({event.endpoint})"
                return self._detail(f"probe: {where} {outcome} in {event.seconds * 1000:.0f} ms: {event.detail}")
            case ev.SourcesChosen():
                return [Line("info", self._sources(event))]
            case ev.SourceJoined():
                return [Line("info", f"{title(event.source)} answers now and joins in")]
            case ev.PlanMade():
                return self._plan(event)
            case ev.Note():
                return [Line("warn" if event.level == "warning" else "info", event.text)]
            case ev.Detail():
                return self._detail(event.text)
            case ev.Waiting():
                if event.total and self._told["wait", event.why]:
                    return []  # the progress line tells how far that is
                return self._seldom(("wait", event.why), Line("info", f"waiting: {event.why}{_at_most(event.seconds)}"))
            case ev.ModelReady() | ev.ModelFailed() | ev.RunFinished():
                return self._outcome(event)
            case _:
                return self._of_a_file(event)

    def _of_a_file(self, event: ev.Event) -> list[Line]:
        match event:
            case ev.FileStarted():
                held = f", {units.size(event.held)} held" if event.held else ""
                return self._detail(f"{event.path}: {units.size(event.size)}{held}")
            case ev.FileReused():
                return self._detail(f"{event.path}: already there, {units.size(event.size)}")
            case ev.FileAdopted():
                how = {"copy": "copied from", "reflink": "shares its blocks with", "hardlink": "the same file as"}[
                    event.way
                ]
                return self._detail(f"{event.path}: {how} {event.origin}, {units.size(event.size)}")
            case ev.FileVerified():
                took = units.duration(event.seconds)
                return self._detail(f"{event.path}: verified, {units.size(event.size)} in {took}, {event.digest}")
            case ev.BytesDropped():
                return self._detail(f"{event.path}: {units.size(event.count)} dropped: {event.why}")
            case ev.SourceSwitched():
                return self._seldom(("switch", event.source, event.to), Line("warn", self._switch(event)))
            case ev.PieceRepaired():
                culprit = "the disk" if event.culprit == "disk" else title(event.culprit)
                where = f"{units.size(event.stop - event.start)} at {units.size(event.start)}"
                text = f"{event.path}: wrong bytes from {culprit} repaired ({where})"
                return self._seldom(("repair", event.culprit), Line("warn", text))
            case ev.FileFailed():
                self._file_failed = _with_subject(event.path, event.message)
                return [Line("bad", self._file_failed)]
            case ev.ComponentMoved():
                text = f"{event.component}: now taken from {title(event.to)}, not {title(event.source)}: {event.why}"
                return [Line("warn", text)]
            case ev.ComponentReady() if event.component in self._models and not self._verbose:
                return []  # the model of that name is told
            case ev.ComponentReady() if self._verbose or not self._idle_plan:
                counts = f"{units.plural(event.files, 'file')}, {units.size(event.size)}"
                return [Line("good", f"{event.component} ready {self._glyphs.dot} {counts}")]
            case _:
                return []

    def _detail(self, text: str) -> list[Line]:
        return [Line("detail", text)] if self._verbose else []

    def _seldom(self, key: tuple[str, ...], line: Line) -> list[Line]:
        self._told[key] += 1
        if self._verbose or self._told[key] < OFTEN:
            return [line]
        more = f"{line.text} (more like this: see --verbose)"
        return [Line(line.kind, more)] if self._told[key] == OFTEN else []

    def _sources(self, event: ev.SourcesChosen) -> str:
        named = ", ".join(title(source) + self._answer(source) for source in event.order) or "none"
        return f"Sources: {named} {self._glyphs.dot} {event.why}" if event.why else f"Sources: {named}"

    def _answer(self, source: str) -> str:
        probe = self._probes.get(source)
        if probe is None:
            return ""
        return f" {probe.seconds * 1000:.0f} ms" if probe.ok else f" (no answer: {probe.detail})"

    def _plan(self, plan: ev.PlanMade) -> list[Line]:
        self._idle_plan = plan.fetch == 0 and plan.partial == 0
        if self._idle_plan and not self._verbose:
            return []
        dot, arrow = self._glyphs.dot, self._glyphs.arrow
        names = ", ".join(plan.models) if len(plan.models) <= 3 else units.plural(len(plan.models), "model")
        what = f"{names}: {units.plural(plan.files, 'file')}, {units.size(plan.total)}"
        where = f" {arrow} {self._directory}" if self._directory else ""
        free = f"free {units.size(plan.disk_free)}, after {units.size(max(0, plan.disk_free - plan.fetch))}"
        lines = [Line("info", f"{what}{where} {dot} {free}")]
        if plan.present or plan.partial or plan.adoptable:
            kept = {
                "already here": plan.present,
                "from an earlier run": plan.partial,
                "from other folders": plan.adoptable,
            }
            parts = ", ".join(f"{units.size(count)} {what}" for what, count in kept.items() if count)
            lines.append(Line("info", f"Reusing {parts} {dot} to fetch: {units.size(plan.fetch)}"))
        return lines + self._detail("known to hold: " + _holdings(plan.sources))

    def _switch(self, event: ev.SourceSwitched) -> str:
        at = f"at {units.size(event.at)}"
        if not event.to:
            return f"{event.path}: {title(event.source)} given up {at}, no other source: {event.why}"
        return f"{event.path}: {title(event.source)} {self._glyphs.arrow} {title(event.to)} {at}: {event.why}"

    def _outcome(self, event: ev.ModelReady | ev.ModelFailed | ev.RunFinished) -> list[Line]:
        """A single model's success is told once, by the final line; of several, each is told when it is ready."""
        if isinstance(event, ev.RunFinished):
            return [Line(*pair) for pair in ending(event, self._ready, self._failed, self._asked, self._glyphs)]
        if isinstance(event, ev.ModelFailed):
            self._failed.append(event)
            text = _with_subject(event.model, event.message) if self._asked > 1 else event.message
            attempts = [Line(*pair) for pair in tried(event.attempts)]
            what = [] if text == self._file_failed else [Line("bad", text)]  # or it was told of the file
            return [*what, *attempts, *([Line("hint", event.hint)] if event.hint else [])]
        self._ready.append(event)
        counts = f"{units.plural(event.files, 'file')}, {units.size(event.size)}"
        if not event.fetched:
            return [Line("good", f"{event.model} is up to date ({counts})")]
        return [Line("good", f"{event.model} ready {self._glyphs.dot} {counts}")] if self._asked > 1 else []


def _with_subject(subject: str, message: str) -> str:
    """`message`, after its subject unless it names it already."""
    named = re.search(rf"(?<!\w){re.escape(subject)}(?!\w)", message)
    return message if named else f"{subject}: {message}"


def _holdings(sources: Mapping[str, int]) -> str:
    return ", ".join(f"{title(source)} {units.size(count)}" for source, count in sources.items()) or "nothing"


def _at_most(seconds: float) -> str:
    return f" (at most {units.duration(seconds)})" if seconds > 0 else ""
