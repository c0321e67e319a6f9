"""``acestep-fetch clean``: drops what unfinished downloads have left. Opens no socket, and asks nothing."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from acestep_fetch.cli.arguments import add_folder, add_json, add_offline_anyhow, command_parser, options_of
from acestep_fetch.cli.results import print_document
from acestep_fetch.display.units import one_line, size
from acestep_fetch.engine.cleaning import clean
from acestep_fetch.storage.layout import Layout, choose_folder


def parser() -> argparse.ArgumentParser:
    top = command_parser(
        "clean",
        "Drops what unfinished downloads have left: part files, what is staged, their journals. Finished models stay "
        "as they are. Ends with 9, and drops nothing, while somebody is at work in the folder.",
        "  acestep-fetch clean --dry-run                    what would be dropped\n  acestep-fetch clean --dir /models",
    )
    add_folder(top)
    add_offline_anyhow(top)
    top.add_argument("-n", "--dry-run", action="store_true", help="show what would be dropped, and drop nothing")
    top.add_argument(
        "--all",
        action="store_true",
        help="also the journals of finished files: `repair` then fetches a damaged file whole, not its pieces",
    )
    add_json(top)
    return top


def run(arguments: Sequence[str]) -> int:
    given = parser().parse_args(arguments)
    layout = Layout(choose_folder(options_of(given).directory)[0])
    found = clean(layout, journals=given.all, dry_run=given.dry_run)
    total = sum(each.size for each in found)
    if given.json:
        dropped = [{"what": each.what, "size": each.size, "paths": list(map(str, each.paths))} for each in found]
        about = {"folder": str(layout.root), "dry_run": given.dry_run, "size": total, "dropped": dropped}
        print_document("clean", about)
        return 0
    for each in found:
        print(f"{size(each.size):>9}  {one_line(each.what)}")
    if not found:
        print(f"nothing is left over in {layout.root}")
    else:
        print(f"{size(total):>9}  {'would be dropped' if given.dry_run else 'dropped'} in {layout.root}")
    return 0
