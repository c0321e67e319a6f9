"""What both listings must keep to before they are believed. Pure.

A listing decides what is written to a disk and what counts as complete, so one entry that makes no sense makes
the whole listing worthless: `IntegrityError`, never a partial plan.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from acestep_fetch.core.errors import IntegrityError
from acestep_fetch.core.model import SHA1_HEX, SHA256_HEX, RemoteFile

LARGEST_FILE: Final = 1 << 50  # bytes: beyond that a size is a mistake, not a file

_HINT: Final = "try again, or try the other hub"


def disbelief(title: str, what: str) -> IntegrityError:
    return IntegrityError(f"{title}: the file list cannot be believed: {what}", hint=_HINT)


def parse_json(title: str, body: bytes) -> Any:
    """The body as JSON. Raises `IntegrityError`: a login page of a hotel's network is one, with status 200."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise disbelief(title, "the reply is not JSON") from None


def fields_of(title: str, row: object) -> Mapping[str, Any]:
    if not isinstance(row, dict):
        raise disbelief(title, "an entry is not an object")
    return row


def size_of(title: str, path: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST_FILE:
        raise disbelief(title, f"{path}: the size is not a number of bytes")
    return value


def path_of(title: str, value: object) -> str:
    """A path inside the repository. Both official ModelScope clients write ``../evil.txt`` where it says."""
    if not isinstance(value, str) or not _is_inside(value):
        raise disbelief(title, f"{str(value)[:80]!r} is not a path inside the repository")
    return value


def _is_inside(path: str) -> bool:
    parts = path.split("/")
    odd = any(c == "\\" or ord(c) < 32 or 0xD800 <= ord(c) <= 0xDFFF for c in path)
    return not odd and not any(part in ("", ".", "..") for part in parts)


def sha256_of(value: object) -> str | None:
    """64 hex digits in lower case; None for anything else, such as the asterisks of a masked digest."""
    return _digest(value, SHA256_HEX)


def sha1_of(value: object) -> str | None:
    return _digest(value, SHA1_HEX)


def _digest(value: object, shape: Any) -> str | None:
    folded = value.strip().lower() if isinstance(value, str) else ""
    return folded if shape.fullmatch(folded) else None


def without_duplicates(title: str, files: Iterable[RemoteFile]) -> tuple[RemoteFile, ...]:
    """The files in the hub's order. Raises `IntegrityError` for a path that is listed twice."""
    found = dict[str, RemoteFile]()
    for file in files:
        if file.path in found:
            raise disbelief(title, f"{file.path} is listed twice")
        found[file.path] = file
    return tuple(found.values())
