"""Every error that a user can see says what to do next, and docs/errors.md has a row for every kind and exit code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import acestep_fetch
from acestep_fetch.core import errors
from acestep_fetch.core.errors import FetchError, SourceError

PACKAGE = Path(acestep_fetch.__file__).parent
PAGE = PACKAGE.parent / "docs" / "errors.md"
KINDS = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, FetchError)}
INNER = {"not needed any more"}  # never leaves the engine


def calls() -> Iterator[tuple[str, ast.Call, str]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text("utf-8")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in KINDS:
                yield f"{path.relative_to(PACKAGE)}:{node.lineno}", node, ast.get_source_segment(text, node) or ""


def test_every_error_says_what_to_do_next() -> None:
    """But for what one request to one source said, which is told among what was tried, and those that have one hint for
    all: the watchdog's, and a stop's."""
    found = list(calls())
    assert len(found) > 100
    silent = [
        f"{where}: {source}"
        for where, call, source in found
        if not issubclass(KINDS[call.func.id], (SourceError, errors.StuckError, errors.StoppedError))  # type: ignore[attr-defined]
        and "hint" not in {keyword.arg for keyword in call.keywords}
        and not any(text in source for text in INNER)
    ]
    assert silent == []


def rows() -> list[list[str]]:
    """The cells of the page's table: exit code, class, example, meaning, again?, what to do."""
    lines = [line for line in PAGE.read_text("utf-8").splitlines() if re.match(r"\| \d", line)]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


@pytest.mark.skipif(not PAGE.exists(), reason="the pages are not part of a wheel")
@pytest.mark.parametrize("name", sorted(KINDS))
def test_the_page_has_a_row_for_every_class(name: str) -> None:
    mine = [row for row in rows() if f"`{name}`" in row[1]]
    assert mine, f"docs/errors.md says nothing of {name}"
    for row in mine:
        assert len(row) == 6, row
        assert int(row[0]) == KINDS[name].exit_code
        assert row[4].split()[0] == ("yes" if KINDS[name].retryable else "no"), row


@pytest.mark.skipif(not PAGE.exists(), reason="the pages are not part of a wheel")
def test_the_page_has_a_row_for_every_exit_code() -> None:
    codes = {int(row[0]) for row in rows()}
    assert codes == {0, 129, 130, 143} | {kind.exit_code for kind in KINDS.values()}
