"""What commands that look, and do not run, answer to programs: one JSON document on stdout."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any, Final

from acestep_fetch.core.errors import FetchError

VERSION: Final = 1  # of the documents; fields may be added to it, and keep their meaning


def print_text(text: str) -> None:
    """Prints lines for other programs: UTF-8, whatever the terminal's encoding is, and ``\\n`` on every system."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))


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
