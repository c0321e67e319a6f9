"""Runs one command and says what it took."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TIMED_OUT: Final = 124
_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """`cpu` covers the command and all that it waited for; `others` is the CPU time of everything but it."""

    wall: float
    cpu: float
    rss: int  # bytes; not below this process's own peak, which the kernel hands down
    code: int
    others: float
    began: float
    output: str


def run(
    command: Sequence[str],
    environment: Mapping[str, str],
    log: Path,
    *,
    timeout: float,
    at: tuple[float, Callable[[], None]] | None = None,
) -> Usage:
    """Runs `command` to its end, or for `timeout` seconds; `at` is something to do after so many seconds."""
    os.sync()  # what the last run left to be written must not slow down this one
    busy = _busy()
    with log.open("wb") as out:
        began = time.monotonic()
        process = subprocess.Popen(
            command, env=dict(environment), stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )
        late = threading.Event()
        timers = [threading.Timer(timeout, _kill, (process.pid, late))]
        if at is not None:
            timers.append(threading.Timer(at[0], at[1]))
        for timer in timers:
            timer.daemon = True
            timer.start()
        _, status, used = os.wait4(process.pid, 0)
        wall = time.monotonic() - began
    for timer in timers:
        timer.cancel()
    process.returncode = TIMED_OUT if late.is_set() else os.waitstatus_to_exitcode(status)
    cpu = used.ru_utime + used.ru_stime
    others = max(0.0, _busy() - busy - cpu)
    tail = log.read_text(errors="replace")[-2000:]
    return Usage(wall, cpu, used.ru_maxrss * 1024, process.returncode, others, began, tail)


def _kill(pid: int, late: threading.Event) -> None:
    late.set()
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _busy() -> float:
    """Seconds of CPU that processes have had on this machine, without interrupts."""
    user, nice, system = Path("/proc/stat").read_text().split(maxsplit=4)[1:4]
    return (int(user) + int(nice) + int(system)) / _TICKS
