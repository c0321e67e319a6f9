"""What must not be seen: a text that hides itself, and the last look at texts that people and programs will see.

A `Secret` is an ordinary str for whoever sends it. Its repr is masked, so no repr of an object, of locals or of headers
shows it. What is `remember`ed is also taken out of every text that passes `scrubbed`, however it is spelt there; so are
the shapes that secrets have (signed queries, user names and passwords in addresses, credentials in headers). All
messages of errors pass, and everything that Python itself writes to the program's stderr.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Final

MASK: Final = "***"
_SHORTEST: Final = 8  # characters: what is shorter is found in innocent words too

_SHAPES: Final = (
    (r"(?<=://)[^/\s@'\"]+@", f"{MASK}@"),
    (r"(://[^\s'\"<>?]*\?)[^\s'\"<>]+", rf"\1{MASK}"),
    (r"(?i)([?&][\w-]*(?:signature|token|auth_key|credential|policy|key-pair-id)[\w-]*=)[^\s&'\"<>]+", rf"\1{MASK}"),
    (r"\bhf_[A-Za-z0-9]{8,}", f"hf_{MASK}"),
    (r"\b(Bearer|Basic)\s+[\w.~+/=-]{8,}", rf"\1 {MASK}"),
    (r"(m_session_id=)[^\s;'\"]+", rf"\1{MASK}"),
    (r"(password=)(['\"]).*?\2", rf"\1{MASK}"),
)

_remembered = dict[str, None]()  # spellings of what this process was trusted with, in the order they came


class Secret(str):
    """A token, or a text that holds one. Equal to the plain text, and used like it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"'{MASK}'"


def remember(secret: str) -> Secret:
    """`secret`, which `scrubbed` knows from here on."""
    if len(secret) >= _SHORTEST and secret not in _remembered:
        _remembered.update(dict.fromkeys(_spellings(secret)))
    return Secret(secret)


def scrubbed(text: str) -> str:
    """`text` without what is remembered, and without whatever looks like a secret."""
    for spelling in _remembered:
        text = text.replace(spelling, MASK)
    for shape, instead in _shapes():
        text = shape.sub(instead, text)
    return text


def repeats(text: str, headers: Mapping[str, str]) -> bool:
    """Whether `text`, which came from elsewhere, repeats a credential of the request's `headers`."""
    return any(spelling in text for spelling in _sent(headers))


def without_echo(body: bytes, headers: Mapping[str, str]) -> bytes:
    """A reply's body without the credentials of the request's `headers`: what is made of it may be shown and stored."""
    for spelling in _sent(headers):
        body = body.replace(spelling.encode(), MASK.encode())
    return body


def _sent(headers: Mapping[str, str]) -> Iterator[str]:
    for value in headers.values():
        if isinstance(value, Secret):
            token = value.removeprefix("Bearer ").removeprefix("m_session_id=")
            yield from _spellings(token) if len(token) >= _SHORTEST else ()


@cache
def _shapes() -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((re.compile(shape), instead) for shape, instead in _SHAPES)


@cache
def _spellings(secret: str) -> tuple[str, ...]:
    """As it is, quoted for a URL, and in base64 wherever it begins there."""
    from base64 import b64encode, urlsafe_b64encode
    from urllib.parse import quote, quote_plus

    plain, found = secret.encode(), [secret, quote(secret, safe=""), quote_plus(secret), repr(secret)[1:-1]]
    for encode in (b64encode, urlsafe_b64encode):
        for before in range(3):  # three letters become four: the first and the last four depend on the neighbours
            text = encode(b"\0" * before + plain).decode().rstrip("=")
            found.append(text[4 if before else 0 : len(text) // 4 * 4])
    return tuple(dict.fromkeys(spelling for spelling in found if len(spelling) >= _SHORTEST))
