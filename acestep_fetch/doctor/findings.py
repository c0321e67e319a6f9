"""What every check says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"  # works, but not as it could, or not for long
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line. `what` was looked at, `detail` was found, `todo` is the next step where one is needed."""

    level: Level
    what: str
    detail: str
    todo: str = ""


def ok(what: str, detail: str, todo: str = "") -> Finding:
    return Finding(Level.OK, what, detail, todo)


def warn(what: str, detail: str, todo: str = "") -> Finding:
    return Finding(Level.WARN, what, detail, todo)


def fail(what: str, detail: str, todo: str = "") -> Finding:
    return Finding(Level.FAIL, what, detail, todo)
