"""Which display a run gets."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Literal, TextIO

from acestep_fetch.display.jsonl import JsonLines
from acestep_fetch.display.plain import Plain
from acestep_fetch.display.pump import Display, Painter, Pump, Silence
from acestep_fetch.display.quiet import Quiet
from acestep_fetch.display.sink import Sink

Mode = Literal["auto", "bar", "plain", "json", "none"]


def open_display(
    mode: Mode = "auto",
    *,
    quiet: bool = False,
    verbose: bool = False,
    stderr: TextIO | None = None,
    stdout: TextIO | None = None,
    clock: Callable[[], float] = time.monotonic,
    wall: Callable[[], float] = time.time,
    interval: float = 10.0,
    environ: Mapping[str, str] = os.environ,
) -> Display:
    """A listener to use as a context manager; leaving it draws what is left.

    People's output goes to `stderr`, JSON to `stdout`; both are written past Python's buffers, so flush first what
    was printed before. ``bar`` without a terminal is ``plain``. `quiet` leaves warnings and errors of people's
    output, and all of JSON. `interval` is the longest time between two lines of ``plain``.
    """
    if mode == "none":
        return Silence()
    painter: Painter
    if mode == "json":
        painter = JsonLines(Sink(stdout if stdout is not None else sys.stdout))
        return Pump(painter, clock=clock, wall=wall)
    stream = stderr if stderr is not None else sys.stderr
    sink = Sink(stream)
    if quiet:
        painter = Quiet(sink)
    elif mode != "plain" and can_draw(stream, environ):
        from acestep_fetch.display.bars import Bars

        painter = Bars(sink, stream.fileno(), verbose=verbose, environ=environ)
    else:
        painter = Plain(sink, verbose=verbose, interval=interval)
    return Pump(painter, clock=clock, wall=wall)


def can_draw(stream: TextIO | None, environ: Mapping[str, str]) -> bool:
    """Whether `stream` is a terminal that understands escapes."""
    if environ.get("TERM", "").lower() in {"dumb", "unknown"}:
        return False
    try:
        return stream is not None and stream.isatty() and _speaks_ansi()
    except ValueError:  # closed
        return False


def _speaks_ansi() -> bool:
    """False on a Windows console of the old kind."""
    if os.name != "nt":
        return True
    from rich.console import detect_legacy_windows

    return not detect_legacy_windows()
