"""``acestep-fetch adopt [DIR ...]``: takes what other folders of this machine have, and fetches nothing."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from acestep_fetch.catalogue.asking import to_fetch
from acestep_fetch.cli.arguments import (
    add_folder,
    add_json,
    add_output,
    add_selection,
    add_sources,
    command_parser,
    folder_given,
    folders_of,
    options_of,
    showing_of,
)
from acestep_fetch.cli.outlet import Outlet
from acestep_fetch.cli.results import error_of, print_document, print_folders, results
from acestep_fetch.core.errors import UsageError
from acestep_fetch.display.units import plural, size
from acestep_fetch.options import Options

if TYPE_CHECKING:
    from acestep_fetch.display import Mode
    from acestep_fetch.engine.report import Report


def parser() -> argparse.ArgumentParser:
    top = command_parser(
        "adopt",
        "Takes what models need from other folders of this machine: Hugging Face and ModelScope caches, ComfyUI, other "
        "checkpoints. Files are found by size and believed by digest only; the folders stay as they are. Only the "
        "hubs' lists are fetched: models that become complete are ready, and of the others acestep-fetch fetches the "
        "rest.",
        "  acestep-fetch adopt\n  acestep-fetch adopt ~/ComfyUI/models /mnt/old/checkpoints --all",
    )
    top.add_argument(
        "dirs", nargs="*", metavar="DIR", help="where to look (default: the caches and ComfyUI, where they usually are)"
    )
    how = top.add_mutually_exclusive_group()
    how.add_argument(
        "--copy", dest="by", action="store_const", const="copy", help="copy, also where blocks can be shared"
    )
    how.add_argument("--reflink", dest="by", action="store_const", const="reflink", help="share blocks, or leave it")
    how.add_argument(
        "--hardlink",
        dest="by",
        action="store_const",
        const="hardlink",
        help="a second name for the same file, or leave it: takes no room, and what damages one damages the other",
    )
    add_selection(top)
    add_folder(top)
    add_sources(top)
    add_json(top)
    add_output(top)
    return top


def run(arguments: Sequence[str]) -> int:
    with Outlet("adopt", arguments, has_stream=False) as outlet:
        return _adopt(parser().parse_args(arguments), outlet)


def _adopt(given: argparse.Namespace, outlet: Outlet) -> int:
    from acestep_fetch import api
    from acestep_fetch.cli.running import run_loop
    from acestep_fetch.storage.finding import usual_places

    places = folders_of(given.dirs) or usual_places(os.environ)
    if not places:
        raise UsageError(
            "none of the usual folders is here (Hugging Face's and ModelScope's caches, ComfyUI/models)",
            hint="name the folders to look in: acestep-fetch adopt DIR",
        )
    options = replace(options_of(given), adopt=places, adopt_by=given.by or "auto", adopt_only=True)
    api.wanted_models(options)
    mode: Mode = given.progress
    if given.json and mode == "json":
        if outlet.is_json:
            raise UsageError(
                "--json and --progress json exclude each other",
                hint="--json is one document at the end, --progress json a line for each event",
            )
        mode = "auto"  # a variable or a file says so, and a flag has the last word
    with outlet.showing(mode, replace(showing_of(given), quiet=given.quiet or given.json)):
        report = api.up_to_date(options, outlet) or run_loop(options, outlet)
    if isinstance(report, int):
        return report
    with results():
        if given.json:
            print_document("adopt", {"folders": [str(place) for place in places], **_document(report)})
        elif given.quiet and not outlet.is_json:
            print_folders(report.folders)
        elif not report.error and not outlet.is_json:
            _print(report, _fetching(report, options, folder_given(given)))
    return report.exit_code


def _document(report: Report) -> dict[str, object]:
    adopted = [row for row in report.files if row.state == "adopted"]
    return {
        "models": report.models,
        "files": [asdict(row) for row in report.files],
        "bytes_adopted": sum(row.size for row in adopted),
        "bytes_fetch": _left(report),
    } | ({"error": error_of(report.error)} if report.error else {})


def _left(report: Report) -> int:
    return sum(row.size - row.held for row in report.files if row.state in ("fetch", "partial"))


def _print(report: Report, todo: str) -> None:
    """What was taken and from where, and what is left to be fetched, with the command for that; on stdout."""
    adopted = [row for row in report.files if row.state == "adopted"]
    width = max((len(row.path) for row in adopted), default=0)
    for row in adopted:
        print(f"{row.path.ljust(width)}  {size(row.size):>9}  from {row.origin}")
    took = f"{plural(len(adopted), 'file')}, {size(sum(row.size for row in adopted))} adopted"
    left = f"{size(_left(report))} to fetch: {todo}" if _left(report) else "nothing left to fetch"
    print(f"{took}; {left}" if report.files else "nothing to do")


def _fetching(report: Report, options: Options, folder: Path | None) -> str:
    """What fetches the rest of what was asked for."""
    from acestep_fetch import api

    models = [(model.name, str(model.repo)) for model in api.wanted_models(options)]
    said = [("include", pattern) for pattern in options.include] + [("exclude", pattern) for pattern in options.exclude]
    said += [("revision", options.revision)] if options.revision else []
    return to_fetch(
        [model for model in models if report.models.get(model[0]) == "partial"],
        folder,
        flags=[f"--{flag} {quote(text)}" for flag, text in said],
    )
