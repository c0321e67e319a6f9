"""Two listings become one manifest: whose word is the truth, and who may serve which bytes.

One hub's snapshot is the truth for a component. The other hub is a *proven* source of a file where it lists the same
size and the same digest of the same kind, and a *possible* one where the sizes agree but the digests are of different
kinds (Hugging Face lists a git blob id for small files, ModelScope a sha256): then the truth's digest decides on the
bytes received. Versions are never mixed inside a component.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final

from acestep_fetch.core.model import HubName, RemoteFile, Snapshot

# What hubs add by themselves or owners word differently on each: no reason to doubt a snapshot.
FURNITURE: Final = frozenset(
    [".gitattributes", ".gitignore", "readme.md", "license", "license.md", "configuration.json"]
)


class Agreement(Enum):
    EQUAL = auto()
    UNKNOWN = auto()
    DIFFERENT = auto()


def agreement(a: RemoteFile, b: RemoteFile) -> Agreement:
    """Whether two listed files have the same content, as far as their listings tell."""
    if a.size != b.size:
        return Agreement.DIFFERENT
    shared = [(x, y) for x, y in ((a.sha256, b.sha256), (a.git_sha1, b.git_sha1)) if x and y]
    if not shared:
        return Agreement.UNKNOWN
    return Agreement.EQUAL if all(x == y for x, y in shared) else Agreement.DIFFERENT


def is_furniture(path: str) -> bool:
    return path.split("/")[-1].lower() in FURNITURE


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """A file of a component. `path` is relative to the component's folder, `file.path` to the repository."""

    path: str
    file: RemoteFile
    proven: tuple[HubName, ...]
    possible: tuple[HubName, ...] = ()


@dataclass(frozen=True, slots=True)
class ComponentManifest:
    """What a component must hold, by the word of `truth`. `name` "" is the checkpoints folder itself."""

    name: str
    prefix: str  # of its files' paths in the repository: "vae/", or "" for a whole repository
    truth: HubName
    commit: str
    files: tuple[ManifestFile, ...]
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        return sum(f.file.size for f in self.files)


def split_by_folder(snapshots: Iterable[Snapshot], required: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """(component, prefix) of a repository whose top-level folders are components; root files are component ""."""
    tops = dict.fromkeys(required)
    for snapshot in snapshots:
        for file in snapshot.files:
            tops.setdefault(file.path.split("/")[0] if "/" in file.path else "")
    return tuple((top, f"{top}/" if top else "") for top in tops)


def _part(snapshot: Snapshot, name: str, prefix: str) -> dict[str, RemoteFile]:
    if not name:  # the root of a repository whose folders are components of their own
        return {f.path: f for f in snapshot.files if "/" not in f.path}
    return {f.path: f for f in snapshot.files if f.path.startswith(prefix)}


def merge_component(
    name: str, prefix: str, snapshots: Mapping[HubName, Snapshot], order: Sequence[HubName]
) -> ComponentManifest | None:
    """The manifest of one component by the first hub in `order` that has it whole; None where none has it.

    A hub whose listing lacks content files that the other has, while all they share may be equal, is an incomplete
    upload: the other is the truth then, and a note says so. The same where it lists a file without a digest, which
    nobody could prove, and the other lists all its files, each with one.
    """
    listed = {hub: part for hub in order if hub in snapshots and (part := _part(snapshots[hub], name, prefix))}
    if not listed:
        return None
    truth, *others = listed
    notes = list[str]()
    for other in others:
        if lacking := _lacks(listed[truth], listed[other]):
            notes.append(
                f"{truth.title} lacks {', '.join(lacking[:3])}{' and more' if len(lacking) > 3 else ''}: "
                f"{name or 'the root files'} taken from {other.title}"
            )
            truth = other
            break
        unproven, alone = _without_digest(listed[truth]), _only_in(listed[truth], listed[other])
        if unproven and not alone and not _without_digest(listed[other]):
            what = f"{name or 'the root files'} taken from {other.title}"
            notes.append(f"{truth.title} lists no digest for {unproven[0]}: {what}")
            truth = other
            break
    files = tuple(_merged(path, prefix, truth, listed) for path in listed[truth])
    return ComponentManifest(name, prefix, truth, snapshots[truth].commit, files, tuple(notes))


def _only_in(mine: Mapping[str, RemoteFile], theirs: Mapping[str, RemoteFile]) -> list[str]:
    return [path for path in mine if path not in theirs and not is_furniture(path)]


def _without_digest(part: Mapping[str, RemoteFile]) -> list[str]:
    return sorted(path for path, file in part.items() if file.digest is None)


def _lacks(mine: Mapping[str, RemoteFile], theirs: Mapping[str, RemoteFile]) -> list[str]:
    """The content files that `mine` lacks, if it looks like an incomplete copy of `theirs`."""
    content = {p for p in theirs if not is_furniture(p)}
    if any(agreement(mine[p], theirs[p]) is Agreement.DIFFERENT for p in content & mine.keys()):
        return []  # another version, which may well have other files
    if any(p not in theirs and not is_furniture(p) for p in mine):
        return []
    return sorted(content - mine.keys())


def _merged(path: str, prefix: str, truth: HubName, listed: Mapping[HubName, Mapping[str, RemoteFile]]) -> ManifestFile:
    file = listed[truth][path]
    proven, possible = [truth], list[HubName]()
    for hub, part in listed.items():
        if hub is truth or path not in part:
            continue
        match agreement(file, part[path]):
            case Agreement.EQUAL:
                proven.append(hub)
                file = replace(
                    file, sha256=file.sha256 or part[path].sha256, git_sha1=file.git_sha1 or part[path].git_sha1
                )
            case Agreement.UNKNOWN:
                possible.append(hub)
            case Agreement.DIFFERENT:
                pass
    return ManifestFile(path.removeprefix(prefix), file, tuple(proven), tuple(possible))


def recorded_component(
    name: str,
    truth: HubName,
    commit: str,
    files: Mapping[str, RemoteFile],
    snapshots: Mapping[HubName, Snapshot],
    may_differ: Callable[[str], bool],
    *,
    strict: bool = False,
) -> ComponentManifest:
    """The manifest of a component as it was once, `files` by their paths in its folder: a hub is a source of what it
    lists with the same bytes now, at whatever commit. A file that no hub has like that has no source, but for one that
    `may_differ`: that is taken as it is listed. Where it is `strict`, bytes must have all digests that are recorded,
    and not only the one by which a hub lists them."""
    prefix = next((file.path.removesuffix(path) for path, file in files.items()), "")
    listed = {hub: snapshots[hub].by_path for hub in (truth, *snapshots) if hub in snapshots}
    recorded = [_recorded(path, file, listed, may_differ=may_differ(path)) for path, file in files.items()]
    if strict:
        recorded = [replace(each, file=_with_digests(each.file, files[each.path])) for each in recorded]
    return ComponentManifest(name, prefix, truth, commit, tuple(recorded))


def _with_digests(file: RemoteFile, more: RemoteFile) -> RemoteFile:
    return replace(file, sha256=file.sha256 or more.sha256, git_sha1=file.git_sha1 or more.git_sha1)


def _recorded(
    path: str, file: RemoteFile, listed: Mapping[HubName, Mapping[str, RemoteFile]], *, may_differ: bool
) -> ManifestFile:
    theirs = {hub: part[file.path] for hub, part in listed.items() if file.path in part}
    proven = tuple(hub for hub, each in theirs.items() if agreement(file, each) is Agreement.EQUAL)
    possible = tuple(hub for hub, each in theirs.items() if agreement(file, each) is Agreement.UNKNOWN)
    if proven:  # its digest is the one by which the file was fetched, and under which pieces of it may be kept
        return ManifestFile(path, theirs[proven[0]], proven, possible)
    if may_differ and not possible and theirs:
        hub = next(iter(theirs))
        return ManifestFile(path, theirs[hub], (hub,))
    return ManifestFile(path, file, proven, possible)
