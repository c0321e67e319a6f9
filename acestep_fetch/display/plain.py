"""People's output where there is no terminal: complete lines, each with its time; no CR, no escape, ever."""

from __future__ import annotations

import time
from typing import Final

from acestep_fetch.core.events import PlanMade
from acestep_fetch.display import units
from acestep_fetch.display.glyphs import Glyphs, for_encoding
from acestep_fetch.display.names import title
from acestep_fetch.display.prose import Line, Narrator
from acestep_fetch.display.pump import PATIENCE, Heard, Tick
from acestep_fetch.display.sink import Sink
from acestep_fetch.display.tally import Phase, View

STEP: Final = 5  # per cent


class Plain:
    """A progress line per `interval` seconds or 5 %, whichever is first, and one for each thing worth knowing.

    Also when nothing moves there is a line per `interval`, and it says what is waited for.
    """

    period = 0.2
    grace = PATIENCE

    def __init__(self, sink: Sink, *, verbose: bool, interval: float = 10.0) -> None:
        self.sink = sink
        self._glyphs = for_encoding(sink.encoding)
        self._narrator = Narrator(self._glyphs, verbose=verbose)
        self._interval = interval
        self._last: float | None = None  # when a progress line was written
        self._step = 0

    def paint(self, tick: Tick) -> None:
        lines = [line for heard in tick.heard for line in self._told(heard)]
        if any(isinstance(heard.event, PlanMade) for heard in tick.heard):
            self._step = _step(tick.view)
        if self._is_due(tick):
            lines.append(f"{_clock(tick.wall)} {progress_line(tick.view)}\n")
        if lines:
            self.sink.write("".join(lines))

    def close(self) -> None:
        pass

    def _told(self, heard: Heard) -> list[str]:
        return [f"{_clock(heard.at)} {signed(line, self._glyphs)}\n" for line in self._narrator.tell(heard.event)]

    def _is_due(self, tick: Tick) -> bool:
        if tick.view.phase is Phase.FINISHED:
            return False
        if self._last is None:
            self._last = tick.now
        step = _step(tick.view)
        if step <= self._step and tick.now - self._last < self._interval:
            return False
        self._step, self._last = max(step, self._step), tick.now
        return True


def signed(line: Line, glyphs: Glyphs) -> str:
    """`line` with the sign that belongs to its kind, for streams without colour."""
    signs = {"good": f"{glyphs.good} ", "bad": f"{glyphs.bad} ", "warn": "warning: ", "hint": f"  {glyphs.arrow} "}
    return signs.get(line.kind, "") + line.text


def progress_line(view: View) -> str:
    """``41% 4.1/10.1 GB 212 MB/s eta 28s files 17/26 huggingface 71% modelscope 29%``, or what is waited for."""
    if not view.total:
        return waited_for(view)
    words = [f"{units.percent(view.done, view.total)}%", units.progress(view.done, view.total)]
    if view.phase is Phase.DOWNLOADING and view.speed:
        words += [units.rate(view.speed), f"eta {units.countdown(view.eta)}"]
    words.append(f"files {view.files_done}/{view.files_total}")
    words += [f"{source} {share}%" for source, share in units.percentages(view.by_source).items()]
    if view.phase is not Phase.DOWNLOADING or not view.speed:
        words.append(waited_for(view))
    return units.one_line(" ".join(words))


def waited_for(view: View) -> str:
    """What has to happen next, for a run in which no bytes come in."""
    since = f"({units.countdown(view.idle)})" if view.idle >= 1 else ""
    match view.phase:
        case Phase.WAITING:
            done, total = view.there
            there = f": {units.percent(done, total)}%, {units.progress(done, total)}" if total else ""
            text = f"waiting: {view.why}{there}"
        case Phase.VERIFYING:
            text = f"verifying {view.busy[-1].path}" if view.busy else "checking and publishing files"
        case Phase.DOWNLOADING:
            hubs = ", ".join(title(source) for source in sorted(view.by_source)) or "the hubs"
            text = f"no data, waiting for {hubs}"
            text += f": {view.busy[0].path}" if view.busy else ""
        case Phase.PLANNING:
            text = "waiting for the file lists, checking what is already here"
        case _:
            text = "waiting for Hugging Face and ModelScope to answer"
    return units.one_line(f"{text} {since}")


def _step(view: View) -> int:
    return units.percent(view.done, view.total) // STEP if view.total else 0


def _clock(wall: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(wall))
