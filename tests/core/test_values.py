"""What holds of every value in `core/`: whoever was handed one can rely on it."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, fields, is_dataclass

import pytest

from acestep_fetch import core
from acestep_fetch.core.spans import SpanSet

CACHES = ["Snapshot"]  # its index of paths, made when it is first asked for


def values() -> Iterator[type]:
    for found in pkgutil.iter_modules(core.__path__):
        module = importlib.import_module(f"{core.__name__}.{found.name}")
        yield from (kind for kind in vars(module).values() if isinstance(kind, type) and is_dataclass(kind))


VALUES = sorted(set(values()), key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", VALUES)
def test_a_value_never_changes(kind: type) -> None:
    value = object.__new__(kind)
    for name in (*(field.name for field in fields(kind)), "a_name_misspelt"):
        with pytest.raises((FrozenInstanceError, TypeError)):  # TypeError: python/cpython#90562, an unknown name
            setattr(value, name, 1)


@pytest.mark.parametrize("kind", [*(kind for kind in VALUES if kind.__name__ not in CACHES), SpanSet])
def test_a_value_of_which_there_are_many_is_small(kind: type) -> None:
    assert not hasattr(object.__new__(kind), "__dict__")
