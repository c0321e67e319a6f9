"""What commands that look, and do not run, answer to programs: one JSON document on stdout."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from acestep_fetch.core.errors import FetchError

_answered: Final = ContextVar("answered", default=False)

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
    answered()
    print(json.dumps({"v": VERSION, "command": command} | dict(body), indent=2, default=str))


def answered() -> None:
    """A program has its answer on stdout, or nothing but a stream may be there."""
    _answered.set(True)


@contextmanager
def answering(command: str, *, wanted: bool) -> Iterator[None]:
    """Around a command that answers programs: where it fails before its document was printed, and one is `wanted`, the
    document says why."""
    before = _answered.set(False)
    try:
        yield
    except FetchError as error:
        if wanted and not _answered.get():
            with results():
                print_document(command, {"error": error_of(error)})
        raise
    finally:
        _answered.reset(before)


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
