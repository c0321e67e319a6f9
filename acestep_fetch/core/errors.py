"""Everything that can go wrong, as a tree. Facts are attributes, the message is one line, the hint is apart.

::

    FetchError                      exit 1
    ├── UsageError                  exit 2   a flag, a name or a setting is wrong
    ├── NotFoundError               exit 3   no hub has it
    ├── AccessError                 exit 4   every hub refuses
    ├── NetworkError                exit 5   unreachable, stalled or refusing after retries
    │   └── SourceError             one source failed on one request (the engine's own currency)
    ├── IntegrityError              exit 6   wrong bytes from every source
    ├── DiskFullError               exit 7
    ├── DiskError                   exit 8   permission, read-only, I/O, a name the disk refuses
    ├── LeaseError                  exit 9   another process writes here
    ├── StuckError                  exit 1   nothing moves and nothing says why: a fault of this program
    ├── PartialError                exit 10  some models are ready and some are not
    ├── IncompleteError             exit 11  what was only looked at is not whole; nothing was changed
    ├── LockedError                 exit 12  the hubs have something else than the lock says
    └── StoppedError                exit 130 whoever had it run told it to stop

Exit codes are stable; any other non-zero code means failure too.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import ClassVar

from acestep_fetch.core.secrecy import scrubbed


class FetchError(Exception):
    """The root. ``exit_code`` is the process's, ``retryable`` says whether running again can help.

    No message, hint or attempt holds a secret: what the server or a library said may quote one.
    """

    exit_code: ClassVar[int] = 1
    retryable: bool = False
    name: ClassVar[str] = "failure"

    def __init__(self, message: str, *, hint: str | None = None, attempts: Sequence[str] = ()) -> None:
        self.message = scrubbed(message)
        super().__init__(self.message)
        self.hint = scrubbed(hint) if hint else None
        self.attempts = tuple(map(scrubbed, attempts))  # one line per thing that was tried, newest last


class UsageError(FetchError):
    exit_code = 2
    name = "usage"


class NotFoundError(FetchError):
    """`of_revision` says that the repository is there, and only the revision is not."""

    exit_code = 3
    name = "not-found"

    def __init__(
        self, message: str, *, hint: str | None = None, attempts: Sequence[str] = (), of_revision: bool = False
    ) -> None:
        super().__init__(message, hint=hint, attempts=attempts)
        self.of_revision = of_revision


class AccessError(FetchError):
    exit_code = 4
    name = "access"


class NetworkError(FetchError):
    exit_code = 5
    retryable = True
    name = "network"


class Failure(StrEnum):
    """Why one request to one source failed; `core.retry` turns it into what to do next."""

    UNREACHABLE = "unreachable"  # no connection, reset, timeout, TLS: about the host
    UNTRUSTED = "certificate not trusted"  # about the host, and no retry helps
    PROXY_REFUSES = "proxy refuses"  # about the way there, and no retry helps
    STALLED = "stalled"  # connected, and then silence: about the connection
    SHORT = "short body"  # the body ended early: about the connection
    BUSY = "busy"  # 408, 425, 429, 5xx: about the host, which may say for how long
    EXPIRED = "link expired"  # 401, 403, 410 from a signed URL: resolve again
    MISSING = "missing"  # 404: about the file
    REFUSED = "access refused"  # 401, 403 from the hub itself: about the repository
    BAD_TOKEN = "token not accepted"  # a hub refuses the token, even for public files
    NO_RANGES = "ranges not honoured"  # the whole file came where a part was asked for
    WRONG_REPLY = "wrong reply"  # the reply does not match the question
    WRONG_BYTES = "wrong bytes"  # the content is not what the digest says


class SourceError(NetworkError):
    """One request to one source failed. The engine's own currency: it retries, goes elsewhere, or gives up.

    `retry_after` is in seconds, as the server asked; None where it did not. `of_resolver` says that the hub's metered
    resolver refused, which is no word about its content network.
    """

    name = "source"

    def __init__(
        self,
        failure: Failure,
        message: str,
        *,
        hint: str | None = None,
        retry_after: float | None = None,
        of_resolver: bool = False,
    ) -> None:
        super().__init__(message, hint=hint)
        self.failure = failure
        self.retry_after = retry_after
        self.of_resolver = of_resolver


class IntegrityError(FetchError):
    exit_code = 6
    name = "integrity"


class DiskFullError(FetchError):
    exit_code = 7
    name = "disk-full"


class DiskError(FetchError):
    exit_code = 8
    name = "disk"


class LeaseError(FetchError):
    exit_code = 9
    retryable = True
    name = "lease"


class StuckError(FetchError):
    """The watchdog's: a run that stood still. What is there is kept."""

    retryable = True
    name = "stuck"

    def __init__(self, message: str) -> None:
        super().__init__(message, hint="what is there is kept: run the same command again, and please report this (-v)")


class PartialError(FetchError):
    """`retryable` where one of its causes is."""

    exit_code = 10
    retryable = True
    name = "partial"

    def __init__(
        self, message: str, *, hint: str | None = None, attempts: Sequence[str] = (), retryable: bool = True
    ) -> None:
        super().__init__(message, hint=hint, attempts=attempts)
        self.retryable = retryable


class IncompleteError(FetchError):
    """Of commands that look and change nothing: what they were asked about is not there, not whole, or not right."""

    exit_code = 11
    name = "incomplete"


class LockedError(FetchError):
    exit_code = 12
    name = "locked"


class StoppedError(FetchError):
    """Only in the Python API: of the program, a signal's number makes the exit code."""

    exit_code = 130
    retryable = True
    name = "stopped"

    def __init__(self) -> None:
        super().__init__("the download was stopped", hint="start it again: what has arrived is kept")
