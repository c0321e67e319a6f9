"""Everything the engine tells the outside. Listeners are called on the event loop and must return at once.

Paths in events are relative to the checkpoints folder and use "/". URLs never appear, tokens never.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

from acestep_fetch.core.plain import plain_fields

ROOT_FILES: Final = "root files"  # what the component of files that lie in no folder is called


@dataclass(frozen=True, slots=True)
class Event:
    """The base of all events; `name` is what the JSON stream calls it."""

    name: ClassVar[str]

    def to_dict(self) -> dict[str, Any]:
        """The event in JSON's own types: its name as ``event``, and its fields, as the JSON stream has them."""
        return {"event": self.name} | plain_fields(self)


@dataclass(frozen=True, slots=True)
class RunStarted(Event):
    name: ClassVar[str] = "start"
    version: str
    directory: str
    models: tuple[str, ...]
    command: str = "get"  # or another one that has a stream


@dataclass(frozen=True, slots=True)
class SourceProbed(Event):
    """A probe of the race ended. `source` is a hub's name, or "google" for the reachability check."""

    name: ClassVar[str] = "probe"
    source: str
    ok: bool
    seconds: float
    detail: str  # "200" or what went wrong
    endpoint: str  # scheme and host only


@dataclass(frozen=True, slots=True)
class SourcesChosen(Event):
    name: ClassVar[str] = "sources"
    order: tuple[str, ...]  # hub names, first preferred
    why: str


@dataclass(frozen=True, slots=True)
class SourceJoined(Event):
    """A hub that was late answers now and serves from here on."""

    name: ClassVar[str] = "source_joined"
    source: str


@dataclass(frozen=True, slots=True)
class PlanMade(Event):
    """What will be done; all sizes in bytes. `total` = `present` + `shared` + `adoptable` + `partial` + `fetch`."""

    name: ClassVar[str] = "plan"
    models: tuple[str, ...]
    files: int
    total: int
    present: int  # already here, verified
    partial: int  # held in part files of an earlier run
    fetch: int
    disk_free: int
    sources: Mapping[str, int]  # source -> bytes of the plan it is known to hold
    shared: int = 0  # the same content as another file of the plan, or as one of another model that is here
    adoptable: int = 0  # in other folders of this machine


@dataclass(frozen=True, slots=True)
class Note(Event):
    """Something people should read: `level` tells how loud."""

    name: ClassVar[str] = "note"
    level: Literal["info", "warning"]
    text: str


@dataclass(frozen=True, slots=True)
class Detail(Event):
    """What only ``--verbose`` and the JSON stream show: single retries, stalls, steals."""

    name: ClassVar[str] = "detail"
    text: str


@dataclass(frozen=True, slots=True)
class FileStarted(Event):
    name: ClassVar[str] = "file_start"
    path: str
    size: int
    held: int  # bytes already in the part file


@dataclass(frozen=True, slots=True)
class BytesReceived(Event):
    name: ClassVar[str] = "bytes"
    path: str
    source: str
    count: int  # always positive


@dataclass(frozen=True, slots=True)
class BytesCompared(Event):
    """Bytes that came only to be compared with what is held: traffic, but no progress."""

    name: ClassVar[str] = "bytes_compared"
    path: str
    source: str
    count: int  # always positive


@dataclass(frozen=True, slots=True)
class BytesDropped(Event):
    """Bytes counted before (received or held) that turned out to be of no use."""

    name: ClassVar[str] = "bytes_dropped"
    path: str
    count: int
    why: str


@dataclass(frozen=True, slots=True)
class SourceSwitched(Event):
    name: ClassVar[str] = "switch"
    path: str
    source: str  # the one that is given up for this file
    to: str  # the one that goes on; "" if none is left
    at: int  # byte offset
    why: str


@dataclass(frozen=True, slots=True)
class PieceRepaired(Event):
    name: ClassVar[str] = "piece_repaired"
    path: str
    start: int
    stop: int
    culprit: str  # a source's name, or "disk"


@dataclass(frozen=True, slots=True)
class FileReused(Event):
    """A file that was already there, proven by its digest."""

    name: ClassVar[str] = "file_reused"
    path: str
    size: int


@dataclass(frozen=True, slots=True)
class FileChecked(Event):
    """A finished file was compared with the digest that it had, before a repair."""

    name: ClassVar[str] = "file_checked"
    path: str
    size: int
    condition: Literal["right", "changed", "damaged", "missing"]
    why: str


@dataclass(frozen=True, slots=True)
class FileAdopted(Event):
    """A file was taken from another folder of this machine, and is proven by its digest."""

    name: ClassVar[str] = "file_adopted"
    path: str
    size: int
    origin: str  # absolute
    way: str  # "copy" | "reflink" | "hardlink"


@dataclass(frozen=True, slots=True)
class FileVerified(Event):
    """`size` = all of `by_source` + `held` + `copied`."""

    name: ClassVar[str] = "file_done"
    path: str
    size: int
    digest: str
    by_source: Mapping[str, int]  # bytes of it that each source delivered; empty for a copy of an identical file
    seconds: float
    held: int = 0  # bytes of it that an earlier run had left in the part file
    copied: int = 0  # its size, where it is a copy of an identical file


@dataclass(frozen=True, slots=True)
class FileFailed(Event):
    name: ClassVar[str] = "file_failed"
    path: str
    error: str  # FetchError.name
    message: str
    retryable: bool = False


@dataclass(frozen=True, slots=True)
class ComponentMoved(Event):
    """A component is taken from the other hub's snapshot from here on."""

    name: ClassVar[str] = "component_moved"
    component: str
    source: str
    to: str
    why: str


@dataclass(frozen=True, slots=True)
class ComponentReady(Event):
    name: ClassVar[str] = "component_ready"
    component: str
    files: int
    size: int
    fetched: bool = True  # False where all of its files were there


@dataclass(frozen=True, slots=True)
class ModelReady(Event):
    """`fetched` is False where nothing had to be done."""

    name: ClassVar[str] = "model_ready"
    model: str
    folders: tuple[str, ...]
    files: int
    size: int
    fetched: bool


@dataclass(frozen=True, slots=True)
class ModelFailed(Event):
    name: ClassVar[str] = "model_failed"
    model: str
    error: str
    exit_code: int
    message: str
    hint: str | None
    attempts: tuple[str, ...] = ()  # what was tried, a line each
    retryable: bool = False


@dataclass(frozen=True, slots=True)
class Waiting(Event):
    """Nothing moves, on purpose: for what, and for how long at the most (seconds). Where that is another process which
    tells how far it is: the bytes that are there by now, and all."""

    name: ClassVar[str] = "waiting"
    why: str
    seconds: float
    done: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class RunFailed(Event):
    """Why a run did not come to what was asked for; told shortly before its end. Not told of a stop by a signal.

    `model` and `path` are None where it is about more than one.
    """

    name: ClassVar[str] = "error"
    error: str  # FetchError.name
    exit_code: int
    retryable: bool
    message: str
    hint: str | None
    attempts: tuple[str, ...]
    model: str | None
    path: str | None


@dataclass(frozen=True, slots=True)
class RunFinished(Event):
    """Always the last event of a run, also after an error or a signal."""

    name: ClassVar[str] = "summary"
    exit_code: int
    models: Mapping[str, str]  # model -> "ready" | "failed" | "unavailable" | "stopped"
    files_verified: int
    files_reused: int
    bytes_fetched: int
    bytes_reused: int  # present before or held in part files
    by_source: Mapping[str, int]
    seconds: float
    error: str | None = None
    hint: str | None = None
    attempts: tuple[str, ...] = ()
    changed: bool = False  # whether something was put in its place
    retryable: bool = False  # whether the same command again can help
    avg_bps: int = 0  # `bytes_fetched` by `seconds`
    bytes_compared: int = 0  # of `bytes_fetched`, what came only to be compared with what is held
    bytes_dropped: int = 0  # received or held, and of no use


Listener = Callable[[Event], None]
