"""Names that a listing may not bring onto a disk, decided before anything is written.

Checked for every operating system at once: a folder fetched on Linux is opened on Windows next.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Final

from acestep_fetch.core.errors import IntegrityError

_DEVICES: Final = frozenset(
    [
        "con",
        "prn",
        "aux",
        "nul",
        "conin$",
        "conout$",
        *(f"{port}{n}" for port in ("com", "lpt") for n in "123456789¹²³"),
    ]
)
_FORBIDDEN: Final = frozenset('<>:"|?*\\')
_UNSAFE: Final = "nothing was written; leave the file out (--exclude), and tell the repository's owner"
# our own state, huggingface_hub's, and git's, whose configuration names programs to run
_OURS: Final = frozenset([".acestep-fetch", ".cache", ".git"])


def why_unsafe_name(name: str) -> str | None:
    """Why `name` may not be a folder's own name below the checkpoints folder (of a model, say); None where it may."""
    return "is no plain name" if "/" in name else why_unsafe(name)


def why_unsafe(path: str) -> str | None:
    """Why `path` may not be written below a folder; None where it may."""
    if len(path.encode(errors="surrogatepass")) > 1024:
        return "is too long"
    for part in path.split("/"):
        if reason := _why_unsafe_part(part):
            return reason
    return "begins with a reserved name" if fold(path.split("/")[0]) in _OURS else None


def _why_unsafe_part(part: str) -> str | None:
    if part in ("", ".", ".."):
        return "is no plain path below its folder"
    if any(ord(c) < 32 or 127 <= ord(c) < 160 or c in _FORBIDDEN or 0xD800 <= ord(c) <= 0xDFFF for c in part):
        return "has characters that not every disk can hold"
    if part.endswith((".", " ")) or part.startswith(" "):
        return "begins or ends in a way that Windows would change"
    if part.split(".")[0].rstrip().lower() in _DEVICES:
        return "is a device name on Windows"
    if len(part.encode()) > 255:
        return "has a name over 255 bytes"
    return None


def check_paths(paths: Iterable[str], *, where: str) -> None:
    """Raises `IntegrityError` that names the first path of `where` that cannot be placed safely."""
    seen: dict[str, str] = {}
    folders: dict[str, str] = {}
    for path in paths:
        if reason := why_unsafe(path):
            raise IntegrityError(f"{where} lists {path!r}, which {reason}", hint=_UNSAFE)
        folded = fold(path)
        if (other := seen.setdefault(folded, path)) != path or folded in folders:
            both = f"{path!r} and {folders.get(folded, other)!r}"
            raise IntegrityError(f"{where} lists {both}, one name on many disks", hint=_UNSAFE)
        parts = folded.split("/")
        for depth in range(1, len(parts)):
            parent = "/".join(parts[:depth])
            folders.setdefault(parent, path)
            if parent in seen:
                raise IntegrityError(f"{where} lists {seen[parent]!r} both as a file and as a folder", hint=_UNSAFE)


def fold(path: str) -> str:
    """The form under which case-insensitive and normalising disks see `path`."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())
