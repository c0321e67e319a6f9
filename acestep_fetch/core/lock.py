"""The lock: which bytes a model has, written down so that another machine, or next year's, gets exactly those.

It is JSON, because Python 3.11 reads and writes that by itself; one line for each file, everything sorted, no time and
no name of a machine in it: the same content is the same text, and a version control system shows what changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from acestep_fetch.core.errors import FetchError, UsageError
from acestep_fetch.core.model import SHA1_HEX, SHA256_HEX, HubName, RemoteFile, RepoId
from acestep_fetch.core.paths import check_paths, why_unsafe_name

VERSION: Final = 1
LOCK_NAME: Final = "acestep-fetch.lock"


@dataclass(frozen=True, slots=True)
class LockedFile:
    """At least one digest is set. `path` is relative to the checkpoints folder."""

    path: str
    size: int
    sha256: str | None = None
    git_sha1: str | None = None

    def agrees_with(self, other: LockedFile) -> bool:
        """Whether both are the same bytes, though one may know a digest more (a fetch finds it out)."""
        shared = [
            (mine, theirs)
            for mine, theirs in ((self.sha256, other.sha256), (self.git_sha1, other.git_sha1))
            if mine and theirs
        ]
        return self.size == other.size and bool(shared) and all(mine == theirs for mine, theirs in shared)

    def __str__(self) -> str:
        return shown(RemoteFile(self.path, self.size, self.sha256, self.git_sha1))


@dataclass(frozen=True, slots=True)
class LockedModel:
    """`folder` is what the repository's root becomes below the checkpoints folder, "" for that folder itself. Its
    root files beside other `components` are component ""."""

    name: str
    repo: str
    folder: str
    commits: Mapping[str, str]  # hub -> commit
    components: tuple[str, ...]
    files: tuple[LockedFile, ...]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    def component_of(self, path: str) -> str:
        top, slash, _ = path.partition("/")
        return top if slash and top in self.components else ""

    def in_repo(self, path: str) -> str:
        """The name that the file `path` has in the repository."""
        return path.removeprefix(f"{self.folder}/")


@dataclass(frozen=True, slots=True)
class Lock:
    models: tuple[LockedModel, ...] = ()

    def find(self, name: str) -> LockedModel | None:
        return next((model for model in self.models if model.name == name), None)

    def updated(self, models: Iterable[LockedModel]) -> Lock:
        """With `models` in the place of what it has under their names. A digest that only it knows of the same bytes
        stays."""
        known = {(file.path, file.size, file.sha256): file for model in self.models for file in model.files}
        both = {model.name: model for model in self.models}
        for model in models:
            files = (_with_git(file, known.get((file.path, file.size, file.sha256))) for file in model.files)
            both[model.name] = replace(model, files=tuple(files))
        return Lock(tuple(both.values()))

    def to_dict(self) -> dict[str, Any]:
        """What the lock's file says."""
        said: dict[str, Any] = json.loads(render(self))
        return said


def _with_git(file: LockedFile, same: LockedFile | None) -> LockedFile:
    return replace(file, git_sha1=file.git_sha1 or same.git_sha1) if same else file


def shown(file: RemoteFile) -> str:
    """What a file is, for people."""
    return f"{file.digest.short if file.digest else 'no digest'} ({file.size} bytes)"


def render(lock: Lock, more: Mapping[str, Any] | None = None) -> str:
    """The text. `more` are top-level fields that stand beside the models."""
    models = ",\n".join(_model_lines(model) for model in sorted(lock.models, key=lambda model: model.name))
    further = "".join(f'  "{name}": {_dumped_lines(value)},\n' for name, value in (more or {}).items())
    body = f"\n{models}\n  " if models else ""
    return f'{{\n  "version": {VERSION},\n{further}  "models": {{{body}}}\n}}\n'


def _model_lines(model: LockedModel) -> str:
    head = {
        "repo": model.repo,
        "folder": model.folder,
        "commits": model.commits,
        "components": sorted(model.components),
    }
    lines = [f"      {_dumped(name)}: {_dumped(value)}," for name, value in head.items()]
    files = ",\n".join(f"        {_dumped(file.path)}: {json.dumps(_file_row(file))}" for file in _sorted(model.files))
    return "\n".join([f"    {_dumped(model.name)}: {{", *lines, f'      "files": {{\n{files}\n      }}\n    }}'])


def _file_row(file: LockedFile) -> dict[str, Any]:
    digests = {"sha256": file.sha256, "git_sha1": file.git_sha1}
    return {"size": file.size} | {kind: digest for kind, digest in digests.items() if digest}


def _sorted(files: Iterable[LockedFile]) -> list[LockedFile]:
    return sorted(files, key=lambda file: file.path)


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _dumped_lines(value: Any) -> str:
    """Each entry of a list in a line of its own."""
    if not isinstance(value, list) or not value:
        return _dumped(value)
    return "[\n" + ",\n".join(f"    {_dumped(each)}" for each in value) + "\n  ]"


def parse(text: str | bytes, name: str) -> tuple[Lock, Mapping[str, Any]]:
    """The lock called `name`, and all its top-level fields. Raises `UsageError` that says what is wrong with it."""
    try:
        rows = json.loads(text)
        version, models = rows["version"], rows["models"]
        if version != VERSION:
            raise UsageError(
                f"{name}: it is a lock of version {version!r}, and this program knows {VERSION}",
                hint="use the acestep-fetch that wrote it, or remove it and write a new one: acestep-fetch lock",
            )
        return checked(Lock(tuple(_model_of(each, row) for each, row in models.items()))), rows
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
        raise UsageError(f"{name}: this is no lock ({type(exc).__name__}: {exc})", hint=_HINT) from None
    except FetchError as error:
        if isinstance(error, UsageError) and error.message.startswith(f"{name}: "):
            raise
        raise UsageError(f"{name}: {error.message}", hint=_HINT) from None


_HINT: Final = "restore the file, or remove it and write a new one: acestep-fetch lock"


def _model_of(name: str, row: Mapping[str, Any]) -> LockedModel:
    if reason := why_unsafe_name(name):
        raise ValueError(f"the model {name!r} {reason}")
    files = tuple(_file_of(path, each) for path, each in row["files"].items())
    folder = str(row["folder"])
    if (folder and folder != name) or not all(path.path.startswith(f"{folder}/" if folder else "") for path in files):
        raise ValueError(f"the files of {name} do not lie in {folder!r}")
    check_paths((file.path for file in files), where="the lock")
    components = tuple(_component(part) for part in row["components"])
    if len(set(components)) < len(components):
        raise ValueError(f"{name} names a component twice")
    commits = {HubName(hub).value: commit for hub, commit in row["commits"].items()}
    if not all(SHA1_HEX.fullmatch(commit) for commit in commits.values()):
        raise ValueError(f"the commits of {name} are not what they should be")
    model = LockedModel(name, str(RepoId.parse(row["repo"])), folder, commits, components, files)
    if stray := next((file.path for file in files if model.component_of(file.path) not in components), None):
        raise ValueError(f"{stray} belongs to no component of {name}")
    if not files or len({model.component_of(file.path) for file in files}) < len(components):
        raise ValueError(f"{name} has no file in one of its components")
    return model


def _component(name: object) -> str:
    """A component is a folder that is put together, replaced and cleaned as a whole, so its name leads nowhere else."""
    if not isinstance(name, str):
        raise TypeError(f"the component {name!r} is no name")
    if name and (reason := why_unsafe_name(name)):
        raise ValueError(f"the component {name!r} {reason}")
    return name


def _file_of(path: str, row: Mapping[str, Any]) -> LockedFile:
    size, sha256, git = row["size"], row.get("sha256"), row.get("git_sha1")
    sound = isinstance(size, int) and not isinstance(size, bool) and 0 <= size < 1 << 63 and bool(sha256 or git)
    if not sound or not all(not d or shape.fullmatch(d) for shape, d in ((SHA256_HEX, sha256), (SHA1_HEX, git))):
        raise ValueError(f"{path}: size and digest are not what they should be")
    return LockedFile(path, size, sha256 or None, git or None)


def checked(lock: Lock) -> Lock:
    """`lock`. Raises ValueError where files with a digest in common, so one content, differ in what else is said."""
    seen: dict[str, LockedFile] = {}
    for file in (file for model in lock.models for file in model.files):
        for digest in filter(None, (file.sha256, file.git_sha1)):
            other = seen.setdefault(digest, file)
            if not file.agrees_with(other):
                raise ValueError(f"{other.path} and {file.path} cannot both be what it says: {other} and {file}")
            if file.sha256 and file.git_sha1:
                seen[digest] = file
    return lock


def changes(old: Lock, new: Lock) -> Iterator[str]:
    """What is another in `new`, a line for each thing."""
    names = dict.fromkeys(model.name for model in (*old.models, *new.models))
    for name in sorted(names):
        before, after = old.find(name), new.find(name)
        if before and after:
            yield from _model_changes(before, after)
        elif after:
            yield f"+ {name}: {after.repo}, {len(after.files)} files"
        elif before:
            yield f"- {name}: {before.repo}, {len(before.files)} files"


def _model_changes(old: LockedModel, new: LockedModel) -> Iterator[str]:
    if old.repo != new.repo:
        yield f"~ {new.name}: {old.repo} -> {new.repo}"
    for hub in HubName:
        was, now = old.commits.get(hub, "none"), new.commits.get(hub, "none")
        if was != now:
            yield f"~ {new.name}: {hub.title} {was[:12]} -> {now[:12]}"
    before, after = ({file.path: file for file in model.files} for model in (old, new))
    for path in sorted({**before, **after}):
        if path not in before:
            yield f"+ {path}: {after[path]}"
        elif path not in after:
            yield f"- {path}: {before[path]}"
        elif not before[path].agrees_with(after[path]):
            yield f"~ {path}: {_change(before[path], after[path])}"


def _change(old: LockedFile, new: LockedFile) -> str:
    """Files whose shown digests are the same differ in git's."""
    if str(old) != str(new):
        return f"{old} -> {new}"
    return f"git-sha1:{old.git_sha1} -> git-sha1:{new.git_sha1}"
