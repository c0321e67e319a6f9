"""A component on its way from a manifest to a folder that ACE-Step may see."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from acestep_fetch.catalogue import Model
from acestep_fetch.core.errors import FetchError
from acestep_fetch.core.events import ROOT_FILES
from acestep_fetch.core.merge import Agreement, ComponentManifest, ManifestFile, agreement, merge_component
from acestep_fetch.core.model import Digest, HubName, RemoteFile, RepoId, Snapshot
from acestep_fetch.engine.recorded import Record, RecordedComponent
from acestep_fetch.storage.checksum import Digests


@dataclass(eq=False)
class Component:
    """`kept` files are right where they are, `staged` ones wait in staging, `foreign` ones belong to the application
    or the user and stay as they are."""

    name: str
    manifest: ComponentManifest
    snapshots: dict[HubName, Snapshot]
    kept: dict[str, Digests] = field(default_factory=dict)
    staged: dict[str, Digests] = field(default_factory=dict)
    foreign: dict[str, Digests] = field(default_factory=dict)
    tried: set[HubName] = field(default_factory=set)
    published: bool = False
    error: FetchError | None = None  # why it will not be complete
    fetched: bool = False  # something of it was not there before
    record: RecordedComponent | None = None  # what it is to be again, whatever the hubs have by now
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _files: dict[str, ManifestFile] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._files = {file.path: file for file in self.manifest.files}

    @property
    def title(self) -> str:
        """What events call it."""
        return self.name or ROOT_FILES

    @property
    def repo(self) -> RepoId:
        return next(iter(self.snapshots.values())).repo

    @property
    def wanted(self) -> list[ManifestFile]:
        """The files that are neither here nor staged."""
        return [f for f in self.manifest.files if not self.has(f.path)]

    def has(self, path: str) -> bool:
        return path in self.kept or path in self.staged or path in self.foreign

    def digests(self, path: str) -> Digests:
        """Of a file that is here, in one way or another."""
        return next(held[path] for held in (self.kept, self.staged, self.foreign) if path in held)

    def still_wants(self, path: str, digest: Digest) -> RemoteFile | None:
        """What is listed as `path`, if that is wanted with this content still: the component may have moved."""
        file = self._files.get(path)
        wanted = file is not None and not self.has(path) and not self.published and digest in file.file.digests
        return file.file if file and wanted else None

    @property
    def complete(self) -> bool:
        return len(self.kept) + len(self.staged) + len(self.foreign) >= len(self.manifest.files)

    def label(self, path: str) -> str:
        """The path under checkpoints/."""
        return f"{self.name}/{path}" if self.name else path

    def alternative(self) -> ComponentManifest | None:
        """The component by another hub that has another version of it and was not tried yet."""
        if self.record:
            return None
        for hub in self.snapshots:
            if hub in self.tried or hub is self.manifest.truth:
                continue
            theirs = merge_component(self.name, self.manifest.prefix, {**self.snapshots}, [hub, *_others(self, hub)])
            if theirs and theirs.truth is hub:
                return theirs
        return None

    def may_differ(self, file: ManifestFile) -> bool:
        """Whether another hub's version of `file` is not proven equal, and could be taken instead."""
        if self.record:
            return False
        for hub, snapshot in self.snapshots.items():
            if hub in file.proven or hub in self.tried:
                continue
            listed = snapshot.by_path.get(file.file.path)
            if listed is None or agreement(listed, file.file) is not Agreement.EQUAL:
                return any(f.path.startswith(self.manifest.prefix) for f in snapshot.files)
        return False

    def joined(self, hub: HubName, snapshot: Snapshot) -> ComponentManifest | None:
        """The manifest with one more hub as a source; None where that would change what is the truth."""
        self.snapshots[hub] = snapshot
        truth = self.manifest.truth
        if self.record:
            return self.record.manifest(self.snapshots)
        both = {truth: self.snapshots[truth], hub: snapshot}
        merged = merge_component(self.name, self.manifest.prefix, both, [truth, hub])
        return merged if merged and merged.truth is truth else None

    def move(self, manifest: ComponentManifest) -> None:
        """Takes `manifest` for the truth from here on; what is here and does not fit it is wanted again."""
        self.tried.add(self.manifest.truth)
        self.manifest = manifest
        self._files = {file.path: file for file in manifest.files}
        for held in (self.kept, self.staged):
            for path in [p for p, d in held.items() if p not in self._files or not d.agrees_with(self._files[p].file)]:
                del held[path]
        for path in [p for p in self.foreign if p not in self._files]:
            del self.foreign[path]


def _others(component: Component, hub: HubName) -> list[HubName]:
    return [other for other in component.snapshots if other is not hub]


@dataclass(eq=False)
class ModelWork:
    """A model and its components. `error` says why it will not be ready."""

    model: Model
    components: list[Component] = field(default_factory=list)
    error: FetchError | None = None
    ready: bool = False
    found: bool = False  # it was ready before this run did anything for it
    ending: bool = False  # somebody is about to settle it
    folders: tuple[str, ...] = ()  # absolute, once it is ready
    record: Record | None = None  # what it is to be again, whatever the hubs have by now

    @property
    def settled(self) -> bool:
        return self.ready or self.error is not None
