"""The engine behind a plain function call, wherever that call comes from.

A model that is up to date costs a few stat calls. Otherwise the engine runs in an event loop of its own: in this
thread, or, where a loop is running in it already (a FastAPI or Gradio handler), in another thread while this one waits.
The loop is asyncio's, whatever the application has chosen for itself, and no loop of the application is replaced.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from acestep_fetch import api
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
    `UsageError`; KeyboardInterrupt passes after a clean stop.
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
    with ThreadPoolExecutor(1, thread_name_prefix="acestep-fetch") as pool:
        future = pool.submit(run)
        try:
            return future.result()
        except (KeyboardInterrupt, SystemExit):  # ours, not the run's: it keeps what it has, and then we go
            run.stop()
            raise


def _new_loop() -> asyncio.AbstractEventLoop:
    """What asyncio itself would take, without asking the policy that the application may have set."""
    if sys.platform == "win32":
        return asyncio.ProactorEventLoop()
    return asyncio.SelectorEventLoop()


class _Run:
    """Use once: call it in the thread that is to run it. `stop` may be called in any other."""

    def __init__(self, options: Options, listener: Listener) -> None:
        self._options, self._listener = options, listener
        self._loop = _new_loop()
        self._task: asyncio.Task[object] | None = None
        self._stopped = False

    def __call__(self) -> Report:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            return runner.run(self._fetch())

    def stop(self) -> None:
        with suppress(RuntimeError):  # it has just ended
            self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        self._stopped = True
        if self._task:
            self._task.cancel()

    async def _fetch(self) -> Report:
        self._task = asyncio.current_task()
        if self._stopped:
            raise asyncio.CancelledError
        return await api.fetch_async(self._options, self._listener)
