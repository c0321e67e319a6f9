"""The program. Documented flags without a subcommand mean ``get``, word for word as ACE-Step documents them."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import Final, NoReturn

from acestep_fetch.cli.commands import BY_NAME
from acestep_fetch.cli.discretion import discreet, hide_tokens
from acestep_fetch.cli.results import answering, drop_output, results
from acestep_fetch.cli.stops import Stopped
from acestep_fetch.core.errors import DiskError, FetchError, UsageError

# Imports make many objects that stay, and a download few that go in circles: looking for those costs 0.2 s a GiB.
_RARELY: Final = (50_000, 20, 50)


def program() -> NoReturn:
    """`main` as a process of its own. It leaves at once: the interpreter would take itself apart for a tenth of a
    second, and nothing is left to be done (threads are joined, files closed, and output is flushed here)."""
    hide_tokens(sys.argv)
    if sys.stdout is None:  # closed by who started it
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # for as long as the process lives
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
    try:
        return _flushed(_ended(_command(given), given))
    except FetchError as error:
        say(error)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except Stopped as stop:
        return int(stop.code or 0)
    except BrokenPipeError:  # `acestep-fetch --list | head`: the reader has what it wanted
        drop_output()
        return 0
    except OSError as exc:
        if exc.filename is not None:  # no fault of the output's
            raise
        drop_output()
        say(
            DiskError(
                f"the output could not be written: {exc.strerror}",
                hint="see where stdout leads: to a full disk, or to a file that cannot be written?",
            )
        )
        return DiskError.exit_code


def _command(given: list[str]) -> Callable[[Sequence[str]], int]:
    """The command that `given` asks for; its name is taken off."""
    name = "get"
    if given and given[0] in ("-h", "--help"):
        return _overview
    if given and not given[0].startswith("-"):
        name = given.pop(0)
    if name not in BY_NAME:
        return partial(_unknown, name)
    run: Callable[[Sequence[str]], int] = import_module(f"acestep_fetch.cli.{BY_NAME[name].module}").run
    return partial(_answering, name, run) if BY_NAME[name].answers else run


def _answering(name: str, run: Callable[[Sequence[str]], int], given: Sequence[str]) -> int:
    """A command that answers ``--json`` with a document."""
    with answering(name, wanted=any(len(word) > 3 and "--json".startswith(word) for word in given)):
        return run(given)


def _unknown(name: str, given: Sequence[str]) -> NoReturn:
    from difflib import get_close_matches

    from acestep_fetch.cli.outlet import Outlet

    close = get_close_matches(name, BY_NAME, n=1)
    hint = f"did you mean {close[0]}?" if close else "acestep-fetch --help names them; a model is named by --model"
    with Outlet(name, given):
        raise UsageError(f"there is no command {name!r}", hint=hint)


def _overview(_: Sequence[str]) -> int:
    from acestep_fetch.cli.overview import overview

    print(overview(), end="")
    return 0


def _ended(run: Callable[[Sequence[str]], int], given: Sequence[str]) -> int:
    """The exit code of a command. Help is argparse's, which leaves the process with what it has written unwritten."""
    try:
        return run(given)
    except Stopped:
        raise
    except SystemExit as end:
        return int(end.code or 0)


def _flushed(code: int) -> int:
    """The exit code of a command that has ended. A reader that goes away makes no success of it."""
    with results():
        return code


def say(error: FetchError) -> None:
    """One line for what happened, one for each thing that was tried, one for what to do next; on stderr."""
    from acestep_fetch.cli.columns import columns
    from acestep_fetch.display.units import wrap

    lines = [f"acestep-fetch: {error.message}", *(f"  tried: {attempt}" for attempt in error.attempts)]
    if error.hint:
        lines.append(f"  → {error.hint}")
    lines = [part for line in lines for part in wrap(line, columns(sys.stderr), "    ")]
    encoding = sys.stderr.encoding or "ascii"
    for line in lines:
        print(line.encode(encoding, "replace").decode(encoding), file=sys.stderr)
