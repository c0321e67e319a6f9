"""The terminal's live block, on a real pseudo-terminal whose size changes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from acestep_fetch.display.glyphs import UNICODE
from acestep_fetch.display.layout import Row, Span
from acestep_fetch.display.screen import Screen
from acestep_fetch.display.sink import Sink

if sys.platform == "win32":
    pytest.skip("no pseudo-terminals", allow_module_level=True)

import fcntl
import pty
import struct
import termios

ROWS: list[Row] = [[Span("a" * 70)], [Span("b" * 30), Span("c" * 65)], [Span("d" * 10)]]


@pytest.fixture
def terminal() -> Iterator[int]:
    ours, theirs = pty.openpty()
    yield theirs
    os.close(ours)
    os.close(theirs)


def resize(terminal: int, columns: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))


@pytest.mark.parametrize(("columns", "folds"), [(100, 0), (95, 0), (80, 1), (40, 3), (120, 0)])
def test_a_block_that_was_folded_is_taken_up_whole(terminal: int, tmp_path: Path, columns: int, folds: int) -> None:
    resize(terminal, 100)
    with (tmp_path / "seen").open("w+", encoding="utf-8") as seen:
        screen = Screen(Sink(seen), terminal, UNICODE, {"TERM": "xterm"})
        screen.measure()
        screen.draw(ROWS)
        resize(terminal, columns)
        begin = os.path.getsize(seen.name)
        assert screen.measure() == (columns, 24)
        assert (tmp_path / "seen").read_bytes()[begin:].count(b"\x1b[1A\x1b[2K") == folds
        screen.draw([[Span("short")]])
        again = os.path.getsize(seen.name)
        assert screen.measure() == (columns, 24)
        assert os.path.getsize(seen.name) == again, "taken up twice"
        screen.clear()
