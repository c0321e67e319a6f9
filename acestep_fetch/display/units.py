"""Bytes, rates, durations and shares as people read them. Pure; decimal units (1 GB = 10^9 bytes)."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

_UNIT: Final = re.compile(r"(?<=\d) (?=(?:[kMGT]?i?B|%|ms|s|min|h)(?:/s)?(?![\w-]))")
_UNITS: Final = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB"))


def _unit(count: float) -> tuple[int, str]:
    """The unit in which `count`, rounded to one digit, is written with less than four digits before the point."""
    for scale, name in _UNITS:
        if count >= scale * 0.99995:
            return scale, name
    return 1, "B"


def size(count: float) -> str:
    """``10.1 GB``, ``337.4 MB``, ``425 B``."""
    scale, name = _unit(count)
    return f"{count:.0f} B" if scale == 1 else f"{count / scale:.1f} {name}"


def progress(done: float, total: float) -> str:
    """``4.1/10.1 GB``: both in the unit of the total. Rounded down as `percent` is: the same figure twice only when all
    is done."""
    scale, name = _unit(total)
    if scale == 1:
        return f"{done:.0f}/{total:.0f} B"
    whole = round(10 * total / scale)  # in tenths
    there = whole if done >= total else max(0, min(int(10 * done / scale), whole - 1))
    return f"{there / 10:.1f}/{whole / 10:.1f} {name}"


def rate(per_second: float) -> str:
    """``212 MB/s``, ``9.4 MB/s``, ``0 B/s``."""
    scale, name = _unit(per_second)
    value = per_second / scale
    return f"{value:.{1 if scale > 1 and value < 9.95 else 0}f} {name}/s"


def duration(seconds: float) -> str:
    """``0.2 s``, ``21 s``, ``2 min 05 s``, ``1 h 02 min``."""
    if seconds < 9.95:
        return f"{max(seconds, 0.0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def countdown(seconds: float | None) -> str:
    """``28s``, ``2m05s``, ``1h02m``, ``-`` where nobody knows."""
    if seconds is None:
        return "-"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 360_000:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return ">99h"


def percent(done: float, total: float) -> int:
    """Rounded down: 100 only when all is done. Nothing to do is 100."""
    return 100 if total <= 0 or done >= total else max(0, int(100 * done / total))


def split(whole: int, parts: Mapping[str, int]) -> dict[str, int]:
    """`whole` shared out in proportion to `parts`, in whole numbers that add up (largest remainder first)."""
    total = sum(parts.values())
    if total <= 0:
        return {}
    exact = {name: whole * part / total for name, part in parts.items()}
    shares = {name: int(value) for name, value in exact.items()}
    left = whole - sum(shares.values())
    for name in sorted(exact, key=lambda n: shares[n] - exact[n])[:left]:
        shares[name] += 1
    return shares


def percentages(by_source: Mapping[str, int]) -> dict[str, int]:
    """Each source's share in whole per cent, by name, so that they keep their places; they add up to 100."""
    shares = split(100, {name: count for name, count in by_source.items() if count > 0})
    return dict(sorted(shares.items()))


def plural(count: int, noun: str) -> str:
    """``1 file``, ``26 files``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def one_line(text: str) -> str:
    """`text` without anything a terminal would act on: newlines, escapes, direction marks. For foreign text."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in text).strip()


def wrap(text: str, width: int, indent: str = "") -> list[str]:
    """`text` in lines of at most `width` characters, but for words that are longer (a path is not torn apart); all but
    the first are indented. A figure stays with its unit."""
    if len(text) <= width:
        return [text]
    kept = _UNIT.sub("\xa0", text)  # no space for textwrap
    lines = textwrap.wrap(
        kept, max(width, len(indent) + 20), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return [line.replace("\xa0", " ") for line in lines] or [text]


def cut(text: str, width: int, ellipsis: str = "…") -> str:
    """`text`, and where it is longer than `width` its beginning."""
    return text if len(text) <= width else text[: max(0, width - len(ellipsis))] + ellipsis[:width]


def shorten(path: str, width: int, ellipsis: str = "…") -> str:
    """`path` cut in the middle to at most `width` characters; both ends tell files apart."""
    room = width - len(ellipsis)
    return _cut(path, width, room // 2, ellipsis) if room >= 2 else path[:width]


def shorten_all(paths: Sequence[str], width: int, ellipsis: str = "…") -> list[str]:
    """Each as `shorten` cuts it; those that would look alike are cut where they stay different, as shards do of which
    only a number in the middle tells which is which."""
    short = [shorten(path, width, ellipsis) for path in paths]
    room = width - len(ellipsis)
    for text, count in Counter(short).items():
        alike = [path for path, cut in zip(paths, short, strict=True) if cut == text]
        if count == 1 or len(set(alike)) == 1 or room < 2:
            continue
        heads = (*range(room // 2, -1, -1), *range(room // 2 + 1, room + 1))
        ways = [{path: _cut(path, width, head, ellipsis) for path in alike} for head in heads]
        able = [way for way in ways if len(set(way.values())) == len(way)]
        if able:  # a few characters more than are needed: a whole number reads better than its last digit
            short = [able[:5][-1].get(path, each) for path, each in zip(paths, short, strict=True)]
    return short


def _cut(path: str, width: int, head: int, ellipsis: str) -> str:
    """`path`, and where it is too long its first `head` characters and its last ones."""
    if len(path) <= width:
        return path
    tail = width - len(ellipsis) - head
    return path[:head] + ellipsis + path[len(path) - tail :]
