"""People's output on a terminal: a live block at the bottom (`layout`), and above it what happened."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Final

from acestep_fetch.display.glyphs import for_encoding
from acestep_fetch.display.layout import block
from acestep_fetch.display.prose import Narrator
from acestep_fetch.display.pump import PATIENCE, Tick
from acestep_fetch.display.sink import Sink
from acestep_fetch.display.tally import Phase

if TYPE_CHECKING:
    from acestep_fetch.display.screen import Screen

_MARGIN: Final = 2  # columns kept free, so that neither a last column nor an echoed ^C wraps a row
_ROWS: Final = 7


class Bars:
    """Draws at most 8 frames a second, and none while the terminal takes nothing. Leaves only the history."""

    period = 0.125
    grace = PATIENCE

    def __init__(self, sink: Sink, fd: int | None, *, verbose: bool, environ: Mapping[str, str]) -> None:
        self.sink = sink
        self._fd = fd
        self._environ = environ
        self._glyphs = for_encoding(sink.encoding)
        self._narrator = Narrator(self._glyphs, verbose=verbose)

    def paint(self, tick: Tick) -> None:
        width, height = self._screen.measure()
        lines = [line for heard in tick.heard for line in self._narrator.tell(heard.event)]
        finished = tick.view.phase is Phase.FINISHED
        if finished:
            self._screen.clear()
        if lines:
            self._screen.scroll(lines)
        if not finished and self.sink.ready():
            self._screen.draw(block(tick.view, width - _MARGIN, max(1, min(_ROWS, height - 2)), self._glyphs))

    def close(self) -> None:
        self._screen.clear()

    @cached_property
    def _screen(self) -> Screen:
        """Made on first use, so that rich is imported in the display's thread, while the run is under way."""
        from acestep_fetch.display.screen import Screen

        return Screen(self.sink, self._fd, self._glyphs, self._environ)
