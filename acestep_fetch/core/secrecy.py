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
    (r"(?<=://)(?!USER:PASSWORD@)[^/\s@'\"]+@", f"{MASK}@"),  # but for what a hint says to write
    (r"(://[^\s'\"<>?]*\?)[^\s'\"<>]+", rf"\1{MASK}"),
    (r"(?i)([?&][\w-]*(?:signature|token|auth_key|credential|policy|key-pair-id)[\w-]*=)[^\s&'\"<>]+", rf"\1{MASK}"),
    (r"\bhf_[A-Za-z0-9]{8,}", f"hf_{MASK}"),
    (r"\b(Bearer|Basic)\s+[\w.~+/=-]{8,}", rf"\1 {MASK}"),
    (r"(m_session_id=)[^\s;'\"]+", rf"\1{MASK}"),
    (r"(password=)(['\"]).*?\2", rf"\1\2{MASK}\2"),
    (r"(?i)(set-cookie['\"]?[\s:,=]+(?:b?['\"])?)[^\n'\"]+", rf"\1{MASK}"),
)

_remembered = dict[str, re.Pattern[str]]()  # what this process was trusted with, however it may be spelt


class Secret(str):
    """A token, or a text that holds one. Equal to the plain text, and used like it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"'{MASK}'"


def remember(secret: str) -> Secret:
    """`secret`, which `scrubbed` knows from here on."""
    if len(secret) >= _SHORTEST:
        _remembered[secret] = _spellings(secret)
    return Secret(secret)


def scrubbed(text: str) -> str:
    """`text` without what is remembered, and without whatever looks like a secret."""
    for spelling in list(_remembered.values()):  # a thread of an SDK's may bring one
        text = spelling.sub(MASK, text)
    for shape, instead in _shapes():
        text = shape.sub(instead, text)
    return text


def repeats(text: str, headers: Mapping[str, str]) -> bool:
    """Whether `text`, which came from elsewhere, repeats a credential of the request's `headers`."""
    return any(_spellings(token).search(text) for token in _sent(headers))


def without_echo(body: bytes, headers: Mapping[str, str]) -> bytes:
    """A reply's body without the credentials of the request's `headers`: what is made of it may be shown and stored."""
    for token in _sent(headers):
        if b"%" in body or any(part.encode() in body for part in (token, *_in_base64(token))):  # rare, and much faster
            body = _spellings(token).sub(MASK, body.decode("latin-1")).encode("latin-1")
    return body


def _sent(headers: Mapping[str, str]) -> Iterator[str]:
    for value in headers.values():
        if isinstance(value, Secret):
            token = value.removeprefix("Bearer ").removeprefix("m_session_id=")
            if len(token) >= _SHORTEST:
                yield token


@cache
def _shapes() -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((re.compile(shape), instead) for shape, instead in _SHAPES)


@cache
def _spellings(secret: str) -> re.Pattern[str]:
    """Any letter of it may be quoted for a URL, and it may begin anywhere in base64."""
    plain = "".join(f"(?:{re.escape(letter)}|{_quoted(letter)})" for letter in secret)
    return re.compile("|".join([plain, *map(re.escape, _in_base64(secret))]))


def _quoted(letter: str) -> str:
    return "".join(f"%(?i:{byte:02x})" for byte in letter.encode("utf-8", "surrogateescape"))


@cache
def _in_base64(secret: str) -> tuple[str, ...]:
    from base64 import b64encode, urlsafe_b64encode

    found, raw = list[str](), secret.encode("utf-8", "surrogateescape")
    for encode in (b64encode, urlsafe_b64encode):
        for before in range(3):  # three bytes become four letters
            first, last = (
                -(-8 * before // 6),
                8 * (before + len(raw)) // 6,
            )  # of those that the neighbours have no part in
            found.append(encode(b"\0" * before + raw)[first:last].decode())
    return tuple(dict.fromkeys(found))
