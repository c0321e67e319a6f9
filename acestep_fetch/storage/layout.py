"""Where everything lies below the checkpoints folder.

::

    checkpoints/<component>/...              finished and verified, nothing else
    checkpoints/.acestep-fetch/parts/        unfinished files and their journals, named by digest
    checkpoints/.acestep-fetch/staging/      components that are not complete yet
    checkpoints/.acestep-fetch/receipts/     one per model: it is complete and verified
    checkpoints/.acestep-fetch/pieces/       the journals of finished files: a checksum for each piece
    checkpoints/.acestep-fetch/lease         who writes here
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from acestep_fetch.core.errors import DiskError
from acestep_fetch.core.model import Digest

STATE: Final = ".acestep-fetch"


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
    def lease(self) -> Path:
        return self.state / "lease"

    def part(self, digest: Digest) -> Path:
        """Keyed by content, so a part fits whatever model, hub or name asks for these bytes next."""
        prefix = "" if digest.kind == "sha256" else f"{digest.kind}-"
        return self.parts / f"{prefix}{digest.hex}.part"

    def pieces(self, digest: Digest) -> Path:
        """The journal of a finished file."""
        return self.state / "pieces" / f"{digest.hex}.journal"

    def staged(self, component: str) -> Path:
        """The folder in which `component` is put together; "" is the checkpoints folder's own files."""
        return self.staging / (component or "root-files")

    def final(self, component: str) -> Path:
        return self.root / component if component else self.root


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
