"""The values everything else speaks in: repositories, snapshots, files and their digests."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final, Literal, Self

from acestep_fetch.core.errors import UsageError

SHA256_HEX: Final = re.compile(r"[0-9a-f]{64}")
SHA1_HEX: Final = re.compile(r"[0-9a-f]{40}")
_REPO_PART: Final = re.compile(r"[\w\-.]{1,96}")


class HubName(StrEnum):
    """The two hubs. The value is what users type and what events and journals say."""

    HUGGINGFACE = "huggingface"
    MODELSCOPE = "modelscope"

    @property
    def title(self) -> str:  # type: ignore[override]  # str.title() is of no use for a name
        return {"huggingface": "Hugging Face", "modelscope": "ModelScope"}[self.value]

    @property
    def other(self) -> HubName:
        return HubName.MODELSCOPE if self is HubName.HUGGINGFACE else HubName.HUGGINGFACE


@dataclass(frozen=True, slots=True)
class RepoId:
    """``owner/name``, the same on both hubs."""

    owner: str
    name: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parses ``owner/name``. Raises `UsageError` on anything a hub would refuse."""
        parts = text.split("/")
        if (
            len(parts) != 2
            or not all(_REPO_PART.fullmatch(p) for p in parts)
            or "--" in text
            or ".." in text
            or any(p.startswith((".", "-")) or p.endswith((".", "-", ".git")) for p in parts)
        ):
            raise UsageError(f"{text!r} is not a repository id", hint="write it as OWNER/NAME")
        return cls(*parts)

    def __str__(self) -> str:
        return f"{self.owner}/{self.name}"


DigestKind = Literal["sha256", "git-sha1"]


@dataclass(frozen=True, slots=True)
class Digest:
    """A content digest. ``git-sha1`` is git's blob id: sha1 over ``blob {len}\\0`` and the content."""

    kind: DigestKind
    hex: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.hex}"

    @property
    def short(self) -> str:
        return f"{self.kind}:{self.hex[:12]}"


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file as a hub lists it. At least one digest is set on every file that may be fetched."""

    path: str  # inside the repository, with "/"
    size: int  # bytes
    sha256: str | None = None  # 64 hex; both hubs list it for large files, ModelScope for all
    git_sha1: str | None = None  # 40 hex; Hugging Face lists it for files outside LFS

    @property
    def digests(self) -> tuple[Digest, ...]:
        """Every digest the hub listed, the stronger first."""
        found = list[Digest]()
        if self.sha256:
            found.append(Digest("sha256", self.sha256))
        if self.git_sha1:
            found.append(Digest("git-sha1", self.git_sha1))
        return tuple(found)

    @property
    def digest(self) -> Digest | None:
        """The digest that decides whether received bytes are this file; None if the hub listed none."""
        return next(iter(self.digests), None)


@dataclass(frozen=True)
class Snapshot:
    """A repository at one commit, as one hub lists it."""

    hub: HubName
    repo: RepoId
    commit: str  # 40 hex, or the revision itself where the hub would not say
    files: tuple[RemoteFile, ...]

    @cached_property
    def by_path(self) -> Mapping[str, RemoteFile]:
        return {file.path: file for file in self.files}
