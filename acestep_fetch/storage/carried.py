"""Needs and bundles as they come from another box, on a medium that anybody may have written: whatever has such a name,
reading it neither waits for ever nor fills the memory."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from acestep_fetch.core.bundle import BUNDLE_NAME, Bundle, Needs, parse_bundle, parse_needs
from acestep_fetch.core.errors import UsageError
from acestep_fetch.storage import platform
from acestep_fetch.storage.lockfile import MOST, read_text

_NEEDS: Final = "the box without a network writes it: acestep-fetch bundle needs"
_BUNDLE: Final = "name the folder that `acestep-fetch bundle create` made"


def read_needs(path: Path) -> Needs:
    """From a file, or from whoever writes into a pipe. Raises `UsageError`."""
    return parse_needs(read_text(path, _NEEDS), path.name)


def read_bundle(folder: Path) -> Bundle:
    """Raises `UsageError`."""
    path = folder / BUNDLE_NAME
    try:
        data = platform.read_whole(path, MOST)
    except OSError as exc:
        raise UsageError(f"{path}: {exc.strerror or exc}", hint=_BUNDLE) from exc
    return parse_bundle(data, path.name)
