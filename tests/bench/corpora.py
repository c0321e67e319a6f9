"""What is fetched: made-up repositories on disk, once for each hub, and what of them has to land."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from acestep_fetch.core.model import HubName
from tests.support.trees import make_catalogue, make_repo, tree_digests

SCALE: Final = 0.06
GIB: Final = 1 << 30
_HUBS_OWN: Final = frozenset({"README.md", ".gitattributes", "configuration.json"})  # differ from hub to hub


@dataclass(frozen=True)
class Wanted:
    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Corpus:
    """`roots` are what the hubs serve; `wanted` is what both have and every tool has to bring."""

    repo: str
    is_main: bool
    roots: dict[HubName, Path]
    wanted: tuple[Wanted, ...]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.wanted)

    @property
    def folder(self) -> str:
        """Where acestep-fetch puts it, below its checkpoints folder."""
        return "." if self.is_main else self.repo.partition("/")[2]


def corpus(name: str, where: Path) -> Corpus:
    """The corpus of that name, made on disk below `where` when it is not there."""
    repo, make = _MAKERS[name]
    roots = {hub: where / name / hub.value for hub in HubName}
    listing = where / name / "wanted.json"
    if not listing.exists():
        for hub, root in roots.items():
            make(root, hub)
        rows = _common([root / repo for root in roots.values()])
        listing.write_text(json.dumps([[file.path, file.size, file.sha256] for file in rows]))
    wanted = tuple(Wanted(*row) for row in json.loads(listing.read_text()))
    return Corpus(repo, name == "main", roots, wanted)


def missing_or_wrong(folder: Path, wanted: Iterable[Wanted]) -> list[str]:
    """The paths of `wanted` that are not in `folder` as they should be."""
    there = tree_digests(folder) if folder.exists() else {}
    return [file.path for file in wanted if there.get(file.path) != file.sha256]


def _common(folders: list[Path]) -> list[Wanted]:
    first, *others = [tree_digests(folder) for folder in folders]
    return [
        Wanted(path, (folders[0] / path).stat().st_size, sha256)
        for path, sha256 in first.items()
        if path not in _HUBS_OWN and all(other.get(path) == sha256 for other in others)
    ]


def _make_main(root: Path, hub: HubName) -> None:
    make_catalogue(root, scale=SCALE, hub=hub, models=["main"])


def _make_files(repo: str, files: dict[str, bytes | int], root: Path, _: HubName) -> None:
    make_repo(root, repo, files)


_SMALL: Final[dict[str, bytes | int]] = {f"part-{n // 100:02}/file-{n:04}.json": 4096 for n in range(2000)}

_MAKERS: Final[dict[str, tuple[str, Callable[[Path, HubName], None]]]] = {
    "main": ("ACE-Step/Ace-Step1.5", _make_main),
    "small": ("ACE-Step/small", partial(_make_files, "ACE-Step/small", _SMALL)),
    "gib": ("ACE-Step/gib", partial(_make_files, "ACE-Step/gib", {"model.safetensors": GIB})),
    "big": ("ACE-Step/big", partial(_make_files, "ACE-Step/big", {"model.safetensors": 4 * GIB})),
}
