"""From listings to transfers: which contents are to be fetched, for which files, from where, and whether they fit."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from acestep_fetch.catalogue.asking import asked_as
from acestep_fetch.catalogue.models import MAIN
from acestep_fetch.core.errors import DiskFullError, IntegrityError, NetworkError, NotFoundError
from acestep_fetch.core.events import Note
from acestep_fetch.core.merge import ComponentManifest, ManifestFile, merge_component, split_by_folder
from acestep_fetch.core.model import Digest, HubName
from acestep_fetch.core.spans import SpanSet
from acestep_fetch.engine.components import Component, ModelWork
from acestep_fetch.engine.context import Context
from acestep_fetch.engine.examine import Known
from acestep_fetch.engine.listing import Listed
from acestep_fetch.engine.report import FileReport
from acestep_fetch.engine.sources import Place
from acestep_fetch.engine.space import fitting, needed
from acestep_fetch.engine.transfer import Transfer
from acestep_fetch.storage import platform, staging
from acestep_fetch.storage.checksum import Digests
from acestep_fetch.storage.parts import PartFile, allocated_bytes, held_bytes, journal_of, remove_part
from acestep_fetch.storage.taking import Way


@dataclass(eq=False)
class Job:
    """A transfer and the files that its content is for. `refused` are those of which the list says more than `digest`,
    and that is not true of the content."""

    transfer: Transfer
    digest: Digest
    targets: list[tuple[Component, str]] = field(default_factory=list)
    refused: list[tuple[Component, str]] = field(default_factory=list)

    @property
    def is_landing(self) -> bool:
        """Whether the content is whole and proven, and not in its places yet."""
        return self.transfer.digests is not None and (self.transfer.part is not None or self.transfer.data is not None)

    def sort_targets(self, digests: Digests) -> None:
        """Keeps the targets that want the content still, now that all is known of it."""
        listed = [(component.still_wants(path, self.digest), component, path) for component, path in self.targets]
        self.targets = [(c, path) for file, c, path in listed if file and digests.agrees_with(file)]
        self.refused = [(c, path) for file, c, path in listed if file and not digests.agrees_with(file)]


def build_components(work: ModelWork, listed: Listed, order: tuple[HubName, ...], context: Context) -> None:
    """Fills `work.components`. Raises `NotFoundError` where a required component is on no hub, `IntegrityError` where
    a listing gives no digest for a file."""
    if work.record:
        for part in work.record.components:
            listing = dict(listed.snapshots)
            work.components.append(Component(part.name, part.manifest(listing), listing, record=part))
        return
    model, selective = work.model, bool(context.options.include or context.options.exclude)
    required = [c.name for c in model.components] if not selective else []
    parts = split_by_folder(listed.snapshots.values(), required) if model.components else ((model.name, ""),)
    if not parts:
        raise _nothing(model.repo, selective=selective, listed=listed)
    for name, prefix in parts:
        manifest = merge_component(name, prefix, listed.snapshots, order)
        if manifest is None:
            raise _nothing(f"{model.repo}/{name}", selective=selective, listed=listed)
        if unproven := [f.path for f in manifest.files if f.file.digest is None]:
            raise IntegrityError(
                f"{model.repo}: {manifest.truth.title} lists no digest for {unproven[0]}",
                hint="nothing could prove it: prefer the other hub (--prefer-source), or leave it out (--exclude)",
            )
        for note in manifest.notes:
            context.emit(Note("warning", note))
        work.components.append(Component(name, manifest, dict(listed.snapshots)))


def _nothing(what: object, *, selective: bool, listed: Listed) -> NotFoundError:
    return NotFoundError(
        f"{what}: no hub lists {'anything that --include and --exclude keep' if selective else 'any file'}",
        hint="look at the patterns: --dry-run without them shows every file" if selective else "try another --revision",
        attempts=[f"{hub.title}: {len(s.files)} files that fit" for hub, s in listed.snapshots.items()],
    )


def contradiction(label: str) -> IntegrityError:
    """The error of a file whose size and digests cannot all be true of the same bytes."""
    return IntegrityError(
        f"{label}: the size and the digests that are listed for it are not those of one content",
        hint="prefer the other hub (--prefer-source), or leave it out (--exclude), and tell the repository's owner",
    )


class Planner:
    """Keeps one transfer for each content, however many files want it."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.jobs: dict[tuple[Digest, int], Job] = {}
        self._sizes: dict[Digest, int] = {}
        self._parts: dict[Digest, asyncio.Lock] = {}

    def want(self, component: Component, but: Collection[str] = ()) -> list[Job]:
        """The jobs, new or known, that bring what the component lacks (`but` some paths). Returns the new ones."""
        new = list[Job]()
        for file in component.wanted:
            if file.path in but:
                continue
            digest = file.file.digest
            assert digest is not None  # build_components saw to it
            key = (digest, file.file.size)
            job = self.jobs.get(key)
            if job and job.is_landing and (component, file.path) in job.targets:
                continue  # whole already, and on its way to its place
            if job is None or job.transfer.error or job.transfer.digests:
                job = self.jobs[key] = Job(self._transfer(component, file), digest)
                self._refuse_second_size(job)
                new.append(job)
            if (component, file.path) not in job.targets:
                job.targets.append((component, file.path))
        return new

    def _refuse_second_size(self, job: Job) -> None:
        """Of two files with one digest and two sizes only the first is fetched: a content has one part file."""
        size = self._sizes.setdefault(job.digest, job.transfer.file.size)
        other = self.jobs.get((job.digest, size))
        if other is None or other is job:
            return
        if other.transfer.error:
            self._sizes[job.digest] = job.transfer.file.size
        else:
            job.transfer.fail(contradiction(job.transfer.label))

    def part_of(self, digest: Digest) -> asyncio.Lock:
        """Held by whoever has the content's part file: one that is given up may still be about to close it."""
        return self._parts.setdefault(digest, asyncio.Lock())

    def forget(self, component: Component) -> None:
        """The component has moved: contents that its manifest no longer names are not fetched for it any more."""
        wanted = {(f.path, f.file.digest) for f in component.wanted}
        for job in self.jobs.values():
            job.targets = [(c, p) for c, p in job.targets if c is not component or (p, job.digest) in wanted]
            if not job.targets:
                job.transfer.useless = True
                job.transfer.fail(NetworkError(f"{job.transfer.label}: not needed any more"))

    def join(self, component: Component, manifest: ComponentManifest) -> None:
        """A late hub serves the component too, for what `manifest` (with the same truth) proves equal."""
        component.manifest = manifest
        for file in component.wanted:
            digest = file.file.digest
            job = self.jobs.get((digest, file.file.size)) if digest else None
            if job and job.transfer.open:
                job.transfer.places |= _places(component, file)
                job.transfer.proven |= set(file.proven)
                job.transfer.movable = component.may_differ(file)
                job.transfer.wake()

    def _transfer(self, component: Component, file: ManifestFile) -> Transfer:
        return Transfer(
            file.file,
            component.label(file.path),
            _places(component, file),
            set(file.proven),
            movable=component.may_differ(file),
        )

    async def open_part(self, job: Job) -> PartFile:
        """Opens the part file of a large transfer, with its room reserved. Raises what the disk raises."""
        transfer, path = job.transfer, self._context.layout.part(job.digest)
        sources = [hub.value for hub in HubName]

        def opened() -> PartFile:
            self._context.check_folder()
            for each in (path, journal_of(path)):
                staging.refuse_links(self._context.layout.state, each)
            if self._context.options.force:
                remove_part(path)
            return PartFile.open(path, transfer.file.size, job.digest, sources)

        try:
            part = await self._context.disk.acquire(transfer.label, opened, PartFile.close)
        except OSError as exc:
            raise platform.explain(exc, exc.filename or transfer.label) from exc
        if part.lost:
            self._context.emit(Note("warning", f"{transfer.label}: {part.lost}"))
        transfer.part = part
        transfer.held = SpanSet(piece.span for piece in part.pieces.values())
        transfer.missing = SpanSet(transfer.held.gaps(transfer.file.size))
        return part

    def partial(self, job: Job) -> int:
        """Bytes that an earlier run left for this content."""
        if job.transfer.small or self._context.options.force:
            return 0
        return held_bytes(self._context.layout.part(job.digest), job.digest, job.transfer.file.size)


def report_files(
    works: Sequence[ModelWork], planner: Planner, known: Known, adopted: Mapping[str, Path], context: Context
) -> tuple[FileReport, ...]:
    """The plan, file by file. `adopted` are files that were taken from other folders by now."""
    rows = list[FileReport]()
    for work in works:
        for component in work.components:
            for file in component.manifest.files:
                label = component.label(file.path)
                row = FileReport(
                    work.model.name,
                    label,
                    file.file.size,
                    "here",
                    tuple(hub.value for hub in (*file.proven, *file.possible)),
                    str(file.file.digest),
                )
                if label in adopted:
                    row = replace(row, state="adopted", taken=row.size, origin=str(adopted[label]))
                elif not component.has(file.path):
                    row = _lacking(row, component, file, planner, known, context)
                rows.append(row)
    return tuple(rows)


def _lacking(
    row: FileReport, component: Component, file: ManifestFile, planner: Planner, known: Known, context: Context
) -> FileReport:
    if source := known.copy_of(file.file.digests):
        if known.is_ours(source):
            return replace(row, state="shared")
        takes_none = context.options.adopt_by in (Way.HARDLINK, Way.REFLINK)
        return replace(row, state="adoptable", origin=str(source), taken=row.size if takes_none else 0)
    digest = file.file.digest
    job = planner.jobs.get((digest, file.file.size)) if digest else None
    if job and job.targets[0] != (component, file.path):
        return replace(row, state="shared")
    taken = 0 if job is None or job.transfer.small else allocated_bytes(context.layout.part(job.digest))
    held = planner.partial(job) if job else 0
    return replace(row, state="partial" if held else "fetch", held=held, taken=taken)


def check_space(rows: Sequence[FileReport], root: Path, kept: int, repos: Mapping[str, str]) -> None:
    """Raises `DiskFullError` before the first byte if the plan does not fit with `kept` bytes left free, with what of
    it does. `repos` are the models' own, by their names."""
    need, free = needed(rows, kept), platform.free_bytes(root)
    if need <= free:
        return
    hint = "free some space, or choose another folder with --dir; nothing was downloaded"
    if flags := _fitting_flags(rows, free, kept, repos):
        hint += f"; this would fit: {flags}"
    stays = f" ({_gb(kept)} of it to stay free)" if kept else ""
    raise DiskFullError(
        f"not enough disk space in {root}: {_gb(need)} needed{stays}, {_gb(free)} free, {_gb(need - free)} missing",
        hint=hint,
    )


def _fitting_flags(rows: Sequence[FileReport], free: int, kept: int, repos: Mapping[str, str]) -> str:
    """What to ask for instead, as flags; nothing where nothing of it fits. Where main, which comes along unasked, is
    what is too much, without it."""
    names = fitting(rows, free, kept) or fitting([row for row in rows if row.model != MAIN], free, kept)
    flags = " ".join(f"--model {asked_as(name, repos[name])}" for name in names if name != MAIN)
    if MAIN in names:
        return flags or "main alone"
    return f"{flags} --skip-main" if flags else ""


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
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
