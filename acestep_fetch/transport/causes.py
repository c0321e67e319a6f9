"""What the system said at the bottom of an exception, under what the libraries made of it."""

from __future__ import annotations

import os
from collections.abc import Iterator


def chain(exc: BaseException) -> Iterator[BaseException]:
    """`exc` and what it was raised from or while, outermost first; of a group the first."""
    seen = set[int]()
    cause: BaseException | None = exc
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = _below(cause)


def _below(exc: BaseException) -> BaseException | None:
    return exc.exceptions[0] if isinstance(exc, BaseExceptionGroup) else exc.__cause__ or exc.__context__


def system_text(exc: BaseException) -> str | None:
    """The system's own words, such as "Connection refused"; None where it said nothing."""
    found = [cause for cause in chain(exc) if isinstance(cause, OSError) and cause.errno]
    if not found:
        return None
    last = found[-1]
    assert last.errno is not None
    return os.strerror(last.errno) if last.errno > 0 else last.strerror  # those of name lookups are negative
