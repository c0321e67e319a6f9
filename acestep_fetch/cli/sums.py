"""``acestep-fetch sums``: the digests as ``sha256sum -c`` reads them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from acestep_fetch.catalogue import load_catalogue
from acestep_fetch.cli.arguments import add_folder, add_offline_anyhow, command_parser, options_of
from acestep_fetch.cli.results import print_text
from acestep_fetch.core.errors import IncompleteError, NotFoundError
from acestep_fetch.core.lock import LockedModel
from acestep_fetch.core.merge import is_furniture
from acestep_fetch.core.sums import sum_line
from acestep_fetch.display.units import plural
from acestep_fetch.engine.upkeep import recorded
from acestep_fetch.options import expanded
from acestep_fetch.storage.layout import Layout, choose_folder
from acestep_fetch.storage.lockfile import locked_as_received, read_lock


def parser() -> argparse.ArgumentParser:
    top = command_parser(
        "sums",
        "Prints the sha256 of every file, by its path in the checkpoints folder, as `sha256sum -c` reads it: of what "
        "was received here, or of a lock. Reads no model and opens no socket.",
        "  acestep-fetch sums > SHA256SUMS\n"
        "  acestep-fetch sums main | (cd checkpoints && sha256sum -c --quiet)\n"
        "  acestep-fetch sums --lock acestep-fetch.lock",
    )
    top.add_argument("models", nargs="*", metavar="MODEL", help="as --list names them (default: all)")
    top.add_argument("--lock", metavar="FILE", help="print what this lock says")
    add_folder(top)
    add_offline_anyhow(top)
    return top


def run(arguments: Sequence[str]) -> int:
    given = parser().parse_args(arguments)
    if given.lock:
        models = list(read_lock(expanded(given.lock)).models)
        models = [_named(name, models, given.lock) for name in given.models] or models
    else:
        layout = Layout(choose_folder(options_of(given).directory)[0])
        models = [locked_as_received(receipt) for receipt in recorded(layout, given.models)]
    sums = {file.path: file.sha256 for model in models for file in model.files}
    print_text("".join(f"{sum_line(digest, path)}\n" for path in sorted(sums) if (digest := sums[path])))
    _say_what_is_missing([path for path in sorted(sums) if not sums[path]])
    return 0


def _named(name: str, models: Sequence[LockedModel], lock: str) -> LockedModel:
    found = next((model for model in models if model.name == name), None)
    if found is None:  # by a short form, or OWNER/NAME
        wanted = load_catalogue().find(name).name
        found = next((model for model in models if model.name == wanted), None)
    if found is None:
        has = ", ".join(model.name for model in models) or "nothing"
        raise NotFoundError(f"{name}: {lock} does not have it", hint=f"it has {has}")
    return found


def _say_what_is_missing(paths: Sequence[str]) -> None:
    """Of files that git's digest proves, and no sha256 is known of."""
    content = [path for path in paths if not is_furniture(path)]
    if content:
        raise IncompleteError(
            f"{plural(len(content), 'file')} of the lock {'has' if len(content) == 1 else 'have'} no sha256: "
            f"{', '.join(content[:4])}{' and more' if len(content) > 4 else ''}",
            hint="fetch with --locked, then `acestep-fetch lock --update` knows it, or print `sums` without --lock",
        )
    if paths:
        print(f"left out, because no sha256 is known: {', '.join(paths)}", file=sys.stderr)
