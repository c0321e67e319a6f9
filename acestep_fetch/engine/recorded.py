"""A model as its receipt or a lock recorded it: what is made again, whatever the hubs have by now."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from acestep_fetch.catalogue.models import MAIN
from acestep_fetch.core.errors import FetchError, IntegrityError, LockedError, NetworkError, NotFoundError
from acestep_fetch.core.lock import LockedModel, shown
from acestep_fetch.core.merge import Agreement, ComponentManifest, ManifestFile, agreement, recorded_component
from acestep_fetch.core.model import SHA1_HEX, HubName, RemoteFile, Snapshot
from acestep_fetch.storage.receipts import Receipt, ReceiptFile, may_drift

Snapshots = Mapping[HubName, Snapshot]


@dataclass(frozen=True, slots=True)
class RecordedComponent:
    """`files` by their paths in the component's folder. A `locked` one is never taken in another version, and the hub
    that lists most of it is called the truth."""

    name: str
    truth: HubName
    commit: str
    files: Mapping[str, RemoteFile]
    locked: bool = False

    def manifest(self, snapshots: Snapshots) -> ComponentManifest:
        """What the component held, with the hubs that list the same bytes as sources."""
        if not self.locked:
            return recorded_component(self.name, self.truth, self.commit, self.files, snapshots, may_drift)
        truth = max(snapshots, key=lambda hub: (self._shared(snapshots[hub]), hub is self.truth), default=self.truth)
        commit = snapshots[truth].commit if truth in snapshots else self.commit
        return recorded_component(self.name, truth, commit, self.files, snapshots, _nothing, strict=True)

    def _shared(self, snapshot: Snapshot) -> int:
        listed = ((file, snapshot.by_path.get(file.path)) for file in self.files.values())
        return sum(their is not None and agreement(file, their) is not Agreement.DIFFERENT for file, their in listed)


def _nothing(path: str) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Record:
    """`pins` are the commits that the hubs had. `lock` is the name of the lock that it is from, "" for a receipt."""

    model: str
    repo: str
    components: tuple[RecordedComponent, ...]
    pins: Mapping[HubName, str]
    lock: str = ""

    def only(self, keep: Callable[[Sequence[str]], Sequence[str]]) -> Record:
        """With those of its files whose paths in the repository `keep` keeps."""
        kept = set(keep([file.path for part in self.components for file in part.files.values()]))
        parts = [
            replace(part, files={path: file for path, file in part.files.items() if file.path in kept})
            for part in self.components
        ]
        return replace(self, components=tuple(part for part in parts if part.files))

    def lacks(self, snapshots: Snapshots) -> bool:
        """Whether one of its files is in none of `snapshots` with the bytes that it had."""
        manifests = [part.manifest(snapshots) for part in self.components]
        return any(not (file.proven or file.possible) for manifest in manifests for file in manifest.files)

    @property
    def newest(self) -> str:
        """What to do where a recorded version is gone."""
        command = "acestep-fetch" if self.model == MAIN else f"acestep-fetch --skip-main --model {self.repo}"
        return f"`{command}` replaces what differs with the newest version"

    def nowhere(
        self, path: str, file: ManifestFile, snapshots: Snapshots, refusals: Mapping[HubName, FetchError]
    ) -> FetchError:
        """No hub is known to have the bytes of the file `path` any more."""
        if unasked := [hub.title for hub, error in refusals.items() if isinstance(error, NetworkError)]:
            return NetworkError(
                f"{path}: {' and '.join(unasked)} could not be asked for the version that was recorded",
                hint="run the same command again: what is there is kept",
                attempts=[error.message for error in refusals.values()],
            )
        if self.lock:
            listed = [f"{hub.title} has {_offered(each, file.file.path)}" for hub, each in snapshots.items()]
            listed += [f"{hub.title}: {error.message}" for hub, error in refusals.items()]
            text = f"{path}: {self.lock} says {shown(file.file)}, and {'; '.join(listed) or 'no hub has it'}"
            return LockedError(text, hint=self._relock)
        pins = ", ".join(f"{hub.title} {commit[:12]}" for hub, commit in self.pins.items())
        return NotFoundError(
            f"{path}: no hub has the version any more that was fetched ({pins or 'its commit was not recorded'})",
            hint=self.newest,
        )

    def gone(self, error: NotFoundError) -> FetchError:
        """The error of a repository that no hub has any more."""
        if not self.lock:
            return error
        text = f"{self.model}: {self.lock} has it as {self.repo}, which no hub has any more"
        return LockedError(text, hint=self._relock, attempts=error.attempts)

    def lost(self, path: str, file: ManifestFile, error: FetchError) -> FetchError:
        """The error of a file that could not be had, for reasons that `error` gives."""
        if self.lock and isinstance(error, NotFoundError | IntegrityError):
            text = f"{path}: {self.lock} says {shown(file.file)}, and no hub delivers that"
            return LockedError(text, hint=self._relock, attempts=[error.message, *error.attempts])
        if isinstance(error, NotFoundError):
            error.hint = self.newest
        return error

    @property
    def _relock(self) -> str:
        return "`acestep-fetch lock --diff` shows what the hubs have now, and `lock --update` takes it"


def record_of(receipt: Receipt) -> Record | None:
    """None where the receipt does not say which hub each component was taken from."""
    components = list[RecordedComponent]()
    pins = {HubName(hub): commit for hub, commit in receipt.snapshots.items() if hub in set(HubName)}
    for name, source in receipt.commits.items():
        hub, _, commit = str(source).partition(":")
        if hub not in set(HubName):
            return None
        files = {path: _listed(file) for file in receipt.files if (path := _inside(file, name, receipt)) is not None}
        components.append(RecordedComponent(name, HubName(hub), commit, files))
        pins.setdefault(HubName(hub), commit)
    pins = {hub: commit for hub, commit in pins.items() if SHA1_HEX.fullmatch(commit)}
    return Record(receipt.model, receipt.repo, tuple(components), pins)


def record_of_lock(model: LockedModel, lock: str) -> Record:
    """`lock` is what people call the lock."""
    components = list[RecordedComponent]()
    hub = next((hub for hub in HubName if hub in model.commits), HubName.HUGGINGFACE)
    for name in model.components:
        listed = [RemoteFile(model.in_repo(f.path), f.size, f.sha256, f.git_sha1) for f in model.files]
        files = {
            file.path.removeprefix(f"{name}/") if name else file.path: remote
            for file, remote in zip(model.files, listed, strict=True)
            if model.component_of(file.path) == name
        }
        components.append(RecordedComponent(name, hub, model.commits.get(hub, ""), files, locked=True))
    pins = {HubName(hub): commit for hub, commit in model.commits.items()}
    return Record(model.name, model.repo, tuple(components), pins, lock)


def difference(receipt: Receipt, record: Record, *, whole: bool) -> str | None:
    """The first thing in which a finished model is not what `record` says, None where it is that; with all its files if
    it is to be `whole`. What the application made of a file since then is not looked at."""
    if receipt.repo != record.repo:
        return f"{receipt.model} is from {receipt.repo}, {record.lock} says {record.repo}"
    wanted = {
        f"{part.name}/{path}" if part.name else path: file
        for part in record.components
        for path, file in part.files.items()
    }
    held = {file.path: file for file in receipt.files}
    for path in sorted({*held, *wanted} if whole else held):
        if path not in wanted:
            return f"{path}: not in {record.lock}"
        if path not in held:
            return f"{path}: not there, in {record.lock}"
        if agreement(_listed(held[path]), wanted[path]) is not Agreement.EQUAL:
            return f"{path}: {shown(_listed(held[path]))} here, {record.lock} says {shown(wanted[path])}"
    return None


def _offered(snapshot: Snapshot, path: str) -> str:
    file = snapshot.by_path.get(path)
    return shown(file) if file else f"no such file at {snapshot.commit[:12]}"


def _inside(file: ReceiptFile, component: str, receipt: Receipt) -> str | None:
    """The file's path in the component's folder; None where it is another's."""
    top, slash, rest = file.path.partition("/")
    if slash and top in receipt.commits:
        return rest if top == component else None
    return file.path if not component else None


def _listed(file: ReceiptFile) -> RemoteFile:
    return RemoteFile(file.repo_path, file.size, file.sha256, file.git_sha1)
