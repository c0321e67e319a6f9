"""The program. Documented flags without a subcommand mean ``get``, word for word as ACE-Step documents them."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Final, NoReturn

from acestep_fetch.cli.discretion import discreet, hide_tokens
from acestep_fetch.core.errors import FetchError

# A subcommand is a module of this package with `run(arguments) -> exit code`; it is imported only when asked for.
SUBCOMMANDS: Final = {"get": "get", "verify": "verify", "repair": "repair", "serve": "serve"}
# Imports make many objects that stay, and a download few that go in circles: looking for those costs 0.2 s a GiB.
_RARELY: Final = (50_000, 20, 50)


def program() -> NoReturn:
    """`main` as a process of its own. It leaves at once: the interpreter would take itself apart for a tenth of a
    second, and nothing is left to be done (threads are joined, files closed, and output is flushed here)."""
    hide_tokens(sys.argv)
    if stderr := sys.stderr:  # None under pythonw
        sys.stderr = discreet(stderr)
    code = main()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    gc.set_threshold(*_RARELY)
    given = list(sys.argv[1:] if arguments is None else arguments)
    name = given.pop(0) if given and given[0] in SUBCOMMANDS else "get"
    run: Callable[[Sequence[str]], int] = import_module(f"acestep_fetch.cli.{SUBCOMMANDS[name]}").run
    try:
        return _flushed(run(given))
    except FetchError as error:
        say(error)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `acestep-fetch --list | head`: the reader has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _flushed(code: int) -> int:
    sys.stdout.flush()
    return code


def say(error: FetchError) -> None:
    """One line for what happened, one for each thing that was tried, one for what to do next; on stderr."""
    lines = [f"acestep-fetch: {error.message}", *(f"  tried: {attempt}" for attempt in error.attempts)]
    if error.hint:
        lines.append(f"  → {error.hint}")
    encoding = sys.stderr.encoding or "ascii"
    for line in lines:
        print(line.encode(encoding, "replace").decode(encoding), file=sys.stderr)
