"""``--summary-file``: the last event as one small JSON object, which fits into a Kubernetes termination log. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from acestep_fetch.core.events import RunFinished
from acestep_fetch.display.jsonl import VERSION, payload, timestamp

MOST: Final = 4096  # bytes that Kubernetes reads


def summary_text(end: RunFinished, command: str, wall: float) -> str:
    """ASCII, one line, at most `MOST` bytes. What was left out for that is said by ``shortened``."""
    head = {"v": VERSION, "ts": timestamp(wall), "event": end.name, "command": command}
    for body in _ever_shorter(head | payload(end)):
        text = json.dumps(body, separators=(",", ":")) + "\n"
        if len(text) <= MOST:
            break
    return text


def _ever_shorter(body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """`body`, and then with less and less: first what was tried, then words, then models (the ready ones go first)."""
    yield dict(body)
    less: dict[str, Any] = {**body, "shortened": True}
    for count, length in ((8, 200), (3, 200), (0, 0)):
        less["attempts"] = [_cut(line, length) for line in body["attempts"][:count]]
        yield less
    less["error"], less["hint"] = _cut(body["error"], 600), _cut(body["hint"], 300)
    yield less
    models = sorted(body["models"].items(), key=lambda item: item[1] == "ready")
    for count in (100, 30, 10, 3, 0):
        less["models"] = {_cut(name, 100): state for name, state in models[:count]}
        yield less
    less["by_source"] = {}
    less["error"] = _cut(body["error"], 60)
    less["hint"] = None
    yield less


def _cut(text: str | None, length: int) -> str | None:
    return text if text is None or len(text) <= length else text[: max(0, length - 3)] + "..."
