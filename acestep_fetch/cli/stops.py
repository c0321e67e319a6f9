"""Signals that stop a command while no event loop hears of them: before a run, after it, and between two."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any, Final, Self

# Ctrl-C, `kill`, and a terminal that was closed. Windows has no SIGHUP.
STOPS: Final = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


def heard() -> dict[int, Any]:
    """The stops that this process listens to, and their handlers. What is ignored stays ignored: that is `nohup`, or a
    shell's background job."""
    handlers = {number: signal.getsignal(number) for number in STOPS}
    return {number: handler for number, handler in handlers.items() if handler not in (signal.SIG_IGN, None)}


class Stopped(SystemExit):
    """A signal came. Its `code` is the exit code."""


class Stops:
    """Within it the first signal raises `Stopped`. Once it is `too_late` for that, the first one is not heard, because
    only the last words are left to say, and the second ends the process."""

    def __init__(self) -> None:
        self.too_late = False
        self._count = 0
        self._before = dict[int, Any]()

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # only there signals are heard
            self._before = heard()
        for number in self._before:
            signal.signal(number, self._stop)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._count += 1
        if not self.too_late:
            raise Stopped(128 + number)
        if self._count > 1:
            os._exit(128 + number)
