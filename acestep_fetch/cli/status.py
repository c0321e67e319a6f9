"""``acestep-fetch status``: what runs in this folder in another terminal, or is left over. Opens no socket."""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Sequence

from acestep_fetch.catalogue.asking import command, to_fetch
from acestep_fetch.catalogue.models import MAIN
from acestep_fetch.cli.arguments import add_folder, add_json, add_offline_anyhow, command_parser, options_of
from acestep_fetch.cli.results import print_document, results
from acestep_fetch.cli.status_lines import lines, title
from acestep_fetch.core.errors import IncompleteError
from acestep_fetch.engine.standing import State, Status, status
from acestep_fetch.storage.layout import Layout, choose_folder


def parser() -> argparse.ArgumentParser:
    top = command_parser(
        "status",
        "Shows who fetches into the folder and how far that is, what was begun and is not finished, and what is ready. "
        "Ends with 0 when all that was begun is ready, else with 11. Opens no socket.",
        "  acestep-fetch status\n  acestep-fetch status --watch --dir /models\n  acestep-fetch status --json",
    )
    add_folder(top)
    add_offline_anyhow(top)
    top.add_argument("-w", "--watch", action="store_true", help="go on showing it until nobody is at work")
    add_json(top)
    return top


def run(arguments: Sequence[str]) -> int:
    given = parser().parse_args(arguments)
    layout = Layout(choose_folder(options_of(given).directory)[0])
    found = status(layout)
    if given.watch and found.running:
        from acestep_fetch.cli.watching import watch

        found = watch(layout, silent=given.json)
    with results():
        if given.json:
            print_document("status", found.to_dict())
        else:
            for line in lines(found, time.time(), shutil.get_terminal_size((120, 24)).columns):
                print(line)
    if not found.complete:
        raise _incomplete(found)
    return 0


def _incomplete(found: Status) -> IncompleteError:
    """What is not finished, and what to do about it."""
    where = found.folder
    if found.running:
        names = found.running.models
        todo = command("wait", where, names) if names else command("status --watch", where)
        return IncompleteError(f"{found.running} is at work in {found.folder}", hint=f"wait for it with: {todo}")
    if not found.unfinished:
        return IncompleteError(
            f"files are left over in {found.folder}", hint=f"drop them with: {command('clean', where)}"
        )
    titles = ", ".join(title(each) for each in found.unfinished)
    if all(each.state is State.CHANGED for each in found.unfinished):
        return IncompleteError(f"{titles}: changed since it was ready", hint=f"look with: {command('verify', where)}")
    todo = _command(found)
    return IncompleteError(
        f"{titles}: not finished, and nobody is at work on it",
        hint=f"go on with: {todo}" if todo else "go on with the command that began it",
    )


def _command(found: Status) -> str:
    """What begins again all that is not finished; nothing where patterns or a revision were asked for."""
    if any(each.selection for each in found.unfinished):
        return ""
    alone = not any(each.model == MAIN for each in found.asked)
    return to_fetch([(each.model, each.repo) for each in found.unfinished], found.folder, alone=alone)
