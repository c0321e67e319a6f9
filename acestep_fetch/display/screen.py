"""The terminal, drawn by rich. The only module that imports it; `bars` imports this one once there is a thread.

rich's own refresh thread is not used: every frame is drawn by the caller, so nothing here needs a lock.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import IO, Final, cast

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.control import Control
from rich.live import Live
from rich.segment import ControlType
from rich.table import Table
from rich.text import Text

from acestep_fetch.display.glyphs import Glyphs
from acestep_fetch.display.layout import Row
from acestep_fetch.display.prose import Line
from acestep_fetch.display.sink import Sink
from acestep_fetch.display.units import wrap

_STYLES: Final = {
    "good": ("green", ""),
    "bad": ("bold red", "red"),
    "warn": ("yellow", ""),
    "hint": ("cyan", ""),
    "stop": ("", "yellow"),
    "detail": ("", "dim"),
}


class Screen:
    """A live block at the bottom, and above it what scrolls away."""

    def __init__(self, sink: Sink, fd: int | None, glyphs: Glyphs, environ: Mapping[str, str]) -> None:
        self._fd = fd
        self._glyphs = glyphs
        self._console = Console(
            file=cast(IO[str], _SinkFile(sink)), force_terminal=True, highlight=False, markup=False, emoji=False,
            _environ=environ,
        )  # fmt: skip
        self._live: Live | None = None
        self._shown: Sequence[Row] = ()

    def measure(self) -> tuple[int, int]:
        """Columns and rows as they are now, also after a resize."""
        try:
            columns, rows = os.get_terminal_size(self._fd) if self._fd is not None else (0, 0)
        except OSError:
            columns = rows = 0
        self._console.size = (max(20, columns or 80), rows or 24)
        if self._live is not None:
            self._take_up_folds(self._console.width)
        return self._console.width, self._console.height

    def _take_up_folds(self, width: int) -> None:
        """A terminal that has become narrower folds what stands in it: the block takes more lines than rich knows of,
        and those would stay behind. (The few terminals that cut lines instead lose as many lines above the block.)"""
        folds = sum(max(0, -(-sum(cell_len(span.text) for span in row) // width) - 1) for row in self._shown)
        if folds:
            up = [(ControlType.CURSOR_UP, 1), (ControlType.ERASE_IN_LINE, 2)] * folds
            self._console.control(Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2), *up))
            self._shown = ()  # so that it is drawn again, whatever it has to say

    def scroll(self, lines: Sequence[Line]) -> None:
        """Prints lines above the block."""
        self._console.print(Group(*map(self._line, lines)))

    def draw(self, rows: Sequence[Row]) -> None:
        """Shows `rows` as the block; the same rows again cost nothing."""
        if self._live is not None and rows == self._shown:
            return
        self._shown = rows
        text = Text("\n", no_wrap=True).join(Text.assemble(*row) for row in rows)
        if self._live is None:
            self._live = Live(
                console=self._console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
            )
            self._live.start()
        self._live.update(text, refresh=True)

    def clear(self) -> None:
        """Takes the block away and gives the cursor back."""
        if self._live is not None:
            self.measure()
            self._live.stop()
            self._live = None

    def _line(self, line: Line) -> RenderableType:
        """The line with its sign in front, wrapped with a hanging indent."""
        glyphs = self._glyphs
        signs = {"good": glyphs.good, "bad": glyphs.bad, "warn": glyphs.warn, "hint": f"  {glyphs.arrow}"}
        sign_style, style = _STYLES.get(line.kind, ("", ""))
        sign = signs.get(line.kind, "")
        room = self._console.width - (len(sign) + 1 if sign else 0)
        text = Text("\n".join(wrap(line.text, room)), style, overflow="fold")
        if line.kind not in signs:
            return text
        table = Table.grid(padding=(0, 1, 0, 0))
        table.add_row(Text(sign, sign_style, no_wrap=True), text)
        return table


class _SinkFile:
    """As much of a text file as rich writes to."""

    def __init__(self, sink: Sink) -> None:
        self.encoding = sink.encoding
        self.write = sink.write

    def flush(self) -> None:
        pass
