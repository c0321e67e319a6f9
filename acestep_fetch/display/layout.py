"""The live block of the terminal, as rows of styled text. Pure: a view and a width in, rows out.

::

     62% ━━━━━━━━━━━━━━━━━━━━━━━━━━━─────────────────  6.3/10.1 GB  214 MB/s  eta 18s
         ■ Hugging Face 71 %  ■ ModelScope 29 %  ■ reused 2.1 GB  files 17/26
         acestep-5Hz-lm-1.7B/model.safetensors   38% ━━━━━━──────────  1.4/3.7 GB

The colours of the bar are the hubs' shares. No row is wider than `width`; what does not fit is left out from the
right, least important first.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from acestep_fetch.display import units
from acestep_fetch.display.glyphs import Glyphs
from acestep_fetch.display.names import title
from acestep_fetch.display.plain import waited_for
from acestep_fetch.display.tally import Busy, Phase, View

WIDEST: Final = 110
INDENT: Final = "     "
NARROW: Final = 45  # columns for a file's name and bar: with less, a long name goes before the bar
NARROWEST: Final = 10  # cells of a file's bar
STALLED: Final = 5.0  # seconds without bytes after which the block says so
_COLOURS: Final = {"huggingface": "yellow", "modelscope": "magenta"}
_OTHERS: Final = ("cyan", "green", "blue", "red")


class Span(NamedTuple):
    text: str
    style: str = ""


Row = list[Span]


def block(view: View, width: int, height: int, glyphs: Glyphs) -> list[Row]:
    """The whole block, at most `width` columns and `height` rows (but never less than one)."""
    width = min(width, WIDEST)
    if not view.total:
        return [_cut([Span(f" {waited_for(view)}", "dim")], width, glyphs)]
    rows = [_total(view, width, glyphs), _legend(view, width, glyphs)]
    if view.phase is not Phase.DOWNLOADING or view.idle >= STALLED:
        rows.append([Span(INDENT + waited_for(view), "yellow")])
    rows += _files(view, width, glyphs)
    return [_cut(row, width, glyphs) for row in rows[: max(1, height)]]


def _total(view: View, width: int, glyphs: Glyphs) -> Row:
    room = units.progress(view.total, view.total)
    fields = [f"{units.progress(view.done, view.total):>{len(room)}}"]
    if view.phase is Phase.DOWNLOADING:
        fields += [f"{units.rate(view.speed):>8}", f"{'eta ' + units.countdown(view.eta):<9}"]
    while len(fields) > 1 and _right(fields) + len(INDENT) + 8 > width:
        fields.pop()
    cells = max(1, width - len(INDENT) - _right(fields))
    head = Span(f"{units.percent(view.done, view.total):3d}% ", "bold")
    return [head, *_bar(view, cells, glyphs), Span("".join(f"  {field}" for field in fields))]


def _right(fields: list[str]) -> int:
    return sum(2 + len(field) for field in fields)


def _bar(view: View, cells: int, glyphs: Glyphs) -> Row:
    full = cells if view.done >= view.total else int(cells * view.done / view.total)
    parts = units.split(full, {"": view.reused} | _fetched(view))
    spans = [Span(glyphs.done * count, colour(view, source)) for source, count in parts.items() if count]
    return [*spans, Span(glyphs.rest * (cells - full), "bright_black")]


def _fetched(view: View) -> dict[str, int]:
    """What each source has to its credit in the bar: its part of what is done and was not here before."""
    return units.split(view.done - view.reused, dict(sorted(view.by_source.items())))


def colour(view: View, source: str) -> str:
    """A hub has its own colour, another source one by its place, and what was here before is white."""
    if not source:
        return "white"
    others = sorted(name for name in view.by_source if name not in _COLOURS)
    return _COLOURS.get(source) or _OTHERS[others.index(source) % len(_OTHERS)]


def _legend(view: View, width: int, glyphs: Glyphs) -> Row:
    block = f"{glyphs.block} " if glyphs.block else ""
    entries: list[Row] = [
        [Span(block, colour(view, source)), Span(f"{units.one_line(title(source))} {share} %")]
        for source, share in units.percentages(view.by_source).items()
    ]
    if view.reused:
        entries.append([Span(block, "white"), Span(f"reused {units.size(view.reused)}")])
    entries.append([Span(f"files {view.files_done}/{view.files_total}", "dim")])
    row: Row = [Span(INDENT)]
    for entry in entries:
        gap = [Span("  ")] if len(row) > 1 else []
        if _width([*row, *gap, *entry]) <= width:
            row += [*gap, *entry]
    return row


def _files(view: View, width: int, glyphs: Glyphs) -> list[Row]:
    amounts = [units.progress(busy.done, busy.size) for busy in view.busy]
    right = max(map(len, amounts), default=0)
    longest = max((len(busy.path) for busy in view.busy), default=0)
    room = width - len(INDENT) - len(" 100% ") - len("  ") - right
    name_width = max(8, min(longest, room if room < NARROW else room - NARROWEST))
    names = units.shorten_all([units.one_line(busy.path) for busy in view.busy], name_width, glyphs.ellipsis)
    return [
        _file(busy, f"{name:<{name_width}}", room - name_width, f"  {amount:>{right}}", glyphs)
        for busy, name, amount in zip(view.busy, names, amounts, strict=True)
    ]


def _file(busy: Busy, name: str, cells: int, amount: str, glyphs: Glyphs) -> Row:
    cells = min(cells, 24) if cells >= 4 else 0
    full = int(cells * busy.done / busy.size) if busy.size else cells
    return [
        Span(f"{INDENT}{name}", "dim"),
        Span(f" {units.percent(busy.done, busy.size):3d}% "),
        Span(glyphs.done * full, "cyan"),
        Span(glyphs.rest * (cells - full), "bright_black"),
        Span(amount, "dim"),
    ]


def _width(row: Row) -> int:
    return sum(len(span.text) for span in row)


def _cut(row: Row, width: int, glyphs: Glyphs) -> Row:
    """`row`, cut at the end to `width`."""
    if _width(row) <= width:
        return row
    kept, room = list[Span](), width - len(glyphs.ellipsis)
    for span in row:
        kept.append(Span(span.text[:room], span.style))
        room -= len(kept[-1].text)
    return [*kept, Span(glyphs.ellipsis)]
