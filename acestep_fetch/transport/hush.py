"""The HTTP libraries log whole addresses and, when debugging, headers: not those of our requests.

Other users of the same libraries in this process keep their logs.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

_LOGGERS: Final = (
    "httpx",
    *(f"httpcore.{part}" for part in ("connection", "http11", "http2", "proxy", "socks")),
    *(f"aiohttp.{part}" for part in ("client", "internal")),
)
_ours: ContextVar[bool] = ContextVar("acestep_fetch_request", default=False)


def _is_foreign(record: logging.LogRecord) -> bool:
    return not _ours.get()


for _name in _LOGGERS:
    logging.getLogger(_name).addFilter(_is_foreign)


@contextmanager
def hushed() -> Iterator[None]:
    """While one of our requests is under way in this task."""
    token = _ours.set(True)
    try:
        yield
    finally:
        _ours.reset(token)
