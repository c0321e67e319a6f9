"""The watchdog: a run that stands still without a reason is ended with a report, instead of hanging.

A thread looks once a second, because an event loop that is blocked cannot look at itself. What it sees is judged in
`core.liveness`. It says what a run waits for that is silent, and where the disk does not answer: that is waited for.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Final, Self

from acestep_fetch.core.errors import StuckError
from acestep_fetch.core.events import Detail, Event, Note, Waiting
from acestep_fetch.core.liveness import TICK, Seen, Verdict, Watched, after_look, longest_silence
from acestep_fetch.engine.context import Context

_SAY_AFTER: Final = 5  # looks without a sign of life after which it is said what is waited for,
_SAY_AGAIN: Final = 10  # and looks until it is said again
_NAMED: Final = 3  # of many, those that are named
_OURS: Final = Path(__file__).parents[1]

LastResort = Callable[[StuckError], None]


class Watchdog:
    """Around what it watches: an async context manager, which raises `StuckError` where it had to end that.

    `last_resort` is called in the watchdog's thread where nothing can be ended: the event loop is blocked, or the end
    stands still as well.
    """

    def __init__(self, context: Context, last_resort: LastResort) -> None:
        options = context.options
        self._context, self._last_resort = context, last_resort
        self._bound = longest_silence(options.give_up_after, options.stall_timeout, options.connect_timeout)
        self.error: StuckError | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._answers, self._asked = 0, False
        self._beats_then, self._quiet, self._unsaid = -1, 0, _SAY_AGAIN

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None
        self._task, self._cancelling = task, task.cancelling()
        self._loop, self._home = asyncio.get_running_loop(), threading.get_ident()
        self._thread.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self.error and kind is asyncio.CancelledError and self._task.uncancel() <= self._cancelling:
            raise self.error from None

    # -- in the thread --------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        watched = Watched(self._context.clock(), self._seen())
        while not self._over.wait(TICK):
            watched, verdict = after_look(watched, self._context.clock(), self._seen(), self._bound)
            if verdict is Verdict.BLOCKED:
                self._last_resort(_blocked(watched.deaf, self._home))
                return
            if self.error and watched.silent >= 2 * self._bound:  # it does not even end
                self._last_resort(self.error)
                return
            self._heed(verdict, watched)

    def _seen(self) -> Seen:
        pulse, disk = self._context.pulse, self._context.disk
        return Seen(pulse.beats + disk.ended, self._answers, pulse.is_explained, tuple(disk.under_way))

    def _heed(self, verdict: Verdict, watched: Watched) -> None:
        """Has the loop do what is to be done, and answer."""
        if verdict is Verdict.STUCK:
            self._on_loop(self._end, watched.silent)
        elif verdict is Verdict.SLOW_DISK:
            self._on_loop(self._say_slow, watched.oldest)
        elif verdict is Verdict.DISK_IS_BACK:
            self._on_loop(self._tell, Note("info", "the disk answers again"))
        if not self._asked:
            self._asked = True
            self._on_loop(self._answer)

    def _on_loop(self, call: Callable[..., None], *args: Any) -> None:
        with suppress(RuntimeError):  # it is closed: the run is over
            self._loop.call_soon_threadsafe(call, *args)

    # -- on the event loop ----------------------------------------------------------------------------------------

    def _answer(self) -> None:
        self._answers, self._asked = self._answers + 1, False
        if self._over.is_set():
            return
        beats = self._seen().beats
        self._quiet = self._quiet + 1 if beats == self._beats_then else 0
        self._beats_then = beats
        self._unsaid += 1
        expected = self._context.pulse.expected
        if expected and self._quiet >= _SAY_AFTER and self._unsaid >= _SAY_AGAIN:
            self._unsaid = 0
            last = max(expected, key=lambda wait: wait.until)
            self._context.emit(Waiting(last.what, max(0.0, last.until - self._context.clock())))

    def _say_slow(self, seconds: float) -> None:
        if calls := list(self._context.disk.under_way.values()):
            what = _few([call or str(self._context.layout.root) for call in calls])
            text = f"the disk has not answered for {seconds:.0f} s: {what}; waiting for it"
            self._tell(Note("warning", text))

    def _tell(self, event: Event) -> None:
        if not self._over.is_set():  # a run's last event is told by then
            self._context.emit(event)

    def _end(self, silent: float) -> None:
        """Ends the run in order, and tells where everything stood."""
        if self._over.is_set() or self.error:
            return
        parts = self._context.pulse.parts()
        tasks = list(_waiting_tasks(asyncio.all_tasks() - {self._task}))
        for line in (*parts, *tasks):
            self._context.emit(Detail(f"standing still: {line}"))
        self.error = StuckError(
            f"nothing has moved for {silent:.0f} s, and nothing says why: {_few(parts or tasks, '; ')}"
        )
        self._task.cancel()


def _blocked(seconds: float, home: int) -> StuckError:
    where = _few(list(_places(sys._current_frames().get(home))), " < ")  # noqa: SLF001  # documented, CPython's own
    return StuckError(f"the program's event loop has been blocked for {seconds:.0f} s: {where}")


def _waiting_tasks(tasks: Iterable[asyncio.Task[Any]]) -> Iterator[str]:
    """A line for each place where tasks of ours wait, with the names of some. Names and places hold no secrets."""
    names = defaultdict[str, list[str]](list)
    for task in tasks:
        frames = list(_suspended(task.get_coro()))
        if frames and Path(frames[0].f_code.co_filename).is_relative_to(_OURS):
            names[_few([_place(frame) for frame in reversed(frames)], " < ")].append(task.get_name())
    for place, found in sorted(names.items()):
        yield f"{place}: {_few(sorted(found))}"


def _suspended(awaited: Any) -> Iterator[FrameType]:
    """The frames of a suspended coroutine and of those that it awaits, innermost last."""
    while awaited is not None:
        if frame := getattr(awaited, "cr_frame", None) or getattr(awaited, "ag_frame", None):
            yield frame
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "ag_await", None)


def _places(frame: FrameType | None) -> Iterator[str]:
    while frame is not None:
        yield _place(frame)
        frame = frame.f_back


def _place(frame: FrameType) -> str:
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} {frame.f_code.co_name}"


def _few(texts: list[str], between: str = ", ") -> str:
    more = len(texts) - _NAMED
    return between.join(islice(texts, _NAMED)) + (f" and {more} more" if more > 0 else "")
