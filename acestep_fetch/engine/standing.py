"""What stands in a checkpoints folder: the models, and what was begun and is not finished.

Answered from receipts, from what runs left word of, from journals and a few stat calls: no event loop, no socket, and
nothing is changed. Nothing here is a proof; that is `engine.upkeep`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from stat import S_ISREG
from typing import Any, Final

from acestep_fetch.catalogue import Catalogue, ComponentEntry, Model, load_catalogue
from acestep_fetch.core.errors import UsageError
from acestep_fetch.core.model import RepoId
from acestep_fetch.core.plain import plain_fields
from acestep_fetch.engine.records import Record, Records
from acestep_fetch.storage import platform
from acestep_fetch.storage.begun import Begun
from acestep_fetch.storage.journal import PIECE
from acestep_fetch.storage.layout import Layout
from acestep_fetch.storage.lease import Holder, Lease
from acestep_fetch.storage.receipts import Receipt, is_whole

KILL_COSTS: Final = PIECE  # bytes of one connection that are fetched again after a kill, at the most


class State(StrEnum):
    """Where a model stands."""

    READY = "ready"  # its receipt fits what is on disk
    PARTIAL = "partial"  # begun, or some of its files were asked for
    CHANGED = "changed"  # it was ready, and its files are not any more what they were
    FOLDER_ONLY = "folder-only"  # ACE-Step would take it for installed, and nothing vouches for it
    ANNOUNCED = "announced"  # not here, and not on any hub as far as is known
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class ComponentState:
    """A folder of a model that has several. Sizes are bytes; `here` says whether the folder is there."""

    name: str
    size: int
    approximate: bool
    held: int
    here: bool
    vram: float | None
    purpose: str
    quality: str
    speed: str


@dataclass(frozen=True, slots=True)
class ModelState:
    """A model of the catalogue, or another one that is here.

    `size` is what its files have by the last list that was seen, else what the catalogue says (`approximate`, or 0
    where nobody knows). `held` counts the bytes that are here as our records speak of them. `folders` are absolute.
    """

    name: str
    repo: str
    group: str
    state: State
    size: int
    approximate: bool
    held: int
    vram: float | None
    purpose: str
    quality: str
    speed: str
    folders: tuple[str, ...]
    components: tuple[ComponentState, ...]

    @property
    def here(self) -> bool:
        """Whether anything of it is."""
        return self.state not in (State.ABSENT, State.ANNOUNCED)

    @property
    def share(self) -> float | None:
        """Of its bytes that are held, from 0 to 1; None where its size is not known."""
        return share(self.held, self.size)

    def to_dict(self) -> dict[str, Any]:
        return plain_fields(self) | {"share": self.share}


@dataclass(frozen=True, slots=True)
class Running:
    """Who writes into the folder. `models` is empty where it fetches none; `since` is in epoch seconds, 0 where that is
    not known. `total` is 0 while there is no plan."""

    pid: int
    host: str
    since: float
    models: tuple[str, ...]
    done: int
    total: int

    def __str__(self) -> str:
        return str(Holder(self.pid, self.host))


@dataclass(frozen=True, slots=True)
class Asked:
    """A model that was asked for, or some of its files (`selection`): it is ready, or was begun and is not."""

    model: str
    repo: str
    selection: Mapping[str, Any]
    state: State
    size: int
    held: int
    folders: tuple[str, ...]  # absolute

    @property
    def share(self) -> float | None:
        return share(self.held, self.size)

    def to_dict(self) -> dict[str, Any]:
        return plain_fields(self) | {"share": self.share}


@dataclass(frozen=True, slots=True)
class Part:
    """An unfinished file. `path` (under the checkpoints folder) and `model` are empty where nobody left word what it is
    for. `written` is when something came last, in epoch seconds."""

    path: str
    model: str
    digest: str
    size: int
    held: int
    written: float


@dataclass(frozen=True, slots=True)
class Status:
    """Who is at work in a folder, what was asked for in it, and what is left over."""

    folder: str
    running: Running | None
    asked: tuple[Asked, ...]
    parts: tuple[Part, ...]

    @property
    def unfinished(self) -> tuple[Asked, ...]:
        return tuple(each for each in self.asked if each.state is not State.READY)

    @property
    def ready(self) -> tuple[Asked, ...]:
        return tuple(each for each in self.asked if each.state is State.READY)

    @property
    def complete(self) -> bool:
        """Whether nobody is at work and all that was begun is ready. Parts of what nobody asks for any more do not
        count."""
        return not (self.running or self.unfinished or (self.parts and not self.asked))

    def to_dict(self) -> dict[str, Any]:
        return {
            "folder": self.folder,
            "complete": self.complete,
            "running": plain_fields(self.running) if self.running else None,
            "models": [each.to_dict() for each in self.asked],
            "parts": [plain_fields(part) for part in self.parts],
            "kill_costs": KILL_COSTS,
        }


def models(layout: Layout) -> tuple[ModelState, ...]:
    """Every model of the catalogue in its order, then the others that are here. Raises `DiskError` where the folder
    cannot be read."""
    catalogue = load_catalogue()
    with _explained(layout):
        records = Records(layout)
        return tuple(_model_state(each, records) for each in (*catalogue.models, *_others(records, catalogue)))


def status(layout: Layout) -> Status:
    """Who is at work, what was asked for, and what is left over. Raises `DiskError` where the folder cannot be read."""
    with _explained(layout):
        holder, records = Lease.holder(layout.lease), Records(layout)
        return Status(
            folder=str(layout.root),
            running=_running(holder) if holder else None,
            asked=tuple(_all_asked(records)),
            parts=tuple(_parts(layout, records)),
        )


@contextmanager
def _explained(layout: Layout) -> Iterator[None]:
    platform.require_folder(layout.root)
    try:
        yield
    except OSError as exc:
        raise platform.explain(exc, exc.filename or layout.root) from exc


def share(held: int, size: int) -> float | None:
    """Rounded down, so that 1.0 is all of it."""
    return int(10_000 * min(held, size) / size) / 10_000 if size else None


def _running(holder: Holder) -> Running:
    return Running(holder.pid, holder.host, holder.since, holder.models, holder.done, holder.total)


def _files(folder: Path) -> Iterable[tuple[str, int]]:
    """What is staged of a model of which nobody left word."""
    for path in folder.rglob("*") if folder.is_dir() else ():
        with suppress(FileNotFoundError):  # it has got its final name meanwhile
            found = path.stat()
            if S_ISREG(found.st_mode):
                yield path.relative_to(folder).as_posix(), found.st_size


def _all_asked(records: Records) -> Iterator[Asked]:
    """Each selection by itself; of what is fetched anew or repaired, only that."""
    begun = {(each.repo, _key(each.selection)): each for each in records.begun}
    for receipt in records.receipts:
        other = begun.pop((receipt.repo, _key(receipt.selection)), None)
        if records.is_ready(receipt):
            yield _asked(receipt, State.READY, records)
        else:
            yield _asked(other, State.PARTIAL, records) if other else _asked(receipt, State.CHANGED, records)
    for each in begun.values():
        yield _asked(each, State.PARTIAL, records)


def _key(selection: Mapping[str, Any]) -> str:
    return repr(sorted(selection.items()))


def _asked(record: Record, state: State, records: Records) -> Asked:
    folders = dict.fromkeys(file.path.partition("/")[0] for file in record.files if "/" in file.path)
    return Asked(
        model=record.model,
        repo=record.repo,
        selection=record.selection,
        state=state,
        size=record.size,
        held=sum(records.held(record).values()),
        folders=tuple(str(records.layout.final(name)) for name in folders),
    )


def _others(records: Records, catalogue: Catalogue) -> list[Model]:
    """Models that are here, or were begun, and are not in the list of everything."""
    listed, known = {model.name for model in catalogue.models}, {model.name: model for model in catalogue.known}
    found = {record.model: record.repo for record in records.all if record.model not in listed}
    others = [known.get(name) or _foreign(name, repo) for name, repo in sorted(found.items())]
    return [model for model in others if model]


def _foreign(name: str, repo: str) -> Model | None:
    try:
        return Model(name, RepoId.parse(repo))
    except UsageError:
        return None  # somebody has written into the record


@dataclass(frozen=True, slots=True)
class _Bytes:
    """Of a model's files by their paths under the checkpoints folder, as far as our records know them. `whole` says
    that they know all of them."""

    sizes: Mapping[str, int]
    held: Mapping[str, int]
    whole: bool

    @classmethod
    def of(cls, model: Model, mine: Sequence[Record], records: Records) -> _Bytes:
        whole = next((each for each in mine if is_whole(each.selection)), None)
        sizes = {file.path: file.size for each in ([whole] if whole else mine) for file in each.files}
        held = {path: count for each in ([whole] if whole else mine) for path, count in records.held(each).items()}
        if not mine:
            staged = {name: records.layout.staged(name) for name in model.folders}
            held = {f"{name}/{path}": size for name, folder in staged.items() for path, size in _files(folder)}
        return cls(sizes, held, whole is not None)


def _model_state(model: Model, records: Records) -> ModelState:
    layout, repo = records.layout, str(model.repo)
    receipts = [r for r in records.receipts if (r.model, r.repo) == (model.name, repo)]
    begun = [b for b in records.begun if (b.model, b.repo) == (model.name, repo)]
    known = _Bytes.of(model, [*filter(records.is_ready, receipts), *begun, *receipts], records)
    total = sum(known.sizes.values())
    return ModelState(
        name=model.name,
        repo=repo,
        group=model.group,
        state=_state(model, receipts, begun, records),
        size=total if known.whole else max(total, model.size),
        approximate=model.approximate and not known.whole,
        held=sum(known.held.values()),
        vram=model.vram,
        purpose=model.purpose,
        quality=model.quality,
        speed=model.speed,
        folders=tuple(str(layout.final(name)) for name in model.folders),
        components=tuple(_component_state(part, layout, known) for part in model.components),
    )


def _component_state(part: ComponentEntry, layout: Layout, known: _Bytes) -> ComponentState:
    return ComponentState(
        name=part.name,
        size=_inside(part.name, known.sizes) if known.whole else part.size,
        approximate=part.approximate and not known.whole,
        held=_inside(part.name, known.held),
        here=layout.final(part.name).is_dir(),
        vram=part.vram,
        purpose=part.purpose,
        quality=part.quality,
        speed=part.speed,
    )


def _inside(component: str, by_path: Mapping[str, int]) -> int:
    return sum(size for path, size in by_path.items() if path.startswith(f"{component}/"))


def _state(model: Model, receipts: Iterable[Receipt], begun: Iterable[Begun], records: Records) -> State:
    whole = [receipt for receipt in receipts if receipt.is_whole]
    if any(map(records.is_ready, whole)):
        return State.READY
    if any(begun) or any(records.layout.staged(name).is_dir() for name in model.folders):
        return State.PARTIAL
    if whole:
        return State.CHANGED
    if any(receipts):
        return State.PARTIAL
    if any(records.layout.final(name).exists() for name in model.folders):
        return State.FOLDER_ONLY
    return State.ANNOUNCED if model.announced else State.ABSENT


def _parts(layout: Layout, records: Records) -> Iterable[Part]:
    """The part files, those that somebody left word of first."""
    named = {file.digest: (file.path, each.model) for each in records.begun for file in each.files}
    found = list[Part]()
    for path in layout.parts.glob("*.part"):
        if digest := layout.digest_of(path):
            try:
                there = path.stat()
            except OSError:
                continue  # it has been finished meanwhile
            for_what, model = named.get(digest, ("", ""))
            held = records.in_part(digest, there.st_size)
            found.append(Part(for_what, model, str(digest), there.st_size, held, there.st_mtime))
    return sorted(found, key=lambda part: (not part.path, part.path, part.digest))
