"""Texts of flags, variables and files, as values. Sizes are bytes, times are seconds; each raises `UsageError`."""

from __future__ import annotations

import re
from pathlib import Path
from types import UnionType
from typing import Final
from urllib.parse import urlsplit

from acestep_fetch.core.errors import UsageError
from acestep_fetch.core.model import HubName

_COUNTS: Final = "write a number such as 8, or leave it out: what goes well is found out"
_SECONDS: Final = "write seconds, as 10 or 2.5"
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)(b?)(?:/s|ps)?", re.IGNORECASE)
_POWERS: Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_TIME: Final = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*(s|m|h|)", re.IGNORECASE)
_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600}
_YES: Final = ("1", "yes", "true", "on")
_NO: Final = ("0", "no", "false", "off")


def parse_size(text: str) -> int:
    """Bytes (or bytes a second) from ``500K``, ``80MB/s``, ``1.5GiB``. ``K`` is 1000, ``Ki`` 1024.

    A lower-case ``b`` is not taken for bits.
    """
    match = _SIZE.fullmatch(text.strip())
    value = float(match[1]) * (1024 if match[3] else 1000) ** _POWERS[match[2].lower()] if match else 0
    if not 1 <= value < 1e18:
        raise UsageError(f"{text!r} is not a size", hint="write it as 500K, 80MB/s or 1.5GiB")
    return int(value)


def parse_source(text: str) -> HubName | None:
    """``huggingface`` | ``modelscope`` | ``auto`` (None)."""
    folded = text.strip().lower()
    if folded in ("", "auto"):
        return None
    try:
        return HubName(folded)
    except ValueError:
        raise UsageError(f"{text!r} is not a source", hint="use huggingface, modelscope or auto") from None


def parse_endpoint(text: str) -> str:
    """A hub's address without its trailing slash; a bare host gets ``https://``. What is wrong is not quoted: it may
    hold a password."""
    value = text.strip()
    if "://" not in value:
        value = f"https://{value}"
    try:
        parts = urlsplit(value)
        usable = parts.scheme.lower() in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:  # a port that is none, an IPv6 address that is none
        usable = False
    if not usable or "@" in parts.netloc or parts.query or parts.fragment or any(c.isspace() for c in value):
        raise UsageError(
            "this is no address of a hub", hint="write it as https://HOST, without user name, password or ?"
        )
    return f"{parts.scheme.lower()}://{parts.netloc}{parts.path.rstrip('/')}"


def parse_count(text: str) -> int:
    """A number of connections or files, from 1 to 256."""
    try:
        return count(int(text), repr(text))
    except ValueError:
        raise UsageError(f"{text!r} is not a whole number from 1 to 256", hint=_COUNTS) from None


def count(value: int, what: str) -> int:
    if not (_is_number(value, int) and 1 <= value <= 256):
        raise UsageError(f"{what} is not a whole number from 1 to 256", hint=_COUNTS)
    return value


def parse_wait(text: str) -> float:
    """Seconds, from ``90``, ``2.5s``, ``5m`` or ``1h``; 0 is allowed."""
    match = _TIME.fullmatch(text.strip())
    if not match:
        raise UsageError(f"{text!r} is not a time", hint="write it as 90, 2.5s, 5m or 1h")
    return float(match[1]) * _UNITS[match[2].lower()]


def parse_seconds(text: str) -> float:
    """As `parse_wait`, above 0."""
    return above_zero(parse_wait(text), "it")


def above_zero(value: float, what: str, hint: str = _SECONDS) -> float:
    if not (_is_number(value, int | float) and 0 < value < float("inf")):
        raise UsageError(f"{what} must be above 0", hint=hint)
    return value


def zero_or_more(value: float, what: str, hint: str = _SECONDS) -> float:
    if not (_is_number(value, int | float) and 0 <= value < float("inf")):
        raise UsageError(f"{what} must be 0 or more", hint=hint)
    return value


def _is_number(value: object, kind: type | UnionType) -> bool:
    """Whatever an untyped caller of Python's says."""
    return isinstance(value, kind) and not isinstance(value, bool)


def parse_switch(text: str) -> bool:
    """Whether a variable of somebody else's is switched on, by the words that huggingface_hub takes for it."""
    return text.strip().upper() in ("1", "ON", "YES", "TRUE")


def parse_yes_no(text: str) -> bool:
    folded = text.strip().lower()
    if folded not in (*_YES, *_NO):
        raise UsageError(f"{text!r} is neither yes nor no", hint=f"use {' or '.join((_YES[1], _NO[1]))}, or 1 or 0")
    return folded in _YES


def parse_name(text: str) -> tuple[str, ...]:
    """One name or several, with commas between them."""
    return tuple(name for part in text.split(",") if (name := part.strip()))


def expanded(text: str) -> Path:
    """A path with ``~`` for the home folder."""
    if "\0" in text:
        raise UsageError(f"{text!r} is no path: there is a NUL in it", hint="write the path without it")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise UsageError(f"{text}: there is no such home folder", hint="write the whole path") from None


def checkpoints_of(root: str) -> Path:
    """Where ACE-Step keeps the checkpoints of a project."""
    return expanded(root) / "checkpoints"
