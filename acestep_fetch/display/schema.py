"""The JSON Schema (2020-12) of the lines that ``--json`` writes, made from the events themselves.

``events.schema.json`` beside this module is what `event_schema` returns, for programs in other languages; ``make
schema`` renews it. What is known is pinned, and everything unknown is allowed: new events and fields may appear.
"""

from __future__ import annotations

import json
import types
from collections.abc import Iterator, Mapping
from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from acestep_fetch.core import events
from acestep_fetch.core.events import BytesCompared, BytesReceived, Event
from acestep_fetch.display.jsonl import VERSION, Progress

PUBLISHED: Final = Path(__file__).with_name("events.schema.json")
_SAMPLED: Final = (BytesReceived, BytesCompared)  # `Progress` tells of them
_ENDLESS: Final = {("waiting", "seconds")}  # null where there is no end to it
_SIMPLE: Final = {str: "string", bool: "boolean", int: "integer", float: "number", types.NoneType: "null"}


def event_schema() -> dict[str, Any]:
    """The schema of one line of the stream."""
    kinds = sorted(_kinds(), key=lambda kind: kind.name)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:acestep-fetch:events:{VERSION}",
        "title": "One line of acestep-fetch --json",
        "type": "object",
        "required": ["v", "seq", "ts", "event"],
        "properties": {
            "v": {"const": VERSION},
            "seq": {"type": "integer", "minimum": 0},
            "ts": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"},
            "event": {"type": "string"},
        },
        "allOf": [
            {"if": {"properties": {"event": {"const": kind.name}}}, "then": {"$ref": f"#/$defs/{kind.name}"}}
            for kind in kinds
        ],
        "$defs": {kind.name: _of_kind(kind) for kind in kinds},
    }


def as_text(schema: Mapping[str, Any]) -> str:
    return json.dumps(schema, indent=2) + "\n"


def _kinds() -> Iterator[type[Event]]:
    """Every event that has a line of its own."""
    for kind in vars(events).values():
        if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event and kind not in _SAMPLED:
            yield kind
    yield Progress


def _of_kind(kind: type[Event]) -> dict[str, Any]:
    hints = get_type_hints(kind)
    found = {field.name: _of_type(hints[field.name]) for field in fields(kind)}
    for name in found:
        if (kind.name, name) in _ENDLESS:
            found[name] = {"type": [found[name]["type"], "null"]}
    says = " ".join((kind.__doc__ or "").split())
    described = {"description": says} if says and not says.startswith(f"{kind.__name__}(") else {}
    return described | {"required": list(found), "properties": found}


def _of_type(hint: Any) -> dict[str, Any]:
    """The schema of a field's type; TypeError for one that no event has had so far."""
    origin, given = get_origin(hint), get_args(hint)
    if hint in _SIMPLE:
        return {"type": _SIMPLE[hint]}
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return {"enum": [str(member) for member in hint]}
    if origin is Literal:
        return {"enum": list(given)}
    if origin in (Union, types.UnionType) and all(each in _SIMPLE for each in given):
        return {"type": [_SIMPLE[each] for each in given]}
    if origin is tuple:
        return {"type": "array", "items": _of_type(given[0])}
    if origin is Mapping:
        return {"type": "object", "additionalProperties": _of_type(given[1])}
    raise TypeError(f"no schema for {hint}")


if __name__ == "__main__":
    PUBLISHED.write_text(as_text(event_schema()), "utf-8")
