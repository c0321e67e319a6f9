"""What commands that look, and do not run, answer to programs: one JSON document on stdout."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from acestep_fetch.core.errors import FetchError

VERSION: Final = 1  # of the documents; fields may be added to it, and keep their meaning


def print_text(text: str) -> None:
    """Prints lines for other programs: UTF-8, whatever the terminal's encoding is, and ``\\n`` on every system."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))


@contextmanager
def results() -> Iterator[None]:
    """Around what a run prints when it is over: a reader that goes away has what it wanted, and takes no exit code
    along."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        drop_output()


def print_folders(folders: Iterable[str]) -> None:
    """What ``-q`` leaves of a run on stdout: the ready folders, one a line."""
    with results():
        for folder in folders:
            print(folder)


def drop_output() -> None:
    """What is still to be printed goes nowhere, so that nobody else stumbles over it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_document(command: str, body: Mapping[str, Any]) -> None:
    """Prints `body` with the document's version and the command's name before it."""
    print(json.dumps({"v": VERSION, "command": command} | dict(body), indent=2, default=str))


def error_of(error: FetchError) -> dict[str, Any]:
    """What a document's ``error`` says."""
    return {
        "name": error.name,
        "exit_code": error.exit_code,
        "retryable": error.retryable,
        "message": error.message,
        "hint": error.hint,
        "attempts": list(error.attempts),
    }
