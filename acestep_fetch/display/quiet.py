"""``-q``: warnings, errors and how a stopped run goes on; nothing else."""

from __future__ import annotations

from collections.abc import Iterable

from acestep_fetch.core.events import Event
from acestep_fetch.display.glyphs import Glyphs, for_encoding
from acestep_fetch.display.plain import signed
from acestep_fetch.display.prose import Line, Narrator
from acestep_fetch.display.pump import PATIENCE, Tick
from acestep_fetch.display.sink import Sink

_LOUD = {"warn", "bad", "hint", "stop", "row"}
_LAST = {"bad", "hint", "row"}


class Quiet:
    """Says only what cannot be left unsaid. Without times and colours, on a terminal too."""

    period = 0.2
    grace = PATIENCE

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self._glyphs = for_encoding(sink.encoding)
        self._narrator = Narrator(self._glyphs, verbose=False)

    def paint(self, tick: Tick) -> None:
        lines = [line for heard in tick.heard for line in self._narrator.tell(heard.event) if line.kind in _LOUD]
        if lines:
            self.sink.write(_text(lines, self._glyphs))

    def close(self) -> None:
        pass


def last_words(events: Iterable[Event], encoding: str) -> str:
    """What failed in a run of these events, for people who do not read the stream; "" where nothing did."""
    glyphs = for_encoding(encoding)
    narrator = Narrator(glyphs, verbose=False)
    return _text([line for event in events for line in narrator.tell(event) if line.kind in _LAST], glyphs)


def _text(lines: Iterable[Line], glyphs: Glyphs) -> str:
    return "".join(f"{signed(line, glyphs)}\n" for line in lines)
