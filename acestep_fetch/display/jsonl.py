"""JSON lines for programs: every event as it is, and ``progress`` in place of the single bytes.

Every line has ``v`` (the schema), ``seq`` (0, 1, 2, ... without gaps), ``ts`` (UTC) and ``event``. New events and
fields may appear; existing ones keep their meaning. ``summary`` is the last line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from acestep_fetch.core.events import Event, RunFinished
from acestep_fetch.core.plain import plain_data, plain_fields
from acestep_fetch.display.pump import Heard, Tick
from acestep_fetch.display.sink import Sink
from acestep_fetch.display.tally import Phase, View

VERSION: Final = 1
PROGRESS: Final = 0.5  # seconds between two progress lines, at the least
HEARTBEAT: Final = 10.0  # the same, at the most, also when nothing moves


class JsonLines:
    """Loses no event while its reader is alive; `grace` is for a reader that is slow. Progress is only sampled."""

    period = 0.1
    grace = 10.0

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self._seq = 0
        self._told = (-1.0, -1, -1)  # when a progress line was written; bytes and files it told of

    def paint(self, tick: Tick) -> None:
        ended = bool(tick.heard) and isinstance(tick.heard[-1].event, RunFinished)
        before, end = (tick.heard[:-1], tick.heard[-1:]) if ended else (tick.heard, ())
        lines = [self._event(heard) for heard in before]
        if self._is_due(tick, ended):
            self._told = (tick.now, tick.view.done, tick.view.files_done)
            lines.append(self._line("progress", end[0].at if ended else tick.wall, progress(tick.view)))
        lines += [self._event(heard) for heard in end]
        if lines:
            self.sink.write("".join(lines))

    def close(self) -> None:
        pass

    def _is_due(self, tick: Tick, ended: bool) -> bool:
        at, done, files = self._told
        moved = (tick.view.done, tick.view.files_done) != (done, files)
        if not tick.view.total or tick.view.phase is Phase.FINISHED:
            return ended and moved and tick.view.total > 0
        return tick.now - at >= (PROGRESS if moved else HEARTBEAT)

    def _event(self, heard: Heard) -> str:
        return self._line(heard.event.name, heard.at, payload(heard.event))

    def _line(self, event: str, at: float, body: Mapping[str, Any]) -> str:
        head = {"v": VERSION, "seq": self._seq, "ts": timestamp(at), "event": event}
        self._seq += 1
        return json.dumps(head | dict(body), separators=(",", ":"), default=str) + "\n"


def payload(event: Event) -> dict[str, Any]:
    """The event's fields under their own names."""
    return plain_fields(event)


def progress(view: View) -> dict[str, Any]:
    return {
        "phase": str(view.phase),
        "bytes_done": view.done,
        "bytes_total": view.total,
        "bps": round(view.speed),
        "eta_s": None if view.eta is None else round(view.eta, 1),
        "files_done": view.files_done,
        "files_total": view.files_total,
        "by_source": plain_data(view.by_source),
    }


def timestamp(wall: float) -> str:
    """``2026-11-22T08:14:03.120Z``"""
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
