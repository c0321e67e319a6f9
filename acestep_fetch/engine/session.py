"""One run, from names to folders: what is there, who may write, and then the network.

A model that is up to date costs a few stat calls: no network, no lease, no import of a hub or an HTTP library. That is
why the network comes in as a function that is called only when there is something to fetch.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from acestep_fetch.catalogue import Model
from acestep_fetch.core.errors import DiskError, FetchError, LeaseError
from acestep_fetch.core.events import Waiting
from acestep_fetch.engine.components import ModelWork
from acestep_fetch.engine.context import Context
from acestep_fetch.engine.listing import Select
from acestep_fetch.engine.opening import Network, Opening
from acestep_fetch.engine.readiness import look, selection_of
from acestep_fetch.engine.recorded import Record, record_of
from acestep_fetch.engine.report import FileReport
from acestep_fetch.storage import platform, receipts
from acestep_fetch.storage.claim import Watch
from acestep_fetch.storage.lease import Holder, Lease
from acestep_fetch.storage.sweeping import sweep

if TYPE_CHECKING:
    from acestep_fetch.engine.run import Run

_WAIT: Final = "wait for it to end, then run this again: what it has fetched is not fetched twice"
_TELL_EVERY: Final = 2.0  # seconds between two words to others about how far this run is
_SAY_AGAIN: Final = 10.0  # seconds until it is said again for whom it waits, where that does not move

Connect = Callable[[], AbstractAsyncContextManager[Network]]


class Session:
    """Use once: `run` it, then read `works` and `plan`. With the folder of a `bundle`, nobody is connected to."""

    def __init__(
        self,
        context: Context,
        models: Sequence[Model],
        connect: Connect,
        records: Mapping[str, Record] | None = None,
        lists: Sequence[receipts.Receipt] = (),
        bundle: Path | None = None,
    ) -> None:
        self._lists, self._bundle = {each.model: each for each in lists}, bundle
        self.works = [ModelWork(model, record=(records or {}).get(model.name)) for model in models]
        self.plan: tuple[FileReport, ...] = ()
        self.unavailable = list[Model]()
        self._context, self._connect = context, connect

    async def run(self) -> None:
        """Makes every model ready that can be. Model errors are kept in `works`; raises what stops the whole run."""
        await self._context.disk.run(platform.require_folder, self._context.layout.root)
        await self._look_for_ready()
        if all(work.ready for work in self.works):
            return
        async with self._lease() as lease:
            if not self._context.options.dry_run:
                await self._context.on_disk(self._context.layout.state, sweep, self._context.layout)
                await self._look_for_ready()  # somebody else may have fetched them while we waited
            if all(work.ready for work in self.works):
                return
            if self._bundle:
                unpacking = await asyncio.to_thread(import_module, "acestep_fetch.engine.unpacking")
                await self._told(lease, unpacking.unpack(self.open_works, self._bundle, self._context))
                return
            if self._context.options.adopt_only and await self._recorded():
                await self._told(lease, self._adopt_recorded())
                return
            async with self._connect() as network, unwrapped(), asyncio.TaskGroup() as group:
                self._select(network.select)
                pins = {work.model.repo: work.record.pins for work in self.open_works if work.record}
                opening = Opening([work.model.repo for work in self.open_works], network, group, self._context, pins)
                transport = await opening.transport()
                engine = await asyncio.to_thread(import_module, "acestep_fetch.engine.run")  # slow, and not needed yet
                run: Run = engine.Run(self.works, network.hubs, opening, transport, group, self._context)
                try:
                    opening.meanwhile(self._tell_others(lease), "progress")
                    await run.fetch()
                finally:
                    self.plan, self.unavailable = run.plan, run.unavailable

    async def _recorded(self) -> bool:
        """Whether for each model it is known without the network what it must hold: a list says so, or it was complete
        here once and is damaged now. It is made that again, and not the newest version."""
        for work in self.open_works:
            folder, asked = self._context.layout.receipts, selection_of(work.model, self._context.options)
            receipt = self._lists.get(work.model.name) or await self._context.disk.run(
                receipts.read_receipt, folder, work.model.name, asked
            )
            if receipt and receipt.repo == str(work.model.repo) and not work.record:
                work.record = record_of(receipt)
        return all(work.record for work in self.open_works)

    async def _adopt_recorded(self) -> None:
        engine = await asyncio.to_thread(import_module, "acestep_fetch.engine.run")
        async with unwrapped(), asyncio.TaskGroup() as group:
            run: Run = engine.Run(self.works, (), None, None, group, self._context)
            try:
                await run.fetch()
            finally:
                self.plan = run.plan

    @property
    def open_works(self) -> list[ModelWork]:
        return [work for work in self.works if not work.settled]

    def _select(self, select: Select) -> None:
        """Of what is recorded of whole models, only what is asked for."""
        options = self._context.options
        for work in self.open_works if options.include or options.exclude else ():
            if work.record:
                work.record = work.record.only(lambda paths: select(paths, options.include, options.exclude))

    async def _look_for_ready(self) -> None:
        layout, options = self._context.layout, self._context.options
        for work in self.open_works:
            ready = await self._context.disk.run(look, work.model, layout, options, work.record)
            if ready:
                work.ready, work.found, work.folders = True, True, ready.folders
                for event in ready.events:
                    self._context.emit(event)

    @asynccontextmanager
    async def _lease(self) -> AsyncIterator[Lease | None]:
        if self._context.options.dry_run:
            yield None
            return
        lease = await self._take_lease()
        self._context = replace(self._context, check_folder=lease.check, is_alone=lease.is_believed)
        try:
            yield lease
        except DiskError:
            with suppress(OSError):
                await self._context.disk.run(lease.check)  # which may say more
            raise
        finally:
            lease.release()

    async def _take_lease(self) -> Lease:
        path, left = self._context.layout.lease, self._context.options.lease_wait
        said, told, watch = 0.0, 0, Watch()
        names = [work.model.name for work in self.open_works]
        while True:
            try:
                taken = await self._context.disk.acquire(path, partial(Lease.take, path, names, watch), _give_back)
            except OSError as exc:
                raise platform.explain(exc, exc.filename or path.parent) from exc
            if isinstance(taken, Lease):
                return taken
            if left <= 0:
                raise _busy(taken)
            if said <= 0 or (said <= _SAY_AGAIN - _TELL_EVERY and taken.done != told):
                why = f"{taken} is downloading into this folder"
                self._context.emit(Waiting(why, left, taken.done, taken.total))
                said, told = _SAY_AGAIN, taken.done
            await asyncio.sleep(0.25)
            left, said = left - 0.25, said - 0.25

    async def _told(self, lease: Lease | None, work: Coroutine[Any, Any, None]) -> None:
        """Does work that has no network, and tells others meanwhile."""
        async with unwrapped(), asyncio.TaskGroup() as group:
            telling = group.create_task(self._tell_others(lease), name="progress")
            try:
                await work
            finally:
                telling.cancel()

    async def _tell_others(self, lease: Lease | None) -> None:
        """Writes down every now and then how far this run is, for processes that wait for it."""
        pulse, told = self._context.pulse, 0
        while lease:
            await asyncio.sleep(_TELL_EVERY)
            if lease.lost:
                await self._context.on_disk(self._context.layout.state, lease.check)
            if pulse.done != told:
                told = pulse.done
                with suppress(OSError):  # it is for others only; the run has its own ways to learn of a bad disk
                    await self._context.disk.run_on("", lease.tell, min(told, pulse.total), pulse.total)


def _give_back(taken: Lease | Holder) -> None:
    if isinstance(taken, Lease):
        taken.release()


def _busy(holder: Holder) -> LeaseError:
    return LeaseError(f"{holder} is downloading into this folder", hint=_WAIT)


@asynccontextmanager
async def unwrapped() -> AsyncIterator[None]:
    """A task group's single cause, as itself."""
    try:
        yield
    except BaseExceptionGroup as exc:
        cause: BaseException = exc
        while isinstance(cause, BaseExceptionGroup):
            errors = [e for e in cause.exceptions if isinstance(e, FetchError)]
            cause = (errors or cause.exceptions)[0]
        raise cause from exc
