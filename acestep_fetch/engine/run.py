"""The part of a session that has a network: lists, plan, transfers, publication."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Final

from acestep_fetch.catalogue import Model
from acestep_fetch.core.choice import Choice
from acestep_fetch.core.errors import FetchError, NetworkError, NotFoundError
from acestep_fetch.core.events import ComponentMoved, Detail, FileFailed, ModelFailed, Note, PlanMade, SourceJoined
from acestep_fetch.core.interfaces import Hub, Transport
from acestep_fetch.core.model import HubName, Snapshot
from acestep_fetch.engine.completion import complete
from acestep_fetch.engine.components import Component, ModelWork
from acestep_fetch.engine.context import Context
from acestep_fetch.engine.examine import Known, examine
from acestep_fetch.engine.flight import BATCH
from acestep_fetch.engine.frontier import Frontier
from acestep_fetch.engine.landing import Landing
from acestep_fetch.engine.listing import Listed
from acestep_fetch.engine.opening import Opening
from acestep_fetch.engine.planning import (
    Job,
    Planner,
    build_components,
    check_space,
    contradiction,
    known_sizes,
    report_files,
)
from acestep_fetch.engine.publishing import Publisher
from acestep_fetch.engine.repair import Repair
from acestep_fetch.engine.report import FileReport, figures_of
from acestep_fetch.engine.scheduler import Scheduler
from acestep_fetch.engine.sources import Source
from acestep_fetch.engine.warming import warm
from acestep_fetch.storage import platform
from acestep_fetch.storage.parts import RECORD_EVERY, SYNC_EVERY

OPEN_PARTS: Final = 16  # large files under way at once: each takes two descriptors
_BOUND: Final = (
    f"a kill costs at most {(RECORD_EVERY + BATCH) >> 20} MiB a connection, "
    f"a loss of power about {SYNC_EVERY >> 20} MiB of each file under way at the most"
)


class Run:
    """Its tasks live in `group`. `fetch` settles every one of `works` (and drops from the list what is not on any hub,
    where all models were asked for)."""

    def __init__(
        self,
        works: list[ModelWork],
        hubs: Sequence[Hub],
        opening: Opening | None,
        transport: Transport | None,
        group: asyncio.TaskGroup,
        context: Context,
    ) -> None:
        self.plan: tuple[FileReport, ...] = ()
        self.unavailable = list[Model]()
        self._works, self._hubs, self._group, self._context = works, hubs, group, context
        self._opening = opening  # None: nobody is asked anything
        self._planner, self._publisher, self._known = Planner(context), Publisher(context), Known(context)
        self._sources = [Source(hub, transport, context) for hub in hubs] if transport else []
        self._scheduler = Scheduler(context, self._sources)
        self._settled = asyncio.Event()
        jobs = context.options.jobs
        self._large = asyncio.Semaphore(min(jobs or OPEN_PARTS, OPEN_PARTS))
        self._any = asyncio.Semaphore(jobs) if jobs else nullcontext()
        self._joined = set[HubName]()
        self._landing = Landing()
        self._moving = asyncio.Event()  # the largest file can be fetched, or there is none

    @property
    def _open(self) -> list[ModelWork]:
        return [work for work in self._works if not work.settled]

    async def fetch(self) -> None:
        """Lists, plans, transfers, publishes. Raises what stops everything: an explicitly named model that no hub has,
        too little space, a disk that refuses."""
        opening, works = self._opening, self._open
        await self._known.learn()
        if opening is None:
            for work in works:
                build_components(work, Listed({}, {}, {}), (), self._context)
            await self._prepare({})
            await self._adopt()
            return
        listings = opening.listings
        choice, answers = await opening.choice
        for source in self._sources:
            source.begin(len(choice.order), choice.order.index(source.name))
        for work in works if self._sources and not self._context.options.adopt else ():
            warming = warm(work.model, choice.order, listings, self._sources, self._known, self._context)
            opening.meanwhile(warming, f"warm {work.model.name}")
        down = [name for name in choice.order if answers.of(name) is False]
        listed = {work: await listings.settle(work.model.repo, choice.order, down) for work in works}
        for work in works:
            if work.record and listed[work].late and work.record.lacks(listed[work].snapshots):
                listed[work] = await listings.whole(work.model.repo)  # who is late may be the one that still has it
        self._drain_warnings()
        for work in works:
            self._build(work, listed[work], choice)
        if not self._works:
            raise NotFoundError(
                "no hub has any of the models",
                hint="see that the endpoints lead to hubs: `acestep-fetch config show --origin`",
            )
        await self._prepare(listed)
        if self._sources:
            await self._publisher.begin(self._open)
            for work in self._open:
                for hub, task in listed[work].late.items():
                    self._group.create_task(self._join(work, hub, task))
            await self._transfer(choice.order)
        elif self._context.options.adopt_only:
            await self._adopt()
        opening.close()

    # -- planning -------------------------------------------------------------------------------------------------

    def _build(self, work: ModelWork, listed: Listed, choice: Choice) -> None:
        options = self._context.options
        try:
            if not listed.snapshots:
                raise listed.error(work.model)
            build_components(work, listed, choice.order, self._context)
        except NotFoundError as error:
            if work.record:
                raise work.record.gone(error) from error
            if not options.all_models:
                if len(self._works) > 1:
                    self._fail(work, error)
                if len(options.models) < 2:  # main comes along with the one that was asked for
                    raise
                return
            self.unavailable.append(work.model)
            self._works.remove(work)
            what = "is announced, but not on any hub yet" if work.model.announced else "is not on any hub"
            self._context.emit(Note("info", f"{work.model.name} {what}: skipped ({'; '.join(error.attempts)})"))
        except FetchError as error:
            if len(self._works) == 1:
                raise
            self._fail(work, error)

    async def _prepare(self, listed: Mapping[ModelWork, Listed]) -> None:
        """Looks at what is there, gives the verdict on the space, and tells the plan."""
        for work in self._open:
            for component in work.components:
                await examine(component, self._known, self._context)
                nowhere = next((f for f in component.wanted if not (f.proven or f.possible)), None)
                if nowhere and not self._context.options.adopt_only:
                    assert work.record  # a hub's own list has a source for each of its files
                    label, refusals = component.label(nowhere.path), listed[work].refusals
                    raise work.record.nowhere(label, nowhere, component.snapshots, refusals)
        components = [component for work in self._open for component in work.components]
        await self._known.elsewhere.look_for(
            [f.file for c in components for f in c.wanted if not self._known.copy_of(f.file.digests)]
        )
        for component in components:
            self._planner.want(component, but=[f.path for f in component.wanted if self._known.copy_of(f.file.digests)])
        with self._context.explained(self._context.layout.root):
            self.plan = self._rows()
            self._tell_plan()
            kept = self._context.options.min_free
            spared = ("fetch", "partial") if self._context.options.adopt_only else ()
            rows = [row for row in self.plan if row.state not in spared]
            repos = {work.model.name: str(work.model.repo) for work in self._works}
            check_space(rows, self._context.layout.root, kept, repos)

    def _rows(self) -> tuple[FileReport, ...]:
        return report_files(self._open, self._planner, self._known, self._publisher.adopted, self._context)

    def _tell_plan(self) -> None:
        figures = figures_of(self.plan)
        self._context.emit(
            PlanMade(
                models=tuple(work.model.name for work in self._open),
                files=len(self.plan),
                total=figures.total,
                present=figures.here,
                shared=figures.shared,
                adoptable=figures.adoptable,
                partial=figures.partial,
                fetch=figures.fetch,
                disk_free=platform.free_bytes(self._context.layout.root),
                sources=known_sizes(self._planner.jobs),
            )
        )

    async def _adopt(self) -> None:
        """Takes what is elsewhere on this machine, and publishes what is complete by that. The rest stays in staging
        for the next run."""
        known, components = self._known, [component for work in self._open for component in work.components]
        found = {c for c in components if any(known.copy_of(file.file.digests) for file in c.wanted)}
        await self._publisher.begin([work for work in self._open if found.intersection(work.components)])
        for component in components:
            await self._publisher.copy_known(component, known)
        self.plan = self._rows()
        for component in components:
            await self._advance(component)

    # -- transfers ------------------------------------------------------------------------------------------------

    async def _transfer(self, order: Sequence[HubName]) -> None:
        components = [c for work in self._open for c in work.components]
        listed = {name for component in components for name in component.snapshots}
        for source in self._sources:
            source.begin(len(listed), sum(name in listed for name in order[: order.index(source.name)]))
            source.take_off()
        for component in components:
            await self._publisher.copy_known(component, self._known)
            self._planner.want(component)  # a copy that turned out wrong is fetched after all
        jobs = [job for job in self._planner.jobs.values() if self._still_wanted(job)]
        if jobs:
            self._context.emit(Detail(_BOUND))
        workers = [
            self._group.create_task(self._scheduler.run(), name="scheduler"),
            self._group.create_task(self._land(), name="landing"),
        ]
        self._start(jobs)
        for component in components:
            await self._advance(component)
        while self._open:
            self._settled.clear()
            await self._settled.wait()
        for job in self._planner.jobs.values():
            job.transfer.fail(NetworkError(f"{job.transfer.label}: not needed any more"))
        for worker in workers:
            worker.cancel()

    @staticmethod
    def _still_wanted(job: Job) -> bool:
        job.targets = [(c, path) for c, path in job.targets if not c.has(path)]
        return bool(job.targets)

    def _start(self, jobs: Sequence[Job]) -> None:
        """The first model's files come first, and of these the largest: small ones would keep the few first connections
        from getting up to speed."""
        for job in jobs:
            job.transfer.turn = min((self._turn(component) for component, _ in job.targets), default=0)
        small = [job for job in jobs if job.transfer.small and not self._context.options.jobs]
        if len(small) == len(jobs):
            self._moving.set()
        large = sorted(
            (job for job in jobs if job not in small), key=lambda job: (job.transfer.turn, -job.transfer.file.size)
        )
        for number, job in enumerate(large):
            self._group.create_task(self._carry(job, leads=not number), name=job.transfer.label)
        self._group.create_task(self._take_smalls(small), name="small files")

    def _turn(self, component: Component) -> int:
        return next(n for n, work in enumerate(self._works) if component in work.components)

    async def _take_smalls(self, jobs: Sequence[Job]) -> None:
        await self._moving.wait()
        for job in jobs:
            self._take_small(job)

    def _take_small(self, job: Job) -> None:
        self._landing.expect(job)
        if job.transfer.open:
            self._scheduler.workload.add(job.transfer)

    async def _land(self) -> None:
        """Takes small files from memory to their places until it is cancelled."""
        while True:
            batch = await self._landing.next()
            for job in batch:
                self._scheduler.workload.settle(job.transfer)
            await self._publisher.place([job for job in batch if not job.transfer.error])
            for job in batch:
                if job.transfer.error or job.refused or any(component.complete for component, _ in job.targets):
                    self._group.create_task(self._conclude(job), name=job.transfer.label)

    async def _carry(self, job: Job, *, leads: bool) -> None:
        """Takes one content from its first byte to its places, when it is its turn. All others wait until the one that
        `leads` can be fetched."""
        async with self._any:
            if job.transfer.small:
                if leads:
                    self._moving.set()
                await self._moving.wait()
                self._take_small(job)
                await job.transfer.settled()
                return
            async with self._large:
                await self._carry_large(job, leads)
        await self._conclude(job)

    async def _conclude(self, job: Job) -> None:
        """Draws the consequences of a transfer's end for what its content is for."""
        transfer = job.transfer
        if transfer.error:
            for component, path in job.targets:
                await self._lost(component, path, transfer.error)
            return
        for component, path in job.refused:
            await self._lost(component, path, contradiction(component.label(path)))
        for component, _ in job.targets:
            await self._advance(component)

    async def _carry_large(self, job: Job, leads: bool) -> None:
        """The part file is opened, closed, published or discarded here and nowhere else."""
        async with self._planner.part_of(job.digest):
            if job.transfer.open:
                await self._carry_part(job, leads)
            elif leads:
                self._moving.set()

    async def _carry_part(self, job: Job, leads: bool) -> None:
        transfer = job.transfer
        part = await self._planner.open_part(job)
        try:
            frontier = Frontier(transfer, self._context, list(part.pieces.values()))
            scheduler = self._scheduler
            repair = Repair(transfer, part, self._sources, scheduler.blame, scheduler.budget, self._context)
            if leads:
                self._moving.set()
            await self._moving.wait()
            self._scheduler.workload.add(transfer)
            await complete(transfer, part, frontier, repair)
            await transfer.grounded()
            await self._landed(job)
        finally:
            await transfer.grounded()
            if transfer.part:
                await self._context.on_disk(part.path, part.discard if transfer.useless else part.close)
                transfer.part = None

    async def _landed(self, job: Job) -> None:
        self._scheduler.workload.settle(job.transfer)
        if not job.transfer.error:
            await self._publisher.place([job])

    async def _advance(self, component: Component) -> None:
        if component.complete and not component.error:
            await self._publisher.publish(component)
            await self._settle_works(component)

    async def _settle_works(self, component: Component) -> None:
        """A model ends when each of its components has: its siblings go on where one of them fails."""
        for work in self._open:
            unsettled = [c for c in work.components if not (c.published or c.error)]
            if component not in work.components or unsettled or work.ending:
                continue
            work.ending = True
            if error := next((c.error for c in work.components if c.error), None):
                self._fail(work, error)
            else:
                await self._publisher.certify(work)
                busy = {job.digest for job in self._planner.jobs.values() if job.transfer.open or job.transfer.part}
                await self._publisher.drop_parts(work, busy)
            self._settled.set()

    async def _lost(self, component: Component, path: str, error: FetchError) -> None:
        """A file of the component cannot be had: the other hub's version of the whole component, or an end."""
        if component.error or path not in {f.path for f in component.wanted}:
            return
        manifest = component.alternative()
        if manifest is None:
            await self._give_up(component, path, error)
            return
        source = component.manifest.truth
        why = f"{component.label(path)} cannot be had ({error.message})"
        self._context.emit(ComponentMoved(component.title, source, manifest.truth, why))
        component.move(manifest)
        self._planner.forget(component)
        self._start(self._planner.want(component))
        await self._publisher.begin([work for work in self._open if component in work.components])
        await self._advance(component)

    async def _give_up(self, component: Component, path: str, error: FetchError) -> None:
        """The component will not be complete: what only it needs is not fetched any further (and kept)."""
        work = next(work for work in self._works if component in work.components)
        if work.record:
            error = work.record.lost(component.label(path), next(f for f in component.wanted if f.path == path), error)
        component.error = error
        self._context.emit(FileFailed(component.label(path), error.name, error.message, error.retryable))
        for job in self._planner.jobs.values():
            if all(target.error for target, _ in job.targets):
                job.transfer.fail(error)
        await self._settle_works(component)

    async def _join(self, work: ModelWork, hub: HubName, task: asyncio.Task[Snapshot | FetchError]) -> None:
        """A hub whose list came late serves what is proven equal from now on."""
        await asyncio.wait([task])
        if task.cancelled() or not isinstance(found := task.result(), Snapshot) or work.settled:
            return
        for component in work.components:
            if manifest := component.joined(hub, found):
                self._planner.join(component, manifest)
        if hub not in self._joined:
            self._joined.add(hub)
            self._context.emit(SourceJoined(hub))

    def _fail(self, work: ModelWork, error: FetchError) -> None:
        if not work.settled:
            work.error = error
            facts = (error.exit_code, error.message, error.hint, error.attempts, error.retryable)
            self._context.emit(ModelFailed(work.model.name, error.name, *facts))
            self._settled.set()

    def _drain_warnings(self) -> None:
        for hub in self._hubs:
            for text in hub.take_warnings():
                self._context.emit(Note("warning", text))
