"""From volumes to models that are ready: a run without a network.

What is here already is looked at as in any run. The rest goes the same way as bytes from a hub: small files are proven
in memory, large ones grow in a part file with its journal, so that a run that was stopped, or lacked a volume, is gone
on with; staging, publication and receipts are the engine's own. No volume is believed: a file's digest decides. Only
where that is wrong, or cannot be told because a volume is missing, are the file's volumes read again, to say which of
them is damaged, and to keep nothing of it for the next run.
"""

from __future__ import annotations

import errno
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from acestep_fetch.core.bundle import Bundle, Content, Extent
from acestep_fetch.core.errors import DiskError, FetchError, IntegrityError, NotFoundError
from acestep_fetch.core.events import BytesDropped, BytesReceived, FileStarted, ModelFailed, PlanMade
from acestep_fetch.core.model import Digest
from acestep_fetch.core.spans import Span, SpanSet
from acestep_fetch.engine.components import Component, ModelWork
from acestep_fetch.engine.context import Context
from acestep_fetch.engine.examine import Known, examine
from acestep_fetch.engine.planning import Job, Planner, check_space, contradiction, report_files
from acestep_fetch.engine.publishing import Publisher
from acestep_fetch.storage import platform
from acestep_fetch.storage.carried import read_bundle
from acestep_fetch.storage.checksum import ContentHash, digests_of
from acestep_fetch.storage.journal import Piece
from acestep_fetch.storage.parts import PartFile, PieceWriter

SOURCE: Final = "bundle"
BLOCK: Final = 4 << 20
_DAMAGED: Final = "damaged"
_CUT: Final = "cut short"


class _UnusableError(Exception):
    """Bytes of a volume cannot be had."""


async def unpack(works: Sequence[ModelWork], folder: Path, context: Context) -> None:
    """Makes ready what the bundle in `folder` suffices for. Raises `IntegrityError` that names the volumes that are
    missing or damaged, `NotFoundError` where what is needed was never in it, and what the disk raises."""
    bundle = await context.on_disk(folder, read_bundle, folder)
    await _Unpacking(works, folder, bundle, context).run()


class _Unpacking:
    def __init__(self, works: Sequence[ModelWork], folder: Path, bundle: Bundle, context: Context) -> None:
        self._works, self._folder, self._bundle, self._context = works, folder, bundle, context
        self._planner, self._known = Planner(context), Known(context)
        self._publisher = Publisher(context, carrier=SOURCE)
        self._contents = {Digest("sha256", content.sha256): content for content in bundle.contents}
        unwritten = [number for number, volume in enumerate(bundle.volumes) if not volume.sha256]
        self._bad = dict.fromkeys(unwritten, "not finished")  # volumes, and what is wrong with them
        self._sound = set[int]()  # volumes that were read again
        self._errors = dict[Digest, FetchError]()
        self._affected = dict[str, set[int]]()  # files that are not whole, and the volumes that are to blame

    async def run(self) -> None:
        await self._known.learn()
        for work in self._works:
            assert work.record  # a bundle is a lock
            for part in work.record.components:
                work.components.append(Component(part.name, part.manifest({}), {}, record=part))
        components = [component for work in self._works for component in work.components]
        for component in components:
            await examine(component, self._known, self._context)
        self._plan(components)
        await self._publisher.begin(self._works)
        for component in components:
            await self._publisher.copy_known(component, self._known)
            self._planner.want(component)
        for job in self._planner.jobs.values():
            job.targets = [(component, path) for component, path in job.targets if not component.has(path)]
        for job in sorted(self._planner.jobs.values(), key=self._place):
            if job.targets:
                await self._fetch(job)
        for work in self._works:
            await self._settle(work)
        self._conclude()

    def _plan(self, components: Sequence[Component]) -> None:
        jobs = list[Job]()
        for component in components:
            known = [f.path for f in component.wanted if self._known.copy_of(f.file.digests)]
            jobs += self._planner.want(component, but=known)
        with self._context.explained(self._context.layout.root):
            total, present = sum(c.manifest.size for c in components), _present(components)
            partial = sum(self._planner.partial(job) for job in jobs)
            fetch = sum(job.transfer.file.size for job in jobs) - partial
            self._context.emit(
                PlanMade(
                    models=tuple(work.model.name for work in self._works),
                    files=sum(len(component.manifest.files) for component in components),
                    total=total,
                    present=present,
                    partial=partial,
                    fetch=fetch,
                    disk_free=platform.free_bytes(self._context.layout.root),
                    sources={SOURCE: fetch},
                    shared=total - present - partial - fetch,
                )
            )
            rows = report_files(list(self._works), self._planner, self._known, {}, self._context)
            repos = {work.model.name: str(work.model.repo) for work in self._works}
            check_space(rows, self._context.layout.root, self._context.options.min_free, repos)

    def _content(self, job: Job) -> Content | None:
        return next((self._contents[d] for d in job.transfer.file.digests if d in self._contents), None)

    def _place(self, job: Job) -> tuple[int, int]:
        content = self._content(job)
        return min(((e.volume, e.offset) for e in content.extents), default=(0, 0)) if content else (0, 0)

    # -- one content ----------------------------------------------------------------------------------------------

    async def _fetch(self, job: Job) -> None:
        transfer, content = job.transfer, self._content(job)
        extents = content.extents if content and content.size == transfer.file.size else ()
        transfer.began = self._context.clock()
        try:
            if transfer.small:
                await self._fetch_small(job, extents)
            else:
                await self._fetch_large(job, extents)
            for component, path in job.refused:
                raise contradiction(component.label(path))
        except FetchError as error:
            if not isinstance(error, IntegrityError | NotFoundError):
                raise
            self._errors[job.digest] = error
            if bad := self._bad_of(extents):
                self._affected[transfer.label] = bad
            transfer.fail(error)

    async def _fetch_small(self, job: Job, extents: Sequence[Extent]) -> None:
        transfer = job.transfer
        size, data = transfer.file.size, list[bytes]()
        self._context.emit(FileStarted(transfer.label, size, 0))
        for way in _cover(size, (), extents):
            if isinstance(way, Span):
                raise self._absent(job, way)
            assert isinstance(way, Extent)  # nothing of a small file is held
            try:
                data.append(await self._read(job, way))
            except _UnusableError:
                raise self._unusable(job, extents) from None
        content = b"".join(data)
        digests = await self._context.on_hasher(transfer.label, digests_of, content)
        if not digests.agrees_with(transfer.file):
            await self._blame(extents)
            raise self._wrong(job, extents)
        transfer.finish(digests, content)
        await self._publisher.place([job])

    async def _fetch_large(self, job: Job, extents: Sequence[Extent]) -> None:
        transfer = job.transfer
        part = await self._planner.open_part(job)
        try:
            for piece in list(part.pieces.values()):
                if not await self._context.on_hasher(part.path, part.holds, piece):
                    await self._context.on_disk(part.path, part.drop, piece.span)
            held = [piece.span for piece in part.pieces.values()]
            self._context.emit(FileStarted(transfer.label, transfer.file.size, sum(map(len, held))))
            ours = SpanSet(extent.span for extent in extents)
            old = [span for span in held if ours.touches(span)]
            error = await self._bring(job, part, extents)
            if error and old and self._is_nobodys(error, extents):
                # A volume that was bad when an earlier run copied from it, and has been replaced since.
                await self._drop(job, part, old, "an earlier run has kept wrong bytes")
                error = await self._bring(job, part, extents)
            if error:  # what a download left may be wrong, or the bundle is: nobody can tell by now
                transfer.useless = self._is_nobodys(error, extents)
                raise error
            await self._publisher.place([job])
        finally:
            if transfer.part:
                await self._context.on_disk(part.path, part.discard if transfer.useless else part.close)
                transfer.part = None

    async def _bring(self, job: Job, part: PartFile, extents: Sequence[Extent]) -> FetchError | None:
        """Finishes the transfer if the part is right once it has what the bundle has of the rest. Else returns why not,
        and the part keeps nothing of a volume that is damaged: also where a missing one hides whether the file is."""
        transfer = job.transfer
        content = ContentHash(transfer.file.size, git=transfer.wants_git)
        held = sorted(part.pieces.values(), key=lambda piece: piece.span)
        error = await self._pour(job, part, content, _cover(transfer.file.size, held, extents))
        if not error and (digests := content.digests()).agrees_with(transfer.file):
            transfer.finish(digests)
            return None
        await self._blame(extents)
        wrong = [extent.span for extent in extents if self._bad.get(extent.volume) in (_DAMAGED, _CUT)]
        await self._drop(job, part, wrong, "from a volume that is damaged")
        return error if isinstance(error, NotFoundError) else self._wrong(job, extents)

    async def _pour(
        self, job: Job, part: PartFile, content: ContentHash, ways: Iterable[Piece | Extent | Span]
    ) -> FetchError | None:
        """Brings all that the bundle has into the part, and passes everything to `content` in order. Returns why it is
        not whole."""
        error: FetchError | None = None
        source = job.targets[0][0].manifest.truth.value  # whose bytes they once were
        for way in ways:
            if isinstance(way, Piece):
                for span in _steps(way.span):
                    await self._context.on_hasher(part.path, part.feed, content, span)
            elif isinstance(way, Span):
                error = error or self._absent(job, way)
            else:
                writer = PieceWriter(part, source, way.span.start)
                try:
                    for step in _extents(way):
                        data = await self._read(job, step)
                        await self._context.on_disk(part.path, writer.write, [data])
                        if error is None:
                            await self._context.on_hasher(part.path, content.update, data)
                except _UnusableError:
                    error = error or self._unusable(job, [way])
                finally:
                    await self._context.disk.run_on(part.path, writer.finish)
        return error

    async def _drop(self, job: Job, part: PartFile, spans: Iterable[Span], why: str) -> None:
        before = sum(len(piece.span) for piece in part.pieces.values())
        for span in spans:
            await self._context.on_disk(part.path, part.drop, span)
        if count := before - sum(len(piece.span) for piece in part.pieces.values()):
            self._context.emit(BytesDropped(job.transfer.label, count, why))

    async def _read(self, job: Job, extent: Extent) -> bytes:
        """The bytes of `extent`. Raises `_UnusableError`, and remembers why."""
        if extent.volume in self._bad:
            raise _UnusableError
        path = self._folder / self._bundle.volumes[extent.volume].name
        try:
            data = await self._context.disk.run_on(path, _read, path, extent.offset, len(extent.span))
        except OSError as exc:
            why = "missing" if isinstance(exc, FileNotFoundError) else f"unreadable ({exc.strerror or exc})"
            self._bad[extent.volume] = why
            raise _UnusableError from exc
        if len(data) < len(extent.span):
            self._bad[extent.volume] = _CUT
            raise _UnusableError
        self._context.emit(BytesReceived(job.transfer.label, SOURCE, len(data)))
        job.transfer.by_source[SOURCE] += len(data)
        return data

    # -- what went wrong ------------------------------------------------------------------------------------------

    async def _blame(self, extents: Sequence[Extent]) -> None:
        """Finds the bad ones among the volumes of a content that is not whole or not right. One that is not there was
        not read in this run either: what is held of it came from a better time."""
        for number in sorted({extent.volume for extent in extents} - self._bad.keys() - self._sound):
            volume = self._bundle.volumes[number]
            path = self._folder / volume.name
            if not await self._context.on_disk(path, path.is_file):
                continue
            try:
                if (await self._context.hash_file(path, git=False)).sha256 == volume.sha256:
                    self._sound.add(number)
                else:
                    self._bad[number] = _DAMAGED
            except DiskError as error:
                self._bad[number] = f"unreadable ({error.message})"

    def _bad_of(self, extents: Sequence[Extent]) -> set[int]:
        return {extent.volume for extent in extents} & self._bad.keys()

    def _is_nobodys(self, error: FetchError, extents: Sequence[Extent]) -> bool:
        """Whether the bytes are all there, no volume is at fault, and they are wrong."""
        return not isinstance(error, NotFoundError) and not self._bad_of(extents)

    def _wrong(self, job: Job, extents: Sequence[Extent]) -> FetchError:
        """The error of a content whose volumes were looked at."""
        if self._bad_of(extents):
            return self._unusable(job, extents)
        return IntegrityError(
            f"{job.transfer.label}: its bytes are not what the lock says, though the volumes are undamaged",
            hint="write the needs anew (acestep-fetch bundle needs), and make a new bundle of them",
        )

    def _unusable(self, job: Job, extents: Sequence[Extent]) -> FetchError:
        return IntegrityError(f"{job.transfer.label}: {self._said_of(self._bad_of(extents))}", hint=_COPY_AGAIN)

    def _said_of(self, volumes: Collection[int]) -> str:
        return ", ".join(f"{self._bundle.volumes[number].name} is {self._bad[number]}" for number in sorted(volumes))

    def _absent(self, job: Job, span: Span) -> FetchError:
        return NotFoundError(
            f"{job.transfer.label}: bytes {span.start} to {span.stop} are neither here nor in the bundle",
            hint="write the needs anew (acestep-fetch bundle needs), and make a bundle of them",
        )

    # -- ends -----------------------------------------------------------------------------------------------------

    async def _settle(self, work: ModelWork) -> None:
        for component in work.components:
            await self._publisher.publish(component)
        if all(component.published for component in work.components):
            await self._publisher.certify(work)
            await self._publisher.drop_parts(work, ())
            return
        missing = [file.file.digest for component in work.components for file in component.wanted]
        work.error = error = next(self._errors[digest] for digest in missing if digest in self._errors)
        failed = ModelFailed(work.model.name, error.name, error.exit_code, error.message, error.hint, error.attempts)
        self._context.emit(failed)

    def _conclude(self) -> None:
        if self._affected:
            first, *others = self._affected
            more = f" and {len(others)} more" if others else ""
            volumes = self._said_of(set[int]().union(*self._affected.values()))
            raise IntegrityError(f"{self._folder}: {volumes}; not whole: {first}{more}", hint=_COPY_AGAIN)
        if self._errors:
            raise max(self._errors.values(), key=lambda error: isinstance(error, IntegrityError))


_COPY_AGAIN: Final = "copy the volume once more, and run the same command: what is right is kept"


def _present(components: Iterable[Component]) -> int:
    return sum(f.file.size for c in components for f in c.manifest.files if c.has(f.path))


def _cover(size: int, held: Sequence[Piece], extents: Sequence[Extent]) -> Iterator[Piece | Extent | Span]:
    """All bytes of a content in order: pieces that are held, what a volume has of the rest, and what nobody has."""
    offset, pieces = 0, {piece.span.start: piece for piece in held}
    while offset < size:
        if piece := pieces.get(offset):
            yield piece
            offset = piece.span.stop
            continue
        stop = min([start for start in pieces if start > offset], default=size)
        extent = next((e for e in extents if e.span.start <= offset < e.span.stop), None)
        if extent:
            way = _part_of(extent, Span(offset, min(stop, extent.span.stop)))
            yield way
            offset = way.span.stop
        else:
            span = Span(offset, min([stop, *(e.span.start for e in extents if e.span.start > offset)]))
            yield span
            offset = span.stop


def _part_of(extent: Extent, span: Span) -> Extent:
    return Extent(span, extent.volume, extent.offset + span.start - extent.span.start)


def _steps(span: Span) -> Iterator[Span]:
    for start in range(span.start, span.stop, BLOCK):
        yield Span(start, min(start + BLOCK, span.stop))


def _extents(extent: Extent) -> Iterator[Extent]:
    return (_part_of(extent, span) for span in _steps(extent.span))


def _read(path: Path, offset: int, length: int) -> bytes:
    """Raises OSError, also where no file stands: to open a pipe would wait for who writes into it."""
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "not a file", str(path))
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(length)
