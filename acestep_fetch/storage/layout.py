"""Where everything lies below the checkpoints folder.

::

    checkpoints/<component>/...              finished and verified, nothing else
    checkpoints/.acestep-fetch/parts/        unfinished files and their journals, named by digest
    checkpoints/.acestep-fetch/staging/      components that are not complete yet
    checkpoints/.acestep-fetch/receipts/     one per model: it is complete and verified
    checkpoints/.acestep-fetch/begun/        one per model that is not: what a run set out to fetch
    checkpoints/.acestep-fetch/pieces/       the journals of finished files: a checksum for each piece
    checkpoints/.acestep-fetch/lease         who writes here
    checkpoints/.acestep-fetch/lease.<n>     the same, for disks whose locks cannot be believed (`storage.claim`)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from acestep_fetch.core.errors import DiskError
from acestep_fetch.core.model import SHA1_HEX, SHA256_HEX, Digest, DigestKind
from acestep_fetch.core.paths import why_unsafe_name

STATE: Final = ".acestep-fetch"
_NAMES: Final[Mapping[DigestKind, tuple[str, re.Pattern[str]]]] = {
    "sha256": ("", SHA256_HEX),
    "git-sha1": ("git-sha1-", SHA1_HEX),
}


@dataclass(frozen=True, slots=True)
class Layout:
    root: Path

    @property
    def state(self) -> Path:
        return self.root / STATE

    @property
    def parts(self) -> Path:
        return self.state / "parts"

    @property
    def staging(self) -> Path:
        return self.state / "staging"

    @property
    def receipts(self) -> Path:
        return self.state / "receipts"

    @property
    def begun(self) -> Path:
        return self.state / "begun"

    @property
    def kept_journals(self) -> Path:
        return self.state / "pieces"

    @property
    def lease(self) -> Path:
        return self.state / "lease"

    def part(self, digest: Digest) -> Path:
        """Keyed by content, so a part fits whatever model, hub or name asks for these bytes next."""
        return self.parts / f"{_NAMES[digest.kind][0]}{digest.hex}.part"

    @staticmethod
    def digest_of(part: Path) -> Digest | None:
        """Whose part file `part` is; None for one that is not named as ours are."""
        for kind, (prefix, shape) in _NAMES.items():
            if part.stem.startswith(prefix) and shape.fullmatch(part.stem[len(prefix) :]):
                return Digest(kind, part.stem[len(prefix) :])
        return None

    def pieces(self, digest: Digest) -> Path:
        """The journal of a finished file."""
        return self.kept_journals / f"{digest.hex}.journal"

    def staged(self, component: str) -> Path:
        """The folder in which `component` is put together; "" is the checkpoints folder's own files. Raises `DiskError`
        for a name that leads elsewhere: what is no part of a component is removed from there."""
        return self.staging / (_checked(component) or "root-files")

    def final(self, component: str) -> Path:
        """Where `component` belongs. Raises `DiskError` as `staged` does."""
        return self.root / _checked(component) if component else self.root


def _checked(component: str) -> str:
    if component and (reason := why_unsafe_name(component)):
        raise DiskError(
            f"{component!r} {reason}, and nothing is put there", hint="leave out the model that names such a folder"
        )
    return component


def choose_folder(named: Path | None) -> tuple[Path, str | None]:
    """The checkpoints folder, absolute, and a note where it is not what it seems.

    The default is ``./checkpoints``. Inside a folder that is itself called checkpoints it is that folder: people run
    the command there and mean it (ACE-Step issue 623).
    """
    try:
        here = Path.cwd()
    except OSError as exc:
        raise DiskError("the working folder is gone", hint="go to another folder, or name one (--dir)") from exc
    if named is not None:
        return here / named.expanduser(), None
    if here.name == "checkpoints":
        return here, f"this folder is called checkpoints, so models go into {here} itself (--dir chooses another)"
    return here / "checkpoints", None
