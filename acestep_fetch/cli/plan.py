"""``acestep-fetch plan`` and ``--dry-run``: what a run would do. Changes nothing."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from acestep_fetch.cli.arguments import (
    add_adoption,
    add_folder,
    add_json,
    add_lock,
    add_selection,
    add_setting,
    add_sources,
    command_parser,
    options_of,
    showing_of,
)
from acestep_fetch.cli.columns import columns, print_folded
from acestep_fetch.cli.results import error_of, print_document, results
from acestep_fetch.core.errors import DiskFullError
from acestep_fetch.display.names import title
from acestep_fetch.display.units import cut, plural, shorten_all, size
from acestep_fetch.options import Options

if TYPE_CHECKING:
    from acestep_fetch.cli.outlet import Outlet
    from acestep_fetch.display import Mode
    from acestep_fetch.engine.plan import Plan
    from acestep_fetch.engine.report import FileReport

_NAME: Final = 30  # characters of a file's name that are left on a narrow terminal


def parser() -> argparse.ArgumentParser:
    top = command_parser(
        "plan",
        "Says what a run would do: every file and where it stands, the bytes, the disk before and after, and which hub "
        "comes first. Changes nothing. Ends as the run would: 5 without a network, 7 where it does not fit.",
        "  acestep-fetch plan\n  acestep-fetch plan --all --json\n  acestep-fetch plan --adopt ~/ComfyUI/models",
    )
    add_selection(top)
    add_lock(top)
    add_folder(top)
    add_sources(top)
    add_setting(top, "min-free")
    add_adoption(top)
    top.add_argument("-f", "--force", action="store_true", help="as if nothing were there")
    add_json(top)
    top.add_argument("-q", "--quiet", action="store_true", help="no word about --for-gpu's choice")
    top.add_argument("-v", "--verbose", action="store_true", help="every decision")
    return top


def run(arguments: Sequence[str]) -> int:
    given = parser().parse_args(arguments)
    options = replace(options_of(given), dry_run=True)
    given.quiet = not given.verbose  # the table says it all
    return show_plan(options, given, "plain")


def show_plan(options: Options, given: argparse.Namespace, mode: Mode, outlet: Outlet | None = None) -> int:
    """Makes the plan and prints it. What goes wrong on the way is told on stderr, and in the document too."""
    from acestep_fetch import api
    from acestep_fetch.cli.running import run_loop

    api.wanted_models(options)  # a wrong name is told before anything is drawn
    as_json = getattr(given, "json", False)
    showing = replace(showing_of(given), quiet=given.quiet or as_json)
    with outlet.showing(mode, showing) if outlet else showing.open(mode) as display:
        report = api.up_to_date(options, display) or run_loop(options, display)
    if isinstance(report, int):
        return report
    if report.error and not isinstance(report.error, DiskFullError):
        with results():
            if as_json:
                print_document("plan", {"error": error_of(report.error)})
        return report.exit_code
    plan = api.plan_of(report, options)
    with results():
        if as_json:
            print_document("plan", plan.to_dict() | ({"error": error_of(report.error)} if report.error else {}))
        else:
            print_plan(plan)
    if not as_json:
        _hint(plan, options)
    return report.exit_code


def print_plan(plan: Plan) -> None:
    """The table and the figures, on stdout."""
    for line in table(plan.files, columns(sys.stdout)):
        print(line)
    print()
    print_folded(f"{', '.join(plan.models)}: {plural(len(plan.files), 'file')}, {size(plan.bytes_total)}")
    kept = {
        "here": plan.bytes_here,
        "in parts": plan.bytes_partial,
        "the same as other files": plan.bytes_shared,
        "adoptable": plan.bytes_adoptable,
    }
    parts = [f"{size(count)} {what}" for what, count in kept.items() if count]
    print_folded(", ".join([*parts, f"{size(plan.bytes_fetch)} to fetch"]))
    if plan.order:
        print_folded(f"hubs: {', then '.join(title(hub) for hub in plan.order)} ({plan.why})")
    after = f"{size(plan.disk_after)} after it" if plan.fits else f"{size(-plan.disk_after)} missing"
    print_folded(f"disk: {size(plan.disk_free)} free, {after}, in {plan.folder}")
    if not plan.fits:
        print_folded(f"fits: {', '.join(plan.fitting) or 'none of the models'}")


def table(files: Sequence[FileReport], room: int) -> Iterator[str]:
    """A line for each file. Where `room` characters are too few, the names are cut in the middle, and then what is
    behind them at its end."""
    wheres = [_where(row) for row in files]
    behind = 24 + max(map(len, wheres), default=0)  # at most: size, state, and the gaps between all of them
    width = min(max((len(row.path) for row in files), default=0), max(_NAME, room - behind))
    names = shorten_all([row.path for row in files], width)
    for row, name, where in zip(files, names, wheres, strict=True):
        state = f"{100 * row.held // row.size} % here" if row.held else row.state
        yield cut(f"{name.ljust(width)}  {size(row.size):>9}  {state:<9}  {where}".rstrip(), room)


def _where(row: FileReport) -> str:
    """From where it would come."""
    if row.state in ("here", "shared"):
        return ""
    return row.origin or ", ".join(title(source) for source in row.sources)


def _hint(plan: Plan, options: Options) -> None:
    """Other folders of this machine may hold some of it: told by size alone, because reading them takes its time."""
    if options.adopt or not (lacking := [row for row in plan.files if row.state == "fetch" and row.size > 1 << 20]):
        return
    import os

    from acestep_fetch.storage.finding import Search, usual_places

    sizes = {row.size for row in lacking}
    search = Search(usual_places(os.environ), sizes)
    while search.step():
        pass
    if found := {candidate.size for candidate in search.found}:
        may = size(sum(row.size for row in lacking if row.size in found))
        folders = sorted({str(place) for place in usual_places(os.environ)})
        print(
            f"{may} of it may be on this machine already, by the sizes of files in {', '.join(folders)}: "
            "--adopt looks closer, and `acestep-fetch adopt` takes it",
            file=sys.stderr,
        )
