"""The events' names and fields are the JSON stream's: scripts read them."""

from __future__ import annotations

from dataclasses import MISSING, fields

from acestep_fetch.core import events
from acestep_fetch.core.events import Event

# Name -> fields; in brackets those that may be left out. A name or field that goes breaks somebody's script.
STREAM = {
    "start": "version directory models [command]",
    "probe": "source ok seconds detail endpoint",
    "sources": "order why",
    "source_joined": "source",
    "plan": "models files total present partial fetch disk_free sources [shared] [adoptable]",
    "note": "level text",
    "detail": "text",
    "file_start": "path size held",
    "bytes": "path source count",
    "bytes_compared": "path source count",
    "bytes_dropped": "path count why",
    "switch": "path source to at why",
    "piece_repaired": "path start stop culprit",
    "file_reused": "path size",
    "file_checked": "path size condition why",
    "file_adopted": "path size origin way",
    "file_done": "path size digest by_source seconds [held] [copied]",
    "file_failed": "path error message [retryable]",
    "component_moved": "component source to why",
    "component_ready": "component files size [fetched]",
    "model_ready": "model folders files size fetched",
    "model_failed": "model error exit_code message hint [attempts] [retryable]",
    "waiting": "why seconds [done] [total]",
    "summary": "exit_code models files_verified files_reused bytes_fetched bytes_reused by_source seconds "
    "[error] [hint] [attempts] [changed] [retryable] [avg_bps] [bytes_compared] [bytes_dropped]",
    "error": "error exit_code retryable message hint attempts model path",
}


def test_the_stream_keeps_its_names_and_fields() -> None:
    kinds = [kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, Event)]
    found = {
        kind.name: " ".join(f.name if f.default is MISSING else f"[{f.name}]" for f in fields(kind))
        for kind in kinds
        if kind is not Event
    }
    assert found == STREAM
    assert len(found) == len(kinds) - 1  # no two events have one name


def test_what_was_not_said_is_nothing() -> None:
    plan = events.PlanMade((), 0, 0, 0, 0, 0, 0, {})
    assert plan.shared == 0
    end = events.RunFinished(0, {}, 0, 0, 0, 0, {}, 0.0)
    assert (end.error, end.hint, end.attempts) == (None, None, ())
