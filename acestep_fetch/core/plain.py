"""Values as JSON has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any


def plain_data(value: Any) -> Any:
    """`value` in JSON's own types: enum members, as keys too, become strings, tuples lists, dataclasses objects."""
    match value:
        case Mapping():
            return {str(key): plain_data(item) for key, item in value.items()}
        case tuple() | list() | set() | frozenset():
            return [plain_data(item) for item in value]
        case str():
            return str(value)
        case float() if value != value or value in (float("inf"), float("-inf")):
            return None
        case _ if is_dataclass(value) and not isinstance(value, type):
            return plain_fields(value)
        case _:
            return value


def plain_fields(value: Any) -> dict[str, Any]:
    """The fields of a dataclass under their own names."""
    return {field.name: plain_data(getattr(value, field.name)) for field in fields(value)}
