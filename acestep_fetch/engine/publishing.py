"""From verified contents to files under their final names, with the receipts that say so."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from acestep_fetch.core.errors import FetchError
from acestep_fetch.core.events import ComponentReady, FileAdopted, FileReused, FileVerified, ModelReady, Note
from acestep_fetch.core.merge import ManifestFile
from acestep_fetch.core.model import Digest, HubName, RemoteFile
from acestep_fetch.engine.adopting import Elsewhere
from acestep_fetch.engine.components import Component, ModelWork
from acestep_fetch.engine.context import Context
from acestep_fetch.engine.examine import Known
from acestep_fetch.engine.planning import Job
from acestep_fetch.engine.readiness import selection_of
from acestep_fetch.storage import hf_metadata, staging
from acestep_fetch.storage.begun import Begun, BegunFile, remove_begun, write_begun
from acestep_fetch.storage.checksum import Digests, digests_of
from acestep_fetch.storage.layout import Layout
from acestep_fetch.storage.parts import PartFile, remove_part
from acestep_fetch.storage.receipts import Receipt, ReceiptFile, all_receipts, write_receipt


class Publisher:
    """Places contents into staging, components under their names, and writes receipts. Raises what the disk raises."""

    def __init__(self, context: Context, carrier: str = "") -> None:
        """`carrier` has brought all that came, whoever had it before and is named in the journals."""
        self._context, self._carrier = context, carrier
        self.adopted = dict[str, Path]()  # what was taken from other folders: labels, and from where

    async def place(self, jobs: Sequence[Job]) -> None:
        """Puts the contents of finished transfers where their targets want them, in one visit to the disk."""
        for job in jobs:
            job.sort_targets(await self._all_digests(job))
        jobs = [job for job in jobs if job.targets]
        if not jobs:
            return
        layout = self._context.layout
        contents = [
            (
                [layout.staged(c.name) / path for c, path in job.targets],
                job.transfer.part,
                job.transfer.data,
                layout.pieces(job.digest),
            )
            for job in jobs
        ]
        await self._context.on_disk(jobs[0].transfer.label, _place, self._context, contents)
        for job in jobs:
            self._placed(job)

    async def _all_digests(self, job: Job) -> Digests:
        """Also git's, which a list of one of the files may give though that of the first did not."""
        transfer = job.transfer
        assert transfer.digests is not None
        listed = (component.still_wants(path, job.digest) for component, path in job.targets)
        if transfer.part and transfer.digests.git_sha1 is None and any(file and file.git_sha1 for file in listed):
            transfer.digests = await self._context.hash_file(transfer.part.path, git=True)
        return transfer.digests

    def _placed(self, job: Job) -> None:
        transfer, digests = job.transfer, job.transfer.digests
        assert digests is not None
        by_source, held = transfer.part.origin if transfer.part else (dict(+transfer.by_source), 0)
        if self._carrier and by_source:
            by_source = {self._carrier: sum(by_source.values())}
        transfer.part = transfer.data = None
        seconds, copied = self._context.clock() - (transfer.began or self._context.clock()), 0
        for component, path in job.targets:
            component.staged[path] = digests
            component.fetched = True
            label, digest = component.label(path), str(digests.of_kind(job.digest))
            size = transfer.file.size
            self._context.emit(FileVerified(label, size, digest, by_source, seconds, held, copied))
            by_source, held, copied = {}, 0, size

    async def copy_known(self, component: Component, known: Known) -> None:
        """Takes what other models and folders on this disk already have, and files without content."""
        for file in component.wanted:
            target, label = self._context.layout.staged(component.name) / file.path, component.label(file.path)
            if file.file.size == 0:
                await self._context.on_disk(target, staging.refuse_links, self._context.layout.state, target)
                await self._context.on_disk(target, staging.put_bytes, target, b"")
                if (digests := digests_of(b"")).agrees_with(file.file):
                    component.staged[file.path] = digests
            while file.file.size and (source := known.copy_of(file.file.digests)):
                ours = known.is_ours(source)
                taken = await self._taken(source, target, file.file, None if ours else known.elsewhere)
                if taken and taken[0].agrees_with(file.file):
                    component.staged[file.path], way = taken
                    if way:
                        self.adopted[label] = source
                        self._context.emit(FileAdopted(label, file.file.size, str(source), way))
                    break
                if taken:
                    await self._context.on_disk(target, target.unlink)
                await known.distrust(source, file.file)
            if file.path in component.staged:
                component.fetched = True
                if label not in self.adopted:
                    self._context.emit(FileReused(label, file.file.size))

    async def _taken(
        self, source: Path, target: Path, file: RemoteFile, elsewhere: Elsewhere | None
    ) -> tuple[Digests, str] | None:
        """The digests of what `target` has by now, and how it came there from another folder ("" from our own); None
        where nothing came of it."""
        await self._context.on_disk(target, staging.refuse_links, self._context.layout.state, target)
        if elsewhere:
            return await elsewhere.take(source, target, file)
        await self._context.on_disk(target, staging.put_copy, source, target)
        return await self._context.hash_file(target, git=file.git_sha1 is not None or file.size <= 1 << 20), ""

    async def publish(self, component: Component) -> None:
        """Gives a complete component its name. Does nothing the second time."""
        async with component.lock:
            if component.published or not component.complete:
                return
            layout = self._context.layout
            staged, final = layout.staged(component.name), layout.final(component.name)
            await self._context.on_disk(final, self._context.check_folder)
            await self._context.on_disk(final, staging.refuse_links, layout.state, staged / "a file")
            await self._context.on_disk(final, staging.prune, staged, list(component.staged))
            await self._context.on_disk(final, staging.publish, staged, final, list(component.staged))
            component.published = True
        files = component.manifest.files
        name, size = component.title, component.manifest.size
        self._context.emit(ComponentReady(name, len(files), size, component.fetched))

    async def begin(self, works: Sequence[ModelWork]) -> None:
        """Leaves word of what is fetched for `works`, for those who look (`storage.begun`)."""
        for work in works:
            selection = selection_of(work.model, self._context.options)
            listed = [(c.label(f.path), f.file) for c in work.components for f in c.manifest.files]
            files = tuple(BegunFile(path, file.size, file.digest) for path, file in listed if file.digest)
            begun = Begun(work.model.name, str(work.model.repo), selection, files)
            await self._context.on_disk(self._context.layout.begun, write_begun, self._context.layout, begun)

    async def certify(self, work: ModelWork) -> None:
        """Writes the receipt of a model whose components are all published, and the hub client's own notes."""
        await self._context.on_disk(self._context.layout.receipts, self._write_receipt, work)
        await self._leave_notes(work)
        manifests = [component.manifest for component in work.components]
        work.folders = tuple(str(self._context.layout.final(c.name)) for c in work.components if c.name)
        fetched = any(component.fetched for component in work.components)
        work.ready, work.found = True, not fetched
        count, size = sum(len(m.files) for m in manifests), sum(m.size for m in manifests)
        self._context.emit(ModelReady(work.model.name, work.folders, count, size, fetched))

    async def _leave_notes(self, work: ModelWork) -> None:
        """For the hub's own client. A model without them is as good."""
        try:
            await self._context.on_disk(self._context.layout.root, self._write_metadata, work)
        except FetchError as error:
            self._context.emit(Note("warning", f"no notes for Hugging Face's own client: {error.message}"))

    async def drop_parts(self, work: ModelWork, busy: Collection[Digest]) -> None:
        """Removes part files of what the model has (a second fetch of it may have begun, or a list may have called a
        small file large), but for those in `busy`."""
        files = [(f.file, c.digests(f.path)) for c in work.components for f in c.manifest.files]
        had = {digest for file, found in files for digest in (*file.digests, Digest("sha256", found.sha256))}
        await self._context.on_disk(self._context.layout.parts, _remove_parts, self._context.layout, had - set(busy))

    def _write_receipt(self, work: ModelWork) -> None:
        earlier = list(all_receipts(self._context.layout.receipts)) if any(c.foreign for c in work.components) else []
        files = [self._receipt_file(c, f, earlier) for c in work.components for f in c.manifest.files]
        selection = selection_of(work.model, self._context.options)
        commits = {c.name: f"{c.manifest.truth}:{c.manifest.commit}" for c in work.components}
        listed = {hub: s.commit for component in work.components for hub, s in component.snapshots.items()}
        snapshots = work.record.pins if work.record else listed
        pins = {hub.value: commit for hub, commit in snapshots.items()}
        receipt = Receipt(work.model.name, str(work.model.repo), commits, selection, tuple(files), pins)
        write_receipt(self._context.layout.receipts, receipt)
        remove_begun(self._context.layout, receipt.model, selection)

    def _receipt_file(self, component: Component, listed: ManifestFile, earlier: Iterable[Receipt]) -> ReceiptFile:
        """Of a file that was rewritten since it was fetched, what was fetched."""
        label, digests = component.label(listed.path), component.digests(listed.path)
        if listed.path in component.foreign:
            known = {digest.hex for digest in listed.file.digests}
            rows = (file for receipt in earlier for file in receipt.files if file.path == label)
            if was := next((row for row in rows if {row.sha256, row.git_sha1} & known), None):
                return was
        found = (self._context.layout.final(component.name) / listed.path).stat()
        return ReceiptFile(label, listed.file.path, found.st_size, found.st_mtime_ns, digests.sha256, digests.git_sha1)

    def _write_metadata(self, work: ModelWork) -> None:
        root = self._context.layout.root
        folder = root if work.model.components else root / work.model.name
        notes, commit = list[hf_metadata.HubFile](), ""
        for component in work.components:
            if snapshot := component.snapshots.get(HubName.HUGGINGFACE):
                commit = snapshot.commit
                for file in component.manifest.files:
                    theirs = snapshot.by_path.get(file.file.path)
                    if theirs and _same(component.digests(file.path), theirs.sha256, theirs.git_sha1):
                        notes.append(hf_metadata.HubFile(theirs.path, theirs.sha256 or theirs.git_sha1 or ""))
        if notes:
            hf_metadata.write_metadata(folder, commit, notes)


def _remove_parts(layout: Layout, digests: Collection[Digest]) -> None:
    if layout.parts.is_dir():
        for path in list(layout.parts.iterdir()):
            if Layout.digest_of(path) in digests:
                remove_part(path.with_suffix(".part"))


def _place(context: Context, contents: Iterable[tuple[Sequence[Path], PartFile | None, bytes | None, Path]]) -> None:
    context.check_folder()
    for (first, *others), part, data, journal in contents:
        for target in (first, *others, journal):
            staging.refuse_links(context.layout.state, target)
        for path in others:
            if part:
                staging.put_copy(part.path, path)
            else:
                staging.put_bytes(path, data or b"")
        if part:
            part.publish(first, journal)
        else:
            staging.put_bytes(first, data or b"")


def _same(digests: Digests, sha256: str | None, git_sha1: str | None) -> bool:
    return digests.sha256 == sha256 if sha256 else bool(git_sha1) and digests.git_sha1 == git_sha1
