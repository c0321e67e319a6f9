"""The Python API behind the drop-in's plain functions: threads take turns, progress is shown, signals stop it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from acestep_fetch import api
from acestep_fetch.client.running import run_and_wait
from acestep_fetch.core.events import Event, ModelFailed
from acestep_fetch.display import Mode, open_display

if TYPE_CHECKING:
    from acestep_fetch.core.events import Listener
    from acestep_fetch.engine.report import Report
    from acestep_fetch.options import Options

_YES: Final = ("1", "true", "yes", "on")
_turn = threading.Lock()  # two downloads of one process would only draw over one another


def _renew_turn() -> None:
    """A process that was forked while a thread held the turn has no thread that would give it back."""
    global _turn
    _turn = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_turn)


def make_ready(options: Options) -> tuple[Report, list[ModelFailed]]:
    """Runs what `options` names, showing progress on stderr. Returns the report and what failed, model by model.

    Threads take turns, processes wait for one another; whoever comes second finds the models ready. Raises
    `UsageError`, and `StoppedError` where a signal stopped it; KeyboardInterrupt passes after a clean stop.
    """
    failures = list[ModelFailed]()
    if report := api.up_to_date(options):
        return report, failures
    with _turn:
        if report := api.up_to_date(options):
            return report, failures
        with open_display(_mode()) as display:

            def listen(event: Event) -> None:
                display(event)
                if isinstance(event, ModelFailed):
                    failures.append(event)

            return _ran(options, listen), failures


def _mode() -> Mode:
    """Bars on a terminal, lines elsewhere, and lines everywhere if the application's own bars are switched off."""
    return "plain" if os.environ.get("ACESTEP_DISABLE_TQDM", "").strip().lower() in _YES else "auto"


def _ran(options: Options, listener: Listener) -> Report:
    def work(tell: Listener | None) -> Coroutine[Any, Any, Report]:
        return api.fetch_async(options, tell)

    if not _is_on_a_loop():
        return run_and_wait(work, listener)
    stop = threading.Event()
    with _stopped_by_signals(stop.set):
        return run_and_wait(work, listener, stop)


def _is_on_a_loop() -> bool:
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


@contextmanager
def _stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Calls `stop` before the handlers of the application, which can do nothing themselves: their loop waits for us.

    Those of asyncio and uvicorn only make a note of the signal.
    """
    before = dict[int, Callable[[int, FrameType | None], object]]()

    def stop_and_tell(number: int, frame: FrameType | None) -> None:
        stop()
        before[number](number, frame)

    if threading.current_thread() is threading.main_thread():  # only there signals are heard
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        before |= {number: handler for number, handler in handlers.items() if callable(handler)}
    for number in before:
        signal.signal(number, stop_and_tell)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
