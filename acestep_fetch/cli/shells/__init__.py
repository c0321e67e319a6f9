"""The completion scripts, one module for each shell. Pure: pages in, text out.

All of them take the first word for the command, as `cli.main` does, and know bare flags for those of `get`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from acestep_fetch.cli.surface import Page

PROGRAM: Final = "acestep-fetch"
Models = Sequence[tuple[str, str]]  # a name, and what it is for


def first_clause(text: str) -> str:
    """As much of a flag's help as a menu has room for."""
    return text.partition("; ")[0]


def quoted(text: str) -> str:
    """For bash and zsh, which have no escapes between single quotes."""
    return "'" + text.replace("'", "'\\''") + "'"


def last_word(page: Page) -> str:
    """How a command is called among its siblings."""
    return page.name.rpartition(" ")[2]
