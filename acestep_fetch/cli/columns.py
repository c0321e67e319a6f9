"""Lines for the terminal that they are read in: folded between words, never inside them. A pipe gets them whole."""

from __future__ import annotations

import os
import sys
from typing import Final, TextIO

from acestep_fetch.display.units import wrap

ENDLESS: Final = 1 << 16  # characters of a line that goes to a file or a program


def columns(stream: TextIO) -> int:
    """Of the terminal that `stream` leads to, or that COLUMNS promises of it; `ENDLESS` where there is none."""
    try:
        if not stream.isatty():
            return ENDLESS
        told = os.environ.get("COLUMNS", "")
        return int(told) if told.isdecimal() and int(told) else os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError, AttributeError):
        return ENDLESS


def print_folded(text: str, indent: str = "") -> None:
    """Prints one line on stdout; what does not fit goes on below, behind `indent`."""
    print("\n".join(wrap(text, columns(sys.stdout), indent)))
