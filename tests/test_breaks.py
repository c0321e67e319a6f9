"""The deliberate breaks of `tests/breaks.py` still fit the code that they break; `make breaks` tries them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.breaks import BREAKS, Break

TREE = Path(__file__).parents[1]


@pytest.mark.parametrize("each", BREAKS, ids=[each.name for each in BREAKS])
def test_what_is_to_be_broken_is_there_once(each: Break) -> None:
    assert (TREE / each.file).read_text("utf-8").count(each.text) == 1
    assert each.instead != each.text
    assert all((TREE / test.partition("::")[0]).exists() for test in each.tests)
