"""Secrets that can be recognised, and the search for them in whatever left the program.

What is searched for is the core of each secret, which is also found in a repr that was cut: as it is, quoted for a URL,
and in base64 at any place.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

_BASE64: Final = re.compile(rb"[A-Za-z0-9+/_-]{16,}")
_PLAIN: Final = bytes.maketrans(b"-_", b"+/")


@dataclass(frozen=True)
class Mark:
    """`text` is what is given to the program; `core` is nowhere else."""

    name: str
    text: str
    core: str


def mark(name: str, before: str, core: str, after: str = "") -> Mark:
    return Mark(name, f"{before}{core}{after}", core)


HF: Final = mark("Hugging Face token", "hf_", "M4rkedHubToken7Q", "+/=~.z")
MS: Final = mark("ModelScope token", "ms-", "c0ffee00-M4rk-3d5d", "-77/+=")
FILE: Final = mark("Hugging Face token of a file", "hf_", "T0kenFromAF1le9X", "yy")
FLAG: Final = mark("Hugging Face token of the command line", "hf_", "Comm4ndL1neT0ken", "xx")
JAR: Final = mark("ModelScope login of the jar", "jar-", "S4vedSess10nId42", "==")
PROXY: Final = mark("proxy password", "", "Pr0xyP4ssw0rd31", "!x")
ADDRESS: Final = mark("password in an address", "", "Addr3ssP4ssw0rd8", "")
COOKIE: Final = mark("cookie of a hub", "", "C00kie0fTheHub55", "/==")
SIGNATURE: Final = mark("signed query", "", "S1gnedQu3ry0nCdn", "~-a=")
OTHER: Final = mark("another token", "", "An0therT0kenXyz6", "")
MARKS: Final = (HF, MS, FILE, FLAG, JAR, PROXY, ADDRESS, COOKIE, SIGNATURE, OTHER)


def found_in(data: bytes, marks: Iterable[Mark] = MARKS) -> list[Mark]:
    """The secrets that `data` shows, in any of the spellings."""
    texts = [data, unquote_to_bytes(data), *_decoded(data)]
    return [mark for mark in marks if any(mark.core.encode() in text for text in texts)]


def _decoded(data: bytes) -> Iterator[bytes]:
    for run in set(_BASE64.findall(data)):
        for skip in range(4):
            text = run[skip:].translate(_PLAIN)
            whole = text if len(text) % 4 != 1 else text[:-1]  # one letter more is no byte
            yield b64decode(whole + b"=" * (-len(whole) % 4))
