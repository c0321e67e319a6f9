"""The events' names and fields are the JSON stream's: scripts read them."""

from __future__ import annotations

from dataclasses import MISSING, fields

from acestep_fetch.core import events
from acestep_fetch.core.events import Event
from acestep_fetch.core.model import HubName

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
    kinds = [kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, Event)]
    said = {(kind, f.name): f.default for kind in kinds for f in fields(kind) if f.default is not MISSING}
    assert said.pop((events.RunStarted, "command")) == "get"
    assert said.pop((events.ComponentReady, "fetched")) is True
    assert all(default in (0, None, ()) for default in said.values()), said


def test_an_event_is_an_object_of_json_with_its_name_first() -> None:
    event = events.FileVerified("vae/x", 3, "sha256:ab", {HubName.MODELSCOPE: 3}, 0.12345)
    assert list(event.to_dict().items()) == [
        ("event", "file_done"),
        ("path", "vae/x"),
        ("size", 3),
        ("digest", "sha256:ab"),
        ("by_source", {"modelscope": 3}),
        ("seconds", 0.123),
        ("held", 0),
        ("copied", 0),
    ]
