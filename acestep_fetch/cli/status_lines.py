"""A folder's status as text: who is at work, what was asked for, what is left over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from acestep_fetch.display.units import duration, one_line, percent, plural, progress, shorten, shorten_all, size
from acestep_fetch.engine.standing import KILL_COSTS, Asked, Running, State, Status

_WIDE: Final = 120


def lines(status: Status, now: float, width: int = _WIDE) -> Iterator[str]:
    """At most `width` characters each; `now` is in epoch seconds."""
    room = max(20, width - 40)
    yield f"folder: {status.folder}"
    yield from ([at_work(status.running, now)] if status.running else [])
    if not status.asked and not status.parts:
        yield "nothing was fetched into it yet"
    for asked in status.asked:
        yield f"  {shorten(title(asked), room)}: {_state(asked)}"
    if status.parts:
        held = sum(part.held for part in status.parts)
        yield f"{plural(len(status.parts), 'unfinished file')}, {size(held)} held:"
    names = shorten_all([part.path or f"of {part.digest}, for nothing that was begun" for part in status.parts], room)
    for part, name in zip(status.parts, names, strict=True):
        yield f"  {name}{far(part.held, part.size)}, {duration(max(0.0, now - part.written))} ago"
    if status.running:
        yield f"a kill now costs at most {KILL_COSTS >> 20} MiB per connection"


def at_work(running: Running, now: float) -> str:
    """``process 12 on host is at work on main for 2 min 05 s: 41 %, 4.1/10.1 GB``"""
    what = f" on {', '.join(running.models)}" if running.models else ""
    since = f" for {duration(now - running.since)}" if running.since else ""
    return one_line(f"{running} is at work{what}{since}{far(running.done, running.total)}")


def far(done: int, total: int) -> str:
    """``: 41 %, 4.1/10.1 GB``; nothing where there is no plan yet."""
    return f": {percent(done, total)} %, {progress(done, total)}" if total else ""


def title(asked: Asked) -> str:
    """``main``, or ``main (include *.json)``."""
    if not asked.selection:
        return one_line(asked.model)
    said = [f"{k} {' '.join(v) if isinstance(v, list) else v}" for k, v in asked.selection.items()]
    return one_line(f"{asked.model} ({', '.join(said)})")


def states(status: Status) -> str:
    """``main partial, acestep-v15-sft ready``"""
    return ", ".join(f"{title(asked)} {asked.state}" for asked in status.asked)


def _state(asked: Asked) -> str:
    if asked.state is State.PARTIAL:
        return f"partial {percent(asked.held, asked.size)} %, {progress(asked.held, asked.size)}"
    return f"{asked.state}, {size(asked.size)}"
