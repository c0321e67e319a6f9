"""The published schema: it is what the events are, it says no to what they are not, and the docs say the same."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from acestep_fetch.core import errors
from acestep_fetch.core.events import Event
from acestep_fetch.display.schema import PUBLISHED, as_text, event_schema
from tests.stream.reading import LINE, SCHEMA

DOCS = Path(__file__).parents[2] / "docs" / "machine-output.md"
HEAD = {"v": 1, "seq": 0, "ts": "2026-11-22T08:14:03.120Z"}
DROPPED = HEAD | {"event": "bytes_dropped", "path": "a", "count": 3, "why": "w"}


def test_the_published_file_is_made_from_the_events() -> None:
    assert PUBLISHED.read_text("utf-8") == as_text(event_schema()), "renew it with: make schema"
    Draft202012Validator.check_schema(SCHEMA)


def test_what_is_known_is_pinned() -> None:
    LINE.validate(DROPPED)
    for wrong in (
        DROPPED | {"count": "3"},
        DROPPED | {"count": 3.5},
        DROPPED | {"path": None},
        DROPPED | {"v": 2},
        DROPPED | {"seq": -1},
        DROPPED | {"ts": "yesterday"},
        {name: value for name, value in DROPPED.items() if name != "why"},
        {name: value for name, value in DROPPED.items() if name != "event"},
    ):
        with pytest.raises(ValidationError):
            LINE.validate(wrong)


def test_what_is_new_is_allowed() -> None:
    LINE.validate(DROPPED | {"more": [1]})
    LINE.validate(HEAD | {"event": "news", "anything": {}})


def test_an_event_with_a_field_of_an_unheard_of_type_is_refused() -> None:
    from acestep_fetch.display.schema import _of_type

    with pytest.raises(TypeError):
        _of_type(Event)


# -- docs/machine-output.md -------------------------------------------------------------------------------------------


def documented() -> dict[str, dict[str, str]]:
    """Event -> field -> type, as the docs have them: a heading with the event's name, and a table below it."""
    found = dict[str, dict[str, str]]()
    event = ""
    for line in DOCS.read_text("utf-8").splitlines():
        if heading := re.match(r"#+ `(\w+)`", line):
            event = heading[1]
            found[event] = {}
        elif line.startswith("#"):
            event = ""
        elif event and (row := re.match(r"\| `(\w+)` \| ([^|]+) \| \S", line)):
            found[event][row[1]] = row[2].strip()
    return found


def in_words(schema: dict[str, Any]) -> str:
    """How the docs write a type."""
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    kind = schema["type"]
    if kind == "array":
        return f"list of {in_words(schema['items'])}s"
    if kind == "object":
        return f"object of {in_words(schema['additionalProperties'])}s"
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def test_the_docs_have_every_event_with_its_fields_and_their_types() -> None:
    pinned = {
        event: {field: in_words(schema) for field, schema in body["properties"].items()}
        for event, body in SCHEMA["$defs"].items()
    }
    assert documented() == pinned


def test_the_docs_have_every_exit_code_and_say_whether_to_try_again() -> None:
    rows = re.findall(r"^\| (\d+) \| `([\w-]+)` \| [^|]+ \| (yes|no) \|", DOCS.read_text("utf-8"), re.MULTILINE)
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.FetchError)]
    kinds = [kind for kind in kinds if kind not in (errors.SourceError, errors.StoppedError)]  # never in a stream
    told = {(kind.exit_code, kind.name, "yes" if kind.retryable else "no") for kind in kinds}
    assert {(int(code), name, again) for code, name, again in rows} == told


def test_the_kubernetes_example_ends_jobs_for_what_no_retry_helps() -> None:
    (values,) = re.findall(r"values: \[([\d, ]+)\]", DOCS.read_text("utf-8"))
    final = {
        kind.exit_code
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.FetchError) and not kind.retryable
    }
    assert {int(value) for value in values.split(",")} == final - {1, 11}  # perhaps; and of commands that only look


def test_the_example_lines_in_the_docs_fit_the_schema() -> None:
    lines = [line for line in DOCS.read_text("utf-8").splitlines() if line.startswith('{"v":1,"seq"')]
    assert len(lines) > 3
    for line in lines:
        LINE.validate(json.loads(line))
