"""huggingface_hub's notes beside a local folder, written so that ``hf download --local-dir`` finds our files current.

Format read off huggingface_hub 2.4.0, ``_local_folder.py``: ``<dir>/.cache/huggingface/download/<path>.metadata`` with
three lines, commit, etag (sha256 for LFS files, git blob id otherwise) and the time of writing, which must not lie
before the file's modification time. ModelScope's modern client needs nothing: it compares size and sha256.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TAG: Final = (
    "Signature: 8a477f597d28d172789f06886806bc55\n"
    "# This file is a cache directory tag created by huggingface_hub.\n"
    "# For information about cache directory tags, see:\n"
    "#\thttps://bford.info/cachedir/\n"
)


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file as Hugging Face's snapshot names it; `etag` is what its resolver would send."""

    path: str
    etag: str


def write_metadata(folder: Path, commit: str, files: Iterable[HubFile]) -> None:
    """Writes the notes for `files` of `commit` under `folder` (the download's local_dir). Raises OSError."""
    cache = folder / ".cache" / "huggingface"
    downloads = cache / "download"
    downloads.mkdir(parents=True, exist_ok=True)
    for name, text in ((".gitignore", "*"), ("CACHEDIR.TAG", _TAG)):
        if not (cache / name).exists():
            (cache / name).write_text(text, "utf-8")
    for file in files:
        note = downloads / f"{file.path}.metadata"
        with contextlib.suppress(OSError):  # a note too many letters long is only a note
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(f"{commit}\n{file.etag}\n{time.time()}\n", "utf-8")
