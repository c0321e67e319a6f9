"""The fault corpus: what the servers do, and what is promised.

Each row is run on real sockets against two embedded hubs that have the same repository. Whatever happens, no wrong byte
ever lies under a final name; a run that fails says why with its exit code, and once the fault is gone the next run ends
well and goes on from what is there. `Row.exit` is the exit code promised; 0 means that the whole tree is right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

from acestep_fetch.core.model import HubName
from tests.corpus.lies import (
    HTML,
    POINTER,
    Aborted,
    Garbled,
    Hops,
    Listed,
    Longer,
    Moved,
    Names,
    Raw,
    Rows,
    SetHeaders,
    Swapped,
    TwiceHeader,
)
from tests.support.faults import (
    Action,
    Cut,
    Delay,
    DropConnection,
    FlipBit,
    GzipBody,
    IgnoreRange,
    JsonErrorAsFile,
    Kind,
    RedirectLoop,
    Rule,
    ShiftContentRange,
    Stall,
    Status,
    Throttle,
    Truncate,
    WrongTotal,
    too_many,
)

MORE: Final = b"X-More: " + b"y" * 4000 + b"\r\n"  # a header; twenty are more than anybody reads
HF, MS = HubName.HUGGINGFACE, HubName.MODELSCOPE
MIB: Final = 1 << 20
FILES: Final = {"large.bin": 3 * MIB, "middle.bin": MIB + 4097, "vocab.txt": 60_000, "config.json": 300, "empty": 0}
LARGE: Final = "large.bin"
SMALL: Final = "vocab.txt"


@dataclass(frozen=True)
class Row:
    name: str
    hf: tuple[Rule, ...] = ()
    ms: tuple[Rule, ...] = ()
    exit: int = 0
    settings: dict[str, Any] = field(default_factory=dict)  # of the options and of the hubs (`lifetime`, `throttle`)

    def rules(self, hub: HubName) -> list[Rule]:
        return [replace(rule) for rule in (self.hf if hub is HF else self.ms)]


# -- statuses: at each step, once, thrice and always, at one hub and at both ------------------------------------------

STEPS: Final = {"list": Kind.API, "resolver": Kind.RESOLVER, "content": Kind.CONTENT}
STATUSES: Final = (400, 401, 403, 404, 408, 410, 416, 429, 500, 502, 503, 504)
TIMES: Final = {"once": 1, "thrice": 3, "always": None}
BUSY: Final = (408, 429, 500, 502, 503, 504)


def _status_rows() -> Iterator[Row]:
    for step, kind in STEPS.items():
        for code in STATUSES:
            for times, first in TIMES.items():
                rule = Rule(Status(code), kind=kind, first=first)
                yield Row(f"{step} {code} {times} at one hub", hf=(rule,))
                if code in BUSY and first:
                    yield Row(f"{step} {code} {times} at both hubs", hf=(rule,), ms=(rule,))
                elif code in BUSY:
                    yield Row(f"{step} {code} {times} at both hubs", hf=(rule,), ms=(rule,), exit=5)


def _both(name: str, action: Action, code: int, **how: Any) -> Row:
    rule = Rule(action, **how)
    return Row(f"{name}, at both hubs", hf=(rule,), ms=(rule,), exit=code)


def _one(name: str, action: Action, **how: Any) -> Row:
    return Row(f"{name}, at one hub", hf=(Rule(action, **how),))


def _lies() -> Iterator[Row]:
    for name, action, at_both in BODIES:
        for path in (LARGE, SMALL):
            yield _one(f"{path}: {name}", action, path=path, kind=_bytes_of(path))
            if at_both is not None:
                yield _both(f"{path}: {name}", action, at_both, path=path, kind=_bytes_of(path))


def _bytes_of(path: str) -> Kind:
    return Kind.CONTENT if path == LARGE else Kind.RESOLVER


# name, what is done to the replies that carry a file, and the exit code where both hubs always do it: 5 where nobody
# answers, 6 where what comes is never what was asked for
BODIES: Final[tuple[tuple[str, Action, int | None], ...]] = (
    ("the range is ignored", IgnoreRange(), 0),
    ("the range is shifted by one", ShiftContentRange(1), 6),
    ("the range is shifted by a piece", ShiftContentRange(1 << 20), 6),
    ("the total is one byte more", WrongTotal(1), 6),
    ("the total is one byte less", WrongTotal(-1), 6),
    ("no Content-Range", SetHeaders({"Content-Range": None}, status=206), 6),
    ("a Content-Range of words", SetHeaders({"Content-Range": "bytes one-two/three"}), 6),
    ("a Content-Range of negative numbers", SetHeaders({"Content-Range": "bytes -5--1/100"}), 6),
    ("two Content-Ranges", TwiceHeader("Content-Range", "bytes 0-1/2"), None),
    ("two Content-Lengths", TwiceHeader("Content-Length", "17"), None),
    ("a Content-Length of words", Raw(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nabc"), 6),
    ("cut short, FIN", Truncate(20_000, Cut.CLOSE), None),
    ("cut short, RST", Truncate(20_000, Cut.RESET), None),
    ("cut short, a clean end", Truncate(20_000, Cut.SHORT_LENGTH), 6),
    ("cut short, chunked", Truncate(20_000, Cut.CHUNKED), None),
    ("longer than announced in the list", Longer(), 6),
    ("longer, without a length", Longer(announced=False), None),
    ("compressed", GzipBody(), 6),
    ("said to be compressed", SetHeaders({"Content-Encoding": "br"}), 6),
    ("a page to log in", Status(200, {"Content-Type": "text/html"}, HTML), 6),
    ("an empty 200", Status(200), 6),
    ("an empty 206", Status(206), 6),
    ("204", Status(204), 6),
    ("an error as a file", JsonErrorAsFile(), 6),
    ("the LFS pointer", Status(200, {}, POINTER), 6),
    ("another content", Swapped(), 6),
    ("zeros", Swapped(b"\0"), 6),
    ("a bit flipped", FlipBit(12_345), 6),
    ("silence before the headers", Delay(None), 5),
    ("silence after some bytes", Stall(10_000), None),
    ("silence at once", Stall(0), 5),
    ("a crawl", Throttle(500), None),
    ("a crawling byte at a time in the head", Raw(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"a", 0.05), 5),
    ("headers without an end", Raw(b"HTTP/1.1 200 OK\r\n" + MORE * 20, MORE), 6),
    ("one header without an end", Raw(b"HTTP/1.1 200 OK\r\nX-More: " + b"y" * 80_000, b"y" * 4000), 6),
    ("not HTTP at all", Raw(b"SSH-2.0-OpenSSH_9.2\r\n"), 6),
    ("a status that is none", Raw(b"HTTP/1.1 abc Hm\r\n\r\n"), 6),
    ("a connection that is closed", Raw(b""), 5),
    ("a chunk size that is none", Raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), 6),
    ("RST before the reply", DropConnection(), 5),
    ("RST within the head", Aborted(), 5),
    ("a redirect to itself", RedirectLoop(), 6),
    ("a hundred redirects", Hops(100), 6),
    ("three redirects", Hops(3), 0),
    ("a redirect to nowhere", Moved("http://127.0.0.1:1/x"), 5),
    ("a redirect to a file on this disk", Moved("file:///etc/passwd"), 6),
    ("a redirect to another scheme", Moved("ftp://127.0.0.1/x"), 6),
    ("a redirect that is no address", Moved("http://[bad/x"), 6),
    ("a redirect without a target", Status(302), 6),
    (
        "multipart ranges",
        SetHeaders({"Content-Type": "multipart/byteranges; boundary=x", "Content-Range": None}, 206),
        6,
    ),
    ("100 Continue for ever", Raw(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.001), 5),
)

# -- once only: both hubs, so that the file is fetched right in the end -----------------------------------------------


def _once() -> Iterator[Row]:
    for name, action, _ in BODIES:
        if isinstance(action, Throttle):
            continue
        rule = Rule(action, path=LARGE, kind=Kind.CONTENT, first=1)
        yield Row(f"{LARGE}: {name}, once, the only hub", hf=(rule,), ms=DEAD)


DEAD: Final = (Rule(DropConnection(), method=None),)

# -- lists ------------------------------------------------------------------------------------------------------------


def _row(rows: Rows, names: Names, path: str) -> dict[str, Any]:
    return next(row for row in rows if row[names.path] == path)


def _with(path: str, change: Callable[[dict[str, Any], Names], dict[str, Any]]) -> Listed:
    def edit(rows: Rows, names: Names) -> Rows:
        return [change(row, names) if row[names.path] == path else row for row in rows]

    return Listed(edit)


def _sized(path: str, size: Any) -> Listed:
    def change(row: dict[str, Any], names: Names) -> dict[str, Any]:
        lfs = {"lfs": {**row["lfs"], "size": size}} if "lfs" in row else {}
        return {**row, names.size: size, **lfs}

    return _with(path, change)


def _digest(path: str, digest: Any) -> Listed:
    def change(row: dict[str, Any], names: Names) -> dict[str, Any]:
        if "Sha256" in row:
            return {**row, "Sha256": digest}
        if "lfs" in row:
            key = "sha256" if "sha256" in row["lfs"] else "oid"
            return {**row, "lfs": {**row["lfs"], key: digest}}
        return {**row, "blobId" if "blobId" in row else "oid": digest}

    return _with(path, change)


def renamed(path: str, name: Any) -> Listed:
    return _with(path, lambda row, names: {**row, names.path: name})


def _digest_of(other: str) -> Listed:
    """The large file is said to be what `other` is, with its own size."""

    def edit(rows: Rows, names: Names) -> Rows:
        told = _row(rows, names, other)

        def change(row: dict[str, Any], names: Names) -> dict[str, Any]:
            size = {names.size: row[names.size]}
            lfs = {"lfs": {**told["lfs"], "size": row["lfs"]["size"]}} if "lfs" in row and "lfs" in told else {}
            return {**row, **told, names.path: LARGE, **size, **lfs}

        return [change(row, names) if row[names.path] == LARGE else row for row in rows]

    return Listed(edit)


def _twice(rows: Rows, names: Names) -> Rows:
    return [*rows, _row(rows, names, LARGE)]


# name, what happens to a list, the exit code where both hubs' lists are like that
LISTS: Final[tuple[tuple[str, Action, int | None], ...]] = (
    ("a negative size", _sized(LARGE, -1), 6),
    ("an absurd size", _sized(LARGE, 1 << 62), 6),
    ("a size beyond 64 bits", _sized(LARGE, 1 << 70), 6),
    ("a size in words", _sized(LARGE, "big"), 6),
    ("no size", _sized(LARGE, None), 6),
    ("a size that is true", _sized(LARGE, True), 6),
    ("a size with a fraction", _sized(LARGE, 12.5), 6),
    ("one byte too many", _sized(LARGE, 3 * MIB + 1), 6),
    ("one byte too few", _sized(LARGE, 3 * MIB - 1), 6),
    ("a path twice", Listed(_twice), 6),
    ("a path that leads out", renamed(LARGE, "../large.bin"), 6),
    ("an absolute path", renamed(LARGE, "/etc/large.bin"), 6),
    ("a path with NUL", renamed(LARGE, "large\0.bin"), 6),
    ("an empty path", renamed(LARGE, ""), 6),
    ("a path that is a number", renamed(LARGE, 17), 6),
    ("a path with backslashes", renamed(LARGE, "..\\large.bin"), 6),
    ("no digest", _digest(LARGE, None), 6),
    ("a masked digest", _digest(LARGE, "*" * 64), 6),
    ("a digest of zeros", _digest(LARGE, "0" * 64), 6),
    ("the digest of a large file of another size", _digest_of("middle.bin"), 6),
    ("the digest of a small file of another size", _digest_of(SMALL), 0),  # Hugging Face keeps its row for LFS
    ("a digest that is too short", _digest(LARGE, "abc"), 6),
    ("rows that are no objects", Listed(lambda rows, names: [1, 2, 3]), 6),  # type: ignore[list-item]
    ("nothing", Garbled(b""), 6),
    ("half of the JSON", Garbled(b'{"Code": 200, "siblings": [{"rfilename": "la'), 6),
    ("JSON that is a number", Garbled(b"17"), 6),
    ("JSON that is nested too deep", Garbled(b"[" * 100_000), 6),
    ("invalid UTF-8", Garbled(b'{"sha": "\xff\xfe", "Code": 200}'), 6),
    ("a page to log in", Garbled(HTML, {"Content-Type": "text/html"}), 6),
    ("70 MB of JSON", Garbled(b'{"a": "' + b"x" * (70 << 20) + b'"}'), 5),
    ("a body that is not gzip", Garbled(b"not gzip", {"Content-Encoding": "gzip"}), 5),
    ("a redirect to itself", RedirectLoop(), 5),
    ("a redirect to another scheme", Moved("file:///etc/passwd"), 5),
    ("RST", DropConnection(), 5),
    ("not HTTP at all", Raw(b"SSH-2.0-OpenSSH_9.2\r\n"), 5),
    ("headers without an end", Raw(b"HTTP/1.1 200 OK\r\n" + MORE * 20, MORE), 5),
)


def _list_rows() -> Iterator[Row]:
    for name, action, at_both in LISTS:
        yield Row(f"list: {name}, at the second hub", ms=(Rule(action, kind=Kind.API),))
        yield Row(f"list: {name}, at the preferred hub", hf=(Rule(action, kind=Kind.API),))
        if at_both is not None:
            rule = Rule(action, kind=Kind.API)
            yield Row(f"list: {name}, at both hubs", hf=(rule,), ms=(rule,), exit=at_both)


# -- the rest ---------------------------------------------------------------------------------------------------------

MORE: Final = (
    Row("links that live two seconds", settings={"lifetime": 2.0, "throttle": 150_000.0}),
    Row(
        "both hubs fail in turns",
        hf=(Rule(Status(503), nth=3), Rule(Truncate(9000, Cut.RESET), nth=6)),
        ms=(Rule(Status(503), nth=4), Rule(Truncate(9000, Cut.RESET), nth=7)),
    ),
    Row(
        "each body is cut at a megabyte, at both hubs",
        hf=(Rule(Truncate(MIB // 2, Cut.RESET), path=LARGE),),
        ms=(Rule(Truncate(MIB // 2, Cut.RESET), path=LARGE),),
    ),
    Row(
        "429 thrice, come back in a second",
        hf=(Rule(too_many(1), kind=Kind.RESOLVER, first=3),),
        ms=(Rule(too_many(1), kind=Kind.RESOLVER, first=3),),
    ),
    Row("429 for ever with a wait of a day", hf=(Rule(too_many(86400), kind=Kind.RESOLVER),)),
    Row("a hub that is dead", hf=DEAD),
    Row("the other hub is dead", ms=DEAD),
    Row("both are dead", hf=DEAD, ms=DEAD, exit=5),
    Row("both are slow to answer", hf=(Rule(Delay(0.1)),), ms=(Rule(Delay(0.15)),)),
)


ROWS: Final = (*_status_rows(), *_lies(), *_once(), *_list_rows(), *MORE)
