"""``acestep-fetch lock``: writes down which bytes the models are, for ``--locked`` elsewhere and later."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from acestep_fetch.cli.arguments import add_folder, add_models, add_offline, add_sources, command_parser, options_of
from acestep_fetch.cli.results import print_text
from acestep_fetch.core.events import Event, Note
from acestep_fetch.core.lock import LOCK_NAME, Lock, changes
from acestep_fetch.display.units import plural, size
from acestep_fetch.options import expanded


def parser() -> argparse.ArgumentParser:
    top = command_parser(
        "lock",
        "Writes the commits of both hubs, and every file's size and digest, into a lock: `acestep-fetch --locked` then "
        "fetches exactly that, or ends with 12. Asks the hubs for their lists and downloads nothing. A lock that is "
        "there and says something else is left as it is (12). With nothing named: the models that the lock has, else "
        "main.",
        "  acestep-fetch lock\n"
        "  acestep-fetch lock --all -o models.lock\n"
        "  acestep-fetch lock --diff                  what is new on the hubs\n"
        "  acestep-fetch lock --update                take it\n"
        "  acestep-fetch lock --offline               of what is here, without asking anybody",
    )
    add_models(top)
    top.add_argument("-o", "--output", metavar="FILE", help=f"the lock (default {LOCK_NAME})")
    top.add_argument("--update", action="store_true", help="replace what differs; models that are not named stay")
    top.add_argument("--diff", action="store_true", help="show what differs; without --update nothing is written")
    add_offline(top)
    add_folder(top)
    add_sources(top)
    return top


def run(arguments: Sequence[str]) -> int:
    given = parser().parse_args(arguments)
    from acestep_fetch import api

    options = options_of(given)
    path = expanded(given.output) if given.output else options.lock or Path(LOCK_NAME)
    old, new = api.relocked(path, options, _tell)
    if given.diff:
        print_text("".join(f"{line}\n" for line in changes(old or Lock(), new)))
    writes = given.update or not given.diff
    if writes or old is not None:  # the one that is there is held against it, and is not written without --update
        new = api.written(path, old, new, update=given.update, shown=given.diff)
    _say(path, old, new, written=writes)
    return 0


def _tell(event: Event) -> None:
    if isinstance(event, Note):
        print(event.text, file=sys.stderr)


def _say(path: Path, old: Lock | None, new: Lock, *, written: bool) -> None:
    files = [file for model in new.models for file in model.files]
    amount = f"{plural(len(new.models), 'model')}, {plural(len(files), 'file')}, {size(sum(f.size for f in files))}"
    what = "unchanged" if new == old else "written" if written else "not written"
    print(f"{path}: {what}: {amount}", file=sys.stderr)
