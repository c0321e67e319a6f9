"""``status --watch``: until nobody is at work. In place on a terminal, a line for every change in a pipe."""

from __future__ import annotations

import shutil
import sys
import time
from collections import deque
from collections.abc import Iterator
from typing import Final

from acestep_fetch.cli.status_lines import at_work, lines, states
from acestep_fetch.display.units import countdown, percent, progress, rate
from acestep_fetch.engine.standing import Running, Status, status
from acestep_fetch.storage.layout import Layout

_LOOK_EVERY: Final = 1.0  # seconds
_LINE_EVERY: Final = 10.0  # seconds, where nothing else is worth one
_STEP: Final = 5  # per cent
_SPEED_OVER: Final = 10.0  # seconds


def watch(layout: Layout, *, silent: bool) -> Status:
    """Shows the status on stdout for as long as somebody is at work, unless it is to be `silent`. Returns the last."""
    if silent:
        *_, last = _looks(layout)
    else:
        last = _in_place(layout) if sys.stdout.isatty() else _in_lines(layout)
    return last


class Speed:
    """Bytes a second of the last ten seconds, from what the owner says every now and then."""

    def __init__(self) -> None:
        self._told = deque[tuple[float, int]]()

    def add(self, at: float, done: int) -> None:
        if not self._told or self._told[-1][1] != done:
            self._told.append((at, done))
        while len(self._told) > 2 and at - self._told[0][0] > _SPEED_OVER:
            self._told.popleft()

    @property
    def now(self) -> float | None:
        """None while it is not known."""
        if len(self._told) < 2:
            return None
        (began, first), (ended, last) = self._told[0], self._told[-1]
        return max(0.0, (last - first) / (ended - began))

    def text(self, running: Running) -> str:
        """``212 MB/s eta 28s``; nothing while it is not known."""
        if not (speed := self.now):
            return ""
        return f"{rate(speed)} eta {countdown((running.total - running.done) / speed)}"


def _looks(layout: Layout) -> Iterator[Status]:
    """One every second; the last one, and no other, is of a folder where nobody is at work."""
    while (found := status(layout)).running:
        yield found
        time.sleep(_LOOK_EVERY)
    yield found


def _in_lines(layout: Layout) -> Status:
    speed, said_at, said = Speed(), 0.0, None
    for found in _looks(layout):
        now, running = time.monotonic(), found.running
        if not running:
            break
        speed.add(now, running.done)
        worth = (states(found), percent(running.done, running.total) // _STEP, running.total)
        if worth != said or now - said_at >= _LINE_EVERY:
            print(_line(found, running, speed), flush=True)
            said_at, said = now, worth
    return found


def _line(found: Status, running: Running, speed: Speed) -> str:
    far = f"{percent(running.done, running.total)}% {progress(running.done, running.total)}" if running.total else ""
    return " ".join(filter(None, [time.strftime("%H:%M:%S"), far or str(running), speed.text(running), states(found)]))


def _in_place(layout: Layout) -> Status:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    speed = Speed()
    with Live(console=Console(highlight=False), auto_refresh=False, transient=True) as live:
        for found in _looks(layout):
            if not (running := found.running):
                break
            speed.add(time.monotonic(), running.done)
            told = list(lines(found, time.time(), shutil.get_terminal_size().columns))
            told[1] = f"{at_work(running, time.time())} {speed.text(running)}"
            live.update(Text("\n".join(told), no_wrap=True, overflow="ellipsis"), refresh=True)
    return found
