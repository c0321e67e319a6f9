"""The engine behind a plain function call, wherever that call comes from.

A model that is up to date costs a few stat calls. Otherwise the engine runs in an event loop of its own: in this
thread, or, where a loop is running in it already (a FastAPI or Gradio handler), in another thread while this one waits.
That loop is our own, whatever kind the application has chosen for itself, and no loop of the application is replaced.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, Final

from acestep_fetch import api
from acestep_fetch.core.errors import FetchError
from acestep_fetch.core.events import Event, ModelFailed
from acestep_fetch.display import Mode, open_display
from acestep_fetch.transport.lookups import run_async

if TYPE_CHECKING:
    from acestep_fetch.core.events import Listener
    from acestep_fetch.engine.report import Report
    from acestep_fetch.options import Options

_YES: Final = ("1", "true", "yes", "on")
_LOOK_UP: Final = 0.2  # seconds
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
    `UsageError`, and `FetchError` where a signal stopped it; KeyboardInterrupt passes after a clean stop.
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
    run = _Run(options, listener)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return run()
    with _stopped_by_signals(run.stop), ThreadPoolExecutor(1, thread_name_prefix="acestep-fetch") as pool:
        future = pool.submit(run)
        try:
            while not wait([future], _LOOK_UP).done:  # without an end, Windows would hear no Ctrl-C
                pass
            return future.result()
        except asyncio.CancelledError:
            raise FetchError("the download was stopped", hint="start it again: what has arrived is kept") from None
        except (KeyboardInterrupt, SystemExit):
            run.stop()
            raise


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


class _Run:
    """Use once: call it in the thread that is to run it. `stop` may be called in any other."""

    def __init__(self, options: Options, listener: Listener) -> None:
        self._options, self._listener = options, listener
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[object] | None = None
        self._stopped = False

    def __call__(self) -> Report:
        return run_async(self._fetch())

    def stop(self) -> None:
        self._stopped = True
        if self._loop and self._task:
            with suppress(RuntimeError):  # it has just ended
                self._loop.call_soon_threadsafe(self._task.cancel)

    async def _fetch(self) -> Report:
        self._task, self._loop = asyncio.current_task(), asyncio.get_running_loop()
        if self._stopped:
            raise asyncio.CancelledError
        return await api.fetch_async(self._options, self._listener)
