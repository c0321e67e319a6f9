"""The signs that lines are written with: real typography, or ASCII where the stream cannot carry it."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Glyphs:
    good: str
    bad: str
    warn: str
    arrow: str
    dot: str
    ellipsis: str
    done: str  # a cell of a bar that is full
    rest: str  # and one that is not
    block: str  # the legend of a bar's colour


UNICODE: Final = Glyphs("✓", "✗", "!", "→", "·", "…", "━", "─", "■")
ASCII: Final = Glyphs("ok", "error:", "!", "->", "-", "...", "#", ".", "")


def for_encoding(encoding: str | None) -> Glyphs:
    """ASCII unless `encoding` is some spelling of UTF-8."""
    try:
        return UNICODE if codecs.lookup(encoding or "ascii").name == "utf-8" else ASCII
    except LookupError:
        return ASCII
