"""A run in a process of its own: signals stop it, first in order and then at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final

from acestep_fetch.options import Options

if TYPE_CHECKING:
    import asyncio

    from acestep_fetch.display import Display
    from acestep_fetch.engine.ending import Host
    from acestep_fetch.engine.report import Report
    from acestep_fetch.storage.receipts import Receipt

# Ctrl-C, `kill`, and a terminal that was closed. Windows has no SIGHUP.
_STOPS: Final = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


def run_loop(
    options: Options, display: Display, record: Receipt | None = None, bundle: Path | None = None
) -> Report | int:
    """The run's report, or the exit code of a run that a signal ended. `record`, `bundle`: see `api.fetch_async`."""
    import asyncio

    from acestep_fetch import api
    from acestep_fetch.engine.ending import Host
    from acestep_fetch.transport.lookups import run_async

    def leave(code: int) -> None:
        display.close()
        os._exit(code)

    host = Host(leave)

    async def watched() -> Report:
        with _stopped_by_signals(host):
            return await api.fetch_async(options, display, host=host, record=record, bundle=bundle)

    try:
        return run_async(watched())
    except (asyncio.CancelledError, KeyboardInterrupt):
        return host.stop_code


@contextmanager
def _stopped_by_signals(host: Host) -> Iterator[None]:
    """The first signal stops the task that this is entered in, the second ends the process at once.

    Not the event loop's own handlers, which a loop that is blocked would never call. What is ignored stays ignored:
    that is `nohup`, or a shell's background job.
    """
    import asyncio

    loop, task, stopping = asyncio.get_running_loop(), asyncio.current_task(), False
    assert task is not None
    cancel: asyncio.Task[object] = task

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        if stopping:
            os._exit(128 + number)
        stopping, host.stop_code = True, 128 + number
        loop.call_soon_threadsafe(cancel.cancel)

    before = {number: signal.getsignal(number) for number in _STOPS}
    heard = [number for number, handler in before.items() if handler not in (signal.SIG_IGN, None)]
    for number in heard:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in heard:
            signal.signal(number, before[number])
