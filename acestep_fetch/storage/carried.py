"""Needs and bundles as they come from another box, on a medium that anybody may have written: whatever has such a name,
reading it neither waits for ever nor fills the memory."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from acestep_fetch.core.bundle import BUNDLE_NAME, Bundle, Needs, parse_bundle, parse_needs
from acestep_fetch.core.errors import UsageError
from acestep_fetch.storage import platform

MOST: Final = 64 << 20  # bytes of either; the longest known are of less than one MiB

_NEEDS: Final = "the box without a network writes it: acestep-fetch bundle needs"
_BUNDLE: Final = "name the folder that `acestep-fetch bundle create` made"


def read_needs(path: Path) -> Needs:
    """From a file, or from whoever writes into a pipe. Raises `UsageError`."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST + 1)
    except OSError as exc:
        raise UsageError(f"{path}: {exc.strerror or exc}", hint=_NEEDS) from exc
    if len(data) > MOST:
        raise UsageError(f"{path}: it is longer than {MOST >> 20} MiB", hint=_NEEDS)
    return parse_needs(data, path.name)


def read_bundle(folder: Path) -> Bundle:
    """Raises `UsageError`."""
    path = folder / BUNDLE_NAME
    try:
        data = platform.read_whole(path, MOST)
    except OSError as exc:
        raise UsageError(f"{path}: {exc.strerror or exc}", hint=_BUNDLE) from exc
    return parse_bundle(data, path.name)
