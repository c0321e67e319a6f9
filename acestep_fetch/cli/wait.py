"""``acestep-fetch wait MODEL ...``: until the models are ready, whoever makes them so. Opens no socket."""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Final

from acestep_fetch.catalogue import Model, load_catalogue
from acestep_fetch.catalogue.asking import to_fetch
from acestep_fetch.cli.arguments import add_folder, add_offline_anyhow, command_parser, options_of
from acestep_fetch.cli.results import print_folders
from acestep_fetch.cli.status_lines import far
from acestep_fetch.core.errors import DiskError, FetchError, IncompleteError, LeaseError, UsageError
from acestep_fetch.display.units import one_line
from acestep_fetch.engine.readiness import look
from acestep_fetch.engine.standing import models
from acestep_fetch.options import Options
from acestep_fetch.storage.layout import Layout, choose_folder
from acestep_fetch.storage.lease import Holder, Lease

_LOOK_EVERY: Final = 0.5  # seconds; each time costs a stat call for every file
_SAY_EVERY: Final = 60.0  # seconds
_PATIENCE: Final = 5.0  # seconds that the last look may take


def parser() -> argparse.ArgumentParser:
    top = command_parser(
        "wait",
        "Waits until the models are ready, whoever fetches them, now or later, and prints their folders. Ends with 9 "
        "where the time is over and somebody is at work in the folder, with 11 where nobody is. Opens no socket.",
        "  acestep-fetch wait main && exec uv run acestep\n"
        "  acestep-fetch wait main acestep-v15-sft --timeout 600 --dir /models\n"
        "  acestep-fetch wait main --timeout 0              is it ready now?",
    )
    top.add_argument("models", nargs="+", metavar="MODEL", help="as list names them, or OWNER/NAME")
    top.add_argument("--timeout", type=_seconds, metavar="S", help="seconds, 0 to look once (default: no end)")
    add_folder(top)
    add_offline_anyhow(top)
    top.add_argument("-q", "--quiet", action="store_true", help="only errors, and the ready folders on stdout")
    return top


def run(arguments: Sequence[str]) -> int:
    given = parser().parse_args(arguments)
    options = options_of(given)
    layout = Layout(choose_folder(options.directory)[0])
    if given.timeout is None:
        return _wait(given, layout, options)
    return _answered(lambda: _wait(given, layout, options), given.timeout + _PATIENCE, layout)


def _answered(work: Callable[[], int], seconds: float, layout: Layout) -> int:
    """What `work` returns or raises. Raises `DiskError` after `seconds`: a disk that does not answer lets nobody look
    at the clock."""
    ended = Future[int]()

    def run_it() -> None:
        try:
            ended.set_result(work())
        except BaseException as exc:
            ended.set_exception(exc)

    threading.Thread(target=run_it, name="wait", daemon=True).start()
    try:
        return ended.result(min(seconds, threading.TIMEOUT_MAX))
    except TimeoutError:
        if ended.done():
            raise
        raise DiskError(
            f"the time is over, and the disk of {layout.root} does not answer",
            hint="see that it is there, and that nothing strange lies in the folder",
        ) from None


def _wait(given: argparse.Namespace, layout: Layout, options: Options) -> int:
    here = {model.name: model.repo for model in models(layout)}
    waiting = list(load_catalogue().bring(here.get(name, name) for name in given.models))
    until = float("inf") if given.timeout is None else time.monotonic() + given.timeout
    teller = _Teller(layout, quiet=given.quiet)
    while waiting := _still_missing(waiting, layout, options):
        left = until - time.monotonic()
        if left <= 0:
            holder = Lease.holder(layout.lease)
            if waiting := _still_missing(waiting, layout, options):  # who has just left the folder may have ended it
                raise _over(waiting, layout, holder)
            break
        teller.tell(waiting)
        time.sleep(min(_LOOK_EVERY, left))
    return 0


def _still_missing(waiting: Sequence[Model], layout: Layout, options: Options) -> list[Model]:
    """Those of `waiting` that are not ready; the folders of the others are printed."""
    missing = list[Model]()
    for model in waiting:
        if ready := look(model, layout, options):
            print_folders(ready.folders)
        else:
            missing.append(model)
    return missing


class _Teller:
    """Says on stderr what is waited for: when it begins, when somebody else is at work, and once a minute."""

    def __init__(self, layout: Layout, *, quiet: bool) -> None:
        self._layout, self._quiet = layout, quiet
        self._said: tuple[object, ...] = ()
        self._again = 0.0

    def tell(self, waiting: Sequence[Model]) -> None:
        if self._quiet:
            return
        holder, now = Lease.holder(self._layout.lease), time.monotonic()
        said = (len(waiting), holder and (holder.pid, holder.host))
        if said != self._said or now >= self._again:
            self._said, self._again = said, now + _SAY_EVERY
            who = _who(holder) if holder else "nobody is at work there yet"
            print(f"waiting for {_names(waiting)} in {self._layout.root}: {who}", file=sys.stderr)


def _who(holder: Holder) -> str:
    return one_line(f"{holder} is at work{far(holder.done, holder.total)}")


def _over(waiting: Sequence[Model], layout: Layout, holder: Holder | None) -> FetchError:
    what = f"{_names(waiting)}: not ready in {layout.root}"
    if holder:
        return LeaseError(
            f"{what}, and the time is over; {_who(holder)}", hint="the download goes on: run this again to wait for it"
        )
    todo = to_fetch([(model.name, str(model.repo)) for model in waiting], layout.root)
    return IncompleteError(f"{what}, and nobody is at work on it", hint=f"fetch it with: {todo}")


def _names(waiting: Sequence[Model]) -> str:
    return ", ".join(model.name for model in waiting)


def _seconds(text: str) -> float:
    """Raises `UsageError`."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise UsageError(f"--timeout: {text!r} is not a number of seconds, 0 or more", hint="write it as --timeout 600")
    return seconds
