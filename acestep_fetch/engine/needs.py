"""What a box without a network lacks, to the byte where a lock says what it should have. Opens no socket."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from acestep_fetch.catalogue import Model
from acestep_fetch.core.bundle import Needs
from acestep_fetch.core.lock import Lock, LockedFile, LockedModel
from acestep_fetch.core.model import RemoteFile
from acestep_fetch.core.spans import Span, SpanSet
from acestep_fetch.engine.readiness import look
from acestep_fetch.engine.recorded import Record
from acestep_fetch.options import Options
from acestep_fetch.storage.checksum import hash_file
from acestep_fetch.storage.inventory import Inventory
from acestep_fetch.storage.journal import Journal
from acestep_fetch.storage.layout import Layout
from acestep_fetch.storage.parts import held_bytes, journal_of
from acestep_fetch.storage.receipts import may_drift

Tell = Callable[[str], None]


def find_needs(
    models: Sequence[Model],
    layout: Layout,
    options: Options,
    lock: Lock | None,
    records: Mapping[str, Record | None],
    tell: Tell = lambda path: None,
) -> Needs:
    """What `models` lack to be ready. Reads the files that no receipt speaks for; `tell` hears of each. Without a lock
    it is only known that a model is not ready. Raises OSError."""
    missing = [model for model in models if not look(model, layout, options, records.get(model.name))]
    if lock is None:
        return Needs(Lock(), {}, tuple(str(model.repo) for model in missing))
    locked = [found for model in missing if (found := lock.find(model.name))]
    inventory, lacks, seen = Inventory(layout), dict[str, tuple[Span, ...]](), set[object]()
    for model in locked:
        for file in model.files:
            if (file.sha256 or file.git_sha1) in seen:
                continue
            seen.add(file.sha256 or file.git_sha1)
            if spans := _lacking(model, file, layout, inventory, tell):
                lacks[file.path] = spans
    return Needs(Lock(tuple(locked)), lacks, ())


def _lacking(
    model: LockedModel, file: LockedFile, layout: Layout, inventory: Inventory, tell: Tell
) -> tuple[Span, ...]:
    listed = RemoteFile(file.path, file.size, file.sha256, file.git_sha1)
    final = layout.root / file.path
    if not file.size or inventory.find(listed.digests, file.size):
        return ()
    if may_drift(file.path) and final.is_file() and inventory.once_was(file.path, listed.digests):
        return ()
    component = model.component_of(file.path)
    staged = layout.staged(component) / (file.path.removeprefix(f"{component}/") if component else file.path)
    for path in (final, staged):
        if path.is_file() and path.stat().st_size == file.size:
            tell(file.path)
            if hash_file(path, git=file.git_sha1 is not None).agrees_with(listed):
                return ()
    return tuple(_held(listed, layout).gaps(file.size))


def _held(file: RemoteFile, layout: Layout) -> SpanSet:
    """What an earlier run left in a part file. It is looked at again when the bundle comes."""
    digest = file.digest
    assert digest is not None  # a lock has one for each file
    part = layout.part(digest)
    if not held_bytes(part, digest, file.size):
        return SpanSet()
    return SpanSet(piece.span for piece in Journal.peek(journal_of(part), digest, file.size))
