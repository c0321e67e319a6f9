"""A model as its receipt recorded it: what a repair makes again, whatever the hubs have by now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from acestep_fetch.catalogue.models import MAIN
from acestep_fetch.core.errors import NotFoundError
from acestep_fetch.core.merge import ComponentManifest, recorded_component
from acestep_fetch.core.model import SHA1_HEX, HubName, RemoteFile, Snapshot
from acestep_fetch.storage.receipts import Receipt, ReceiptFile, may_drift

Snapshots = Mapping[HubName, Snapshot]


@dataclass(frozen=True, slots=True)
class RecordedComponent:
    """`files` by their paths in the component's folder."""

    name: str
    truth: HubName
    commit: str
    files: Mapping[str, RemoteFile]

    def manifest(self, snapshots: Snapshots) -> ComponentManifest:
        """What the component held, with the hubs that list the same bytes as sources."""
        return recorded_component(self.name, self.truth, self.commit, self.files, snapshots, may_drift)


@dataclass(frozen=True, slots=True)
class Record:
    """`pins` are the commits that the hubs had."""

    model: str
    repo: str
    components: tuple[RecordedComponent, ...]
    pins: Mapping[HubName, str]

    @property
    def newest(self) -> str:
        """What to do where a recorded version is gone."""
        command = "acestep-fetch" if self.model == MAIN else f"acestep-fetch --skip-main --model {self.repo}"
        return f"`{command}` replaces what differs with the newest version"

    def nowhere(self, path: str) -> NotFoundError:
        """No hub has the bytes of the file `path` any more."""
        pins = ", ".join(f"{hub.title} {commit[:12]}" for hub, commit in self.pins.items())
        return NotFoundError(
            f"{path}: no hub has the version any more that was fetched ({pins or 'its commit was not recorded'})",
            hint=self.newest,
        )


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


def _inside(file: ReceiptFile, component: str, receipt: Receipt) -> str | None:
    """The file's path in the component's folder; None where it is another's."""
    top, slash, rest = file.path.partition("/")
    if slash and top in receipt.commits:
        return rest if top == component else None
    return file.path if not component else None


def _listed(file: ReceiptFile) -> RemoteFile:
    return RemoteFile(file.repo_path, file.size, file.sha256, file.git_sha1)
