"""A lock, made of what the hubs list. Fetches nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from acestep_fetch.catalogue import Model
from acestep_fetch.core.errors import IntegrityError, NotFoundError
from acestep_fetch.core.events import Note
from acestep_fetch.core.lock import Lock, LockedFile, LockedModel, checked
from acestep_fetch.core.merge import Agreement, ManifestFile, agreement, is_furniture
from acestep_fetch.core.model import SHA1_HEX, HubName, RemoteFile, Snapshot
from acestep_fetch.engine.components import Component, ModelWork
from acestep_fetch.engine.context import Context
from acestep_fetch.engine.listing import Listed, Listings
from acestep_fetch.engine.opening import Network
from acestep_fetch.engine.planning import build_components
from acestep_fetch.storage.layout import Layout
from acestep_fetch.storage.lockfile import locked_as_received
from acestep_fetch.storage.receipts import all_receipts


async def lock_listed(models: Sequence[Model], network: Network, old: Lock, context: Context) -> Lock:
    """What the hubs have now. Where a file is different on each, that of the hub that is preferred counts, Hugging Face
    if none is: not the one that answers first, or a lock would depend on the place where it is made.

    Raises `NotFoundError` for a named model that no hub has, and what else `Listed.error` says.
    """
    first = context.options.prefer or HubName.HUGGINGFACE
    async with asyncio.TaskGroup() as group:
        listings = Listings(group, network.hubs, network.select, context, {})
        for model in models:
            listings.ask(model.repo)
        listed = [await listings.whole(model.repo) for model in models]
    known, locked = _Known(old, context.layout), list[LockedModel]()
    for model, each in zip(models, listed, strict=True):
        try:
            locked.append(_locked(model, each, (first, first.other), known, context))
        except NotFoundError as error:
            if not context.options.all_models:
                raise
            context.emit(Note("info", f"{model.name} is not on any hub: left out ({'; '.join(error.attempts)})"))
    lock = known.settled(locked)
    known.tell(context)
    return lock


def _locked(
    model: Model, listed: Listed, order: tuple[HubName, HubName], known: _Known, context: Context
) -> LockedModel:
    if not listed.snapshots:
        raise listed.error(model)
    for hub, error in listed.refusals.items():
        context.emit(Note("warning", f"{model.name}: {hub.title} is not in the lock: {error.message}"))
    work = ModelWork(model)
    build_components(work, listed, order, context)
    files = [known.file(component, file) for component in work.components for file in component.manifest.files]
    return LockedModel(
        name=model.name,
        repo=str(model.repo),
        folder="" if model.components else model.name,
        commits={hub.value: s.commit for hub, s in listed.snapshots.items() if SHA1_HEX.fullmatch(s.commit)},
        components=tuple(sorted(component.name for component in work.components)),
        files=tuple(sorted(files, key=lambda file: file.path)),
    )


class _Known:
    """The other digest of files that Hugging Face lists by git's only, and ModelScope by sha256: proven by bytes that
    were received here, as an older lock has it, or else by the other hub's word, where that has the same version as far
    as can be seen."""

    def __init__(self, old: Lock, layout: Layout) -> None:
        received = [locked_as_received(receipt) for receipt in all_receipts(layout.receipts)]
        files = [file for model in (*old.models, *received) for file in model.files]
        self._by_git = {(file.git_sha1, file.size): file.sha256 for file in files if file.git_sha1 and file.sha256}
        self._by_word, self._unknown = dict[str, str](), list[str]()  # files, and which of their digests

    def file(self, component: Component, file: ManifestFile) -> LockedFile:
        listed, label = file.file, component.label(file.path)
        sha256, git = listed.sha256 or self._by_git.get((listed.git_sha1 or "", listed.size)), listed.git_sha1
        theirs = _by_the_other(component, listed)
        if theirs and sha256 is None and theirs.sha256:
            self._by_word[label], sha256 = "sha256", theirs.sha256
        elif theirs and git is None and theirs.git_sha1:
            self._by_word[label], git = "git_sha1", theirs.git_sha1
        return LockedFile(label, listed.size, sha256, git)

    def settled(self, models: Sequence[LockedModel]) -> Lock:
        """Without the words of which not all can be true: no two contents have a digest in common. Raises
        `IntegrityError` where that is a hub's own list."""
        pairs = {(f.sha256, f.git_sha1) for model in models for f in model.files if f.sha256 and f.git_sha1}
        partners = Counter(digest for pair in pairs for digest in pair)
        lock = Lock(tuple(replace(m, files=tuple(self._settled(f, partners) for f in m.files)) for m in models))
        self._unknown = [file.path for model in lock.models for file in model.files if file.sha256 is None]
        try:
            return checked(lock)
        except ValueError as exc:
            raise IntegrityError(f"by the hubs' own lists {exc}", hint="lock the models one by one") from None

    def _settled(self, file: LockedFile, partners: Mapping[str, int]) -> LockedFile:
        """`partners` says with how many others each digest comes."""
        word = self._by_word.get(file.path)
        if word is None or max(partners[digest] for digest in (file.sha256, file.git_sha1) if digest) < 2:
            return file
        del self._by_word[file.path]
        return replace(file, sha256=None) if word == "sha256" else replace(file, git_sha1=None)

    def tell(self, context: Context) -> None:
        """Says what is not proven, and what is not known."""
        if self._by_word:
            what = "1 small file" if len(self._by_word) == 1 else f"{len(self._by_word)} small files"
            text = f"{what}: the sha256 is as ModelScope lists it, git's digest as Hugging Face does"
            context.emit(Note("info", f"{text}; a fetch must find both right"))
        if self._unknown:
            named = ", ".join(self._unknown[:3])
            more = f" and {len(self._unknown) - 3} more" if len(self._unknown) > 3 else ""
            context.emit(Note("info", f"no sha256 is known of {named}{more}: locked by git's digest"))


def _by_the_other(component: Component, file: RemoteFile) -> RemoteFile | None:
    """What the other hub says, if all that can be compared in this component is equal."""
    truth = component.manifest.truth
    other, mine = component.snapshots.get(truth.other), component.snapshots[truth]
    if other is None or is_furniture(file.path) or not _same_version(component, mine, other):
        return None
    theirs = other.by_path.get(file.path)
    return theirs if theirs and theirs.size == file.size else None


def _same_version(component: Component, mine: Snapshot, other: Snapshot) -> bool:
    for file in component.manifest.files:
        if is_furniture(file.path):
            continue
        theirs = other.by_path.get(file.file.path)
        if theirs is None or agreement(mine.by_path[file.file.path], theirs) is Agreement.DIFFERENT:
            return False
    return True
