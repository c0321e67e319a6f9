"""Work of the engine in a thread of its own, and how a plain function waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

from acestep_fetch import api
from acestep_fetch.client.backlog import Backlog
from acestep_fetch.core.errors import StoppedError

if TYPE_CHECKING:
    import asyncio

    from acestep_fetch.core.events import Listener

T = TypeVar("T")
Work = Callable[["Listener | None"], Coroutine[Any, Any, T]]  # called in the thread in which it is run

_LOOK_UP: Final = 0.1  # seconds; on Windows nothing else lets Ctrl-C through


class Cancel(Protocol):
    """What tells a plain function to stop: a `threading.Event`, or anything that can be asked like one."""

    def is_set(self) -> bool: ...


class Run(Generic[T]):
    """Use once: `start`, then wait for `outcome`: what the work returns or raises, or `StoppedError` after a `stop`.

    The loop is our own, whatever kind the application has chosen for itself. `listener` is called in its thread.
    """

    def __init__(self, work: Work[T], listener: Listener | None) -> None:
        self.outcome = Future[T]()
        self._work, self._listener = work, listener
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[object] | None = None
        self._stopped = False

    def start(self) -> None:
        # A process that ends does not wait for it: what has arrived is kept, as after a kill.
        thread = threading.Thread(target=self._run, name="acestep-fetch", daemon=True)
        try:
            thread.start()
        except RuntimeError as exc:  # the system has no thread left
            self.outcome.set_exception(exc)

    def stop(self) -> None:
        """Has it end soon and in order; may be called from anywhere, at any time, and returns at once."""
        if self._stopped:
            return
        self._stopped = True
        if self._loop and self._task:
            with suppress(RuntimeError):  # it has just ended
                self._loop.call_soon_threadsafe(self._task.cancel)

    def _run(self) -> None:
        from asyncio import CancelledError

        from acestep_fetch.transport.lookups import run_async

        try:
            result = run_async(self._stoppable())
        except CancelledError:
            self.outcome.set_exception(StoppedError())
        except BaseException as exc:  # it is raised where somebody waits for it
            self.outcome.set_exception(exc)
        else:
            self.outcome.set_result(result)

    async def _stoppable(self) -> T:
        import asyncio

        self._task, self._loop = asyncio.current_task(), asyncio.get_running_loop()
        if self._stopped:
            raise asyncio.CancelledError
        return await self._work(self._listener)


def run_and_wait(work: Work[T], on_event: Listener | None = None, cancel: Cancel | None = None) -> T:
    """What the work returns; `on_event` is called here, in the thread that waits, and what it raises is logged.

    Raises `StoppedError` once `cancel` is set. What else is raised here, such as KeyboardInterrupt, passes after a
    stop in order; raised a second time, it waits for nothing.
    """
    waiter = _Waiter(work, on_event)
    try:
        waiter.start()
        return waiter.wait(cancel)
    except BaseException:
        waiter.stop()
        raise


class _Waiter(Generic[T]):
    def __init__(self, work: Work[T], on_event: Listener | None) -> None:
        self._news = threading.Event()
        self._backlog = Backlog(self._news.set)
        self._tell = api.guarded(on_event) if on_event else None
        self._run = Run(work, self._backlog.put if on_event else None)

    def start(self) -> None:
        self._run.outcome.add_done_callback(lambda _: self._news.set())
        self._run.start()

    def wait(self, cancel: Cancel | None) -> T:
        while not self._run.outcome.done():
            self._news.wait(_LOOK_UP)
            self._news.clear()
            self._hand_on(cancel)
        self._hand_on(None)
        return self._run.outcome.result()

    def stop(self) -> None:
        """Returns when it has ended, and its last event has been told."""
        if not self._run.outcome.done():
            self._run.stop()
            with suppress(Exception):  # whatever it ended with: something else is being raised
                self.wait(None)

    def _hand_on(self, cancel: Cancel | None) -> None:
        while True:
            if cancel and cancel.is_set():
                self._run.stop()
            if not self._tell or (event := self._backlog.take()) is None:
                return
            self._tell(event)
