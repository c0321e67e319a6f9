"""What a run set out to fetch: the files of a model that is not ready yet, for those who look how far that is.

Written when the plan is made and removed when the receipt is written, so what lies here was begun and not finished.
Nothing but a look reads it: the hubs' lists are the truth of the next run, and losing this costs a percentage.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from acestep_fetch.core.errors import FetchError
from acestep_fetch.core.model import SHA1_HEX, SHA256_HEX, Digest, DigestKind
from acestep_fetch.core.paths import why_unsafe, why_unsafe_name
from acestep_fetch.storage import platform
from acestep_fetch.storage.layout import Layout
from acestep_fetch.storage.receipts import file_of, is_whole, named_by_revision
from acestep_fetch.storage.staging import refuse_links

VERSION: Final = 1
_SHAPES: Final[Mapping[DigestKind, re.Pattern[str]]] = {"sha256": SHA256_HEX, "git-sha1": SHA1_HEX}


@dataclass(frozen=True, slots=True)
class BegunFile:
    """`path` is relative to the checkpoints folder."""

    path: str
    size: int
    digest: Digest

    @property
    def component(self) -> str:
        """The folder that it belongs to; "" for the checkpoints folder's own files."""
        return self.path.partition("/")[0] if "/" in self.path else ""

    @property
    def inside(self) -> str:
        """Its path in that folder."""
        return self.path.partition("/")[2] if "/" in self.path else self.path


@dataclass(frozen=True, slots=True)
class Begun:
    """`selection` is what was asked for beyond the model's name, as in a receipt."""

    model: str
    repo: str
    selection: Mapping[str, Any]
    files: tuple[BegunFile, ...]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)


def write_begun(layout: Layout, begun: Begun) -> None:
    """Whole or not at all. A disk that refuses has better places to say so."""
    path = file_of(layout.begun, begun.model, begun.selection)
    with suppress(OSError, FetchError):
        refuse_links(layout.state, path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with platform.beside(path) as temporary:
            temporary.write_text(json.dumps({"v": VERSION, **asdict(begun)}), "utf-8")


def remove_begun(layout: Layout, model: str, selection: Mapping[str, Any]) -> None:
    """It is finished."""
    path = file_of(layout.begun, model, selection)
    with suppress(OSError, FetchError):
        refuse_links(layout.state, path)
        path.unlink(missing_ok=True)
        for old in named_by_revision(layout.begun, model) if is_whole(selection) else ():
            if (begun := _parse(old)) and begun.model == model and is_whole(begun.selection):
                old.unlink()


def all_begun(layout: Layout) -> Iterator[Begun]:
    """All that can be understood."""
    if layout.begun.is_dir():
        for path in sorted(layout.begun.glob("*.json")):
            if begun := _parse(path):
                yield begun


def _parse(path: Path) -> Begun | None:
    try:
        row = json.loads(platform.read_whole(path))
        if row.pop("v") != VERSION or not all(isinstance(row[name], str) for name in ("model", "repo")):
            return None
        if why_unsafe_name(row["model"]):
            return None
        files = tuple(map(_file, row.pop("files")))
        return Begun(**row, files=files) if isinstance(row["selection"], dict) else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _file(row: Mapping[str, Any]) -> BegunFile:
    """Raises ValueError, TypeError or KeyError where it is none that we could have written."""
    path, size, kind, digest = row["path"], row["size"], row["digest"]["kind"], row["digest"]["hex"]
    if why_unsafe(path) or not isinstance(size, int) or size < 0 or not _SHAPES[kind].fullmatch(digest):
        raise ValueError(path)
    return BegunFile(path, size, Digest(kind, digest))
