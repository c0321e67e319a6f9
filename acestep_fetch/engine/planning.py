"""From listings to transfers: which contents are to be fetched, for which files, from where, and whether they fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from acestep_fetch.core.errors import DiskFullError, IntegrityError, NotFoundError
from acestep_fetch.core.events import Note
from acestep_fetch.core.merge import ComponentManifest, ManifestFile, merge_component, split_by_folder
from acestep_fetch.core.model import Digest, HubName
from acestep_fetch.core.spans import SpanSet
from acestep_fetch.engine.components import Component, ModelWork
from acestep_fetch.engine.context import Context
from acestep_fetch.engine.listing import Listed
from acestep_fetch.engine.report import FileReport
from acestep_fetch.engine.sources import Place
from acestep_fetch.engine.transfer import Transfer
from acestep_fetch.storage import platform
from acestep_fetch.storage.parts import PartFile, allocated_bytes, held_bytes

SPARE: Final = 32 << 20  # bytes that are left free for journals, receipts and the file system itself


@dataclass(eq=False)
class Job:
    """A transfer and the files that its content is for."""

    transfer: Transfer
    digest: Digest
    targets: list[tuple[Component, str]] = field(default_factory=list)


def build_components(work: ModelWork, listed: Listed, order: tuple[HubName, ...], context: Context) -> None:
    """Fills `work.components`. Raises `NotFoundError` where a required component is on no hub, `IntegrityError` where
    a listing gives no digest for a file."""
    model, selective = work.model, bool(context.options.include or context.options.exclude)
    required = [c.name for c in model.components] if not selective else []
    parts = split_by_folder(listed.snapshots.values(), required) if model.components else ((model.name, ""),)
    for name, prefix in parts:
        manifest = merge_component(name, prefix, listed.snapshots, order)
        if manifest is None:
            raise NotFoundError(
                f"{model.repo}: no hub lists {'anything that the patterns keep' if selective else f'files of {name}'}",
                attempts=[f"{hub.title}: {len(s.files)} files listed" for hub, s in listed.snapshots.items()],
            )
        if unproven := [f.path for f in manifest.files if f.file.digest is None]:
            raise IntegrityError(f"{model.repo}: {manifest.truth.title} lists no digest for {unproven[0]}")
        for note in manifest.notes:
            context.emit(Note("warning", note))
        work.components.append(Component(name, manifest, dict(listed.snapshots)))


class Planner:
    """Keeps one transfer for each content, however many files want it."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.jobs: dict[tuple[Digest, int], Job] = {}

    def want(self, component: Component) -> list[Job]:
        """The jobs, new or known, that bring what the component lacks. Returns the new ones."""
        new = list[Job]()
        for file in component.wanted:
            digest = file.file.digest
            assert digest is not None  # build_components saw to it
            key = (digest, file.file.size)
            job = self.jobs.get(key)
            if job is None or job.transfer.error or job.transfer.digests:
                job = self.jobs[key] = Job(self._transfer(component, file), digest)
                new.append(job)
            if (component, file.path) not in job.targets:
                job.targets.append((component, file.path))
        return new

    def join(self, component: Component, manifest: ComponentManifest) -> None:
        """A late hub serves the component too, for what `manifest` (with the same truth) proves equal."""
        component.manifest = manifest
        for file in component.wanted:
            digest = file.file.digest
            job = self.jobs.get((digest, file.file.size)) if digest else None
            if job and job.transfer.open:
                job.transfer.places |= _places(component, file)
                job.transfer.proven |= set(file.proven)
                job.transfer.wake()

    def _transfer(self, component: Component, file: ManifestFile) -> Transfer:
        return Transfer(
            file.file,
            component.label(file.path),
            _places(component, file),
            set(file.proven),
            movable=component.may_differ(file),
        )

    async def open_parts(self, jobs: list[Job]) -> None:
        """Opens the part files of large transfers, with their room reserved. Raises what the disk raises."""
        for job in jobs:
            transfer = job.transfer
            if transfer.small:
                continue
            path = self._context.layout.part(job.digest)
            try:
                if self._context.options.force:
                    await self._context.disk.run(path.unlink, missing_ok=True)
                part = await self._context.disk.run(
                    PartFile.open, path, transfer.file.size, job.digest, [hub.value for hub in HubName]
                )
            except OSError as exc:
                raise platform.explain(exc, transfer.label) from exc
            transfer.part = part
            transfer.held = SpanSet(piece.span for piece in part.pieces.values())
            transfer.missing = SpanSet(transfer.held.gaps(transfer.file.size))

    def check_space(self, jobs: list[Job], copies: int) -> None:
        """Raises `DiskFullError` before the first byte if it will not fit. `copies` are bytes to be copied locally."""
        layout = self._context.layout
        needed = copies + SPARE
        for job in jobs:
            taken = 0 if job.transfer.small else allocated_bytes(layout.part(job.digest))
            needed += max(0, job.transfer.file.size - taken) + job.transfer.file.size * (len(job.targets) - 1)
        free = platform.free_bytes(layout.root)
        if needed > free:
            raise DiskFullError(
                f"not enough disk space in {layout.root}: {_gb(needed)} needed, {_gb(free)} free, "
                f"{_gb(needed - free)} missing",
                hint="free some space, or choose another folder with --dir; nothing was downloaded",
            )

    def partial(self, job: Job) -> int:
        """Bytes that an earlier run left for this content."""
        if job.transfer.small or self._context.options.force:
            return 0
        return held_bytes(self._context.layout.part(job.digest), job.digest, job.transfer.file.size)


def report_files(works: list[ModelWork], planner: Planner) -> tuple[FileReport, ...]:
    """The plan, file by file."""
    rows = list[FileReport]()
    for work in works:
        for component in work.components:
            for file in component.manifest.files:
                state = "here"
                if file.path not in component.here:
                    digest = file.file.digest
                    job = planner.jobs.get((digest, file.file.size)) if digest else None
                    state = "partial" if job and planner.partial(job) else "fetch"
                sources = tuple(hub.value for hub in (*file.proven, *file.possible))
                rows.append(FileReport(work.model.name, component.label(file.path), file.file.size, state, sources))
    return tuple(rows)


def _places(component: Component, file: ManifestFile) -> dict[HubName, Place]:
    hubs = (*file.proven, *file.possible)
    return {hub: Place(component.snapshots[hub], file.file.path, file.file.size) for hub in hubs}


def known_sizes(jobs: Mapping[tuple[Digest, int], Job]) -> dict[str, int]:
    """How many bytes of the plan each source is known to hold."""
    sizes: dict[str, int] = {}
    for job in jobs.values():
        for hub in job.transfer.proven:
            sizes[hub.value] = sizes.get(hub.value, 0) + job.transfer.file.size
    return sizes


def _gb(count: int) -> str:
    return f"{count / 1e9:.2f} GB"
