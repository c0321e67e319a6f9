"""``-q``: warnings, errors and how a stopped run goes on; nothing else."""

from __future__ import annotations

from acestep_fetch.display.glyphs import for_encoding
from acestep_fetch.display.plain import signed
from acestep_fetch.display.prose import Narrator
from acestep_fetch.display.pump import PATIENCE, Tick
from acestep_fetch.display.sink import Sink

_LOUD = {"warn", "bad", "hint", "stop"}


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
            self.sink.write("".join(f"{signed(line, self._glyphs)}\n" for line in lines))

    def close(self) -> None:
        pass
