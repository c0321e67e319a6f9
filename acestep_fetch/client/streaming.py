"""Downloads on the event loop of an application: `AsyncClient`, and the typed events of each `Download`."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, Unpack

from acestep_fetch import api
from acestep_fetch.client.backlog import Backlog
from acestep_fetch.client.running import Run
from acestep_fetch.client.settings import Models, Settings, options_for
from acestep_fetch.core.events import Event, Listener
from acestep_fetch.engine.report import Report
from acestep_fetch.options import Options


class AsyncClient:
    """Settings that several downloads share, and the block in which they run::

        async with AsyncClient(dir="/models", jobs=8, limit_rate="80MB/s") as client:
            async for event in client.fetch("main"):
                print(event.to_dict())
        print(client.report.models)

    Leaving the block stops what is still running, in order: what has arrived is kept for the next time. Raises
    `UsageError` for a wrong setting.
    """

    def __init__(self, *, options: Options | None = None, **settings: Unpack[Settings]) -> None:
        self._options = options_for((), options, settings)
        self._works = list[_Work]()  # the latest, and those before it that may still be running
        self._open = False

    async def __aenter__(self) -> Self:
        self._open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = False
        for work in self._works:
            work.run.stop()
        for work in self._works:
            await work.over()

    def fetch(self, *models: Models, check: bool = True) -> Download:
        """Begins to make `models` ready (names, or lists of names), and nothing else; none named means main.

        Raises `UsageError` for an unknown name, and RuntimeError outside of ``async with``.
        """
        if not self._open:
            raise RuntimeError("a client fetches inside of `async with` only")
        work = _Work(options_for(models, self._options, {}))
        self._works = [*(before for before in self._works if not before.is_over), work]
        return Download(work, check=check)

    async def ensure(self, *models: Models) -> tuple[Path, ...]:
        """The folders of `models`, which are fetched first if they are not ready. Raises what a `Download` does."""
        return tuple(map(Path, (await self.fetch(*models)).folders))

    @property
    def report(self) -> Report:
        """What the latest download came to. Raises RuntimeError where it has not ended by itself."""
        if not self._works:
            raise RuntimeError("nothing was fetched yet")
        return self._works[-1].report


class Download:
    """One download, under way: iterate over its events, await it for its report, or both.

    It moves on by itself, however slowly it is listened to: progress is added up meanwhile, and no other event is
    lost. The last event is a `RunFinished`; after it the `FetchError` is raised that the run ended with, unless
    `check` is False, and in any case `StoppedError` after a stop.

    Cancelling whoever waits for it stops it, and so does dropping it, as ``break`` does in ``async for``. Cancelling a
    second time does not wait for the end.
    """

    def __init__(self, work: _Work, *, check: bool) -> None:
        self._work, self._check = work, check
        weakref.finalize(self, work.run.stop).atexit = False

    def stop(self) -> None:
        """Has it end soon, in order; returns at once. Its last events can still be read."""
        self._work.run.stop()

    @property
    def done(self) -> bool:
        """Whether it has ended, whatever with."""
        return self._work.is_over

    @property
    def report(self) -> Report:
        """What it came to. Raises RuntimeError where it has not ended by itself."""
        return self._work.report

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        event = await self._work.next_event()
        if event is None:
            self._ended()
            raise StopAsyncIteration
        return event

    def __await__(self) -> Generator[Any, None, Report]:
        return self._result().__await__()

    async def _result(self) -> Report:
        while await self._work.next_event():
            pass
        return self._ended()

    def _ended(self) -> Report:
        report = self._work.run.outcome.result()
        if self._check:
            report.raise_for_error()
        return report


class _Work:
    """What a `Download` is about; apart from it, so that the download can be dropped while this goes on."""

    def __init__(self, options: Options) -> None:
        loop, news = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody listens
                loop.call_soon_threadsafe(news.set)

        self._news, self._backlog = news, Backlog(wake)

        async def work(listener: Listener | None) -> Report:
            return api.up_to_date(options, listener) or await api.fetch_async(options, listener)

        self.run = Run(work, self._backlog.put)
        self.run.outcome.add_done_callback(lambda _: wake())
        self.run.start()

    @property
    def is_over(self) -> bool:
        return self.run.outcome.done()

    @property
    def report(self) -> Report:
        if not self.is_over or self.run.outcome.exception():
            raise RuntimeError("there is a report only of a download that has ended by itself")
        return self.run.outcome.result()

    async def next_event(self) -> Event | None:
        """The next event, None after the last. Where the caller is cancelled, the download is over then, too."""
        while True:
            is_over = self.is_over  # asked first: what is told before it is over is in the backlog
            if event := self._backlog.take():
                return event
            if is_over:
                return None
            try:
                await self._news.wait()
            except asyncio.CancelledError:
                self.run.stop()
                await self.over()
                raise
            self._news.clear()

    async def over(self) -> None:
        """Returns when the download has ended, whatever with."""
        while not self.is_over:
            await self._news.wait()
            self._news.clear()
