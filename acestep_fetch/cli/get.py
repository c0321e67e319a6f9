"""``acestep-fetch [get]``: makes models ready, lists them, or shows what would be done."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from acestep_fetch import __version__
from acestep_fetch.cli.arguments import (
    Parser,
    add_adoption,
    add_folder,
    add_lock,
    add_output,
    add_selection,
    add_setting,
    add_sources,
    add_stream,
    add_transfer,
    folder_given,
    options_of,
    showing_of,
)
from acestep_fetch.cli.outlet import Outlet
from acestep_fetch.cli.results import answering, print_folders
from acestep_fetch.options import Options

if TYPE_CHECKING:
    from acestep_fetch.display import Mode

_EPILOG: Final = """\
examples:
  acestep-fetch                                    the main model, into ./checkpoints
  acestep-fetch --model acestep-v15-sft            another model (main too, if it is missing)
  acestep-fetch --all --prefer-source modelscope   everything, ModelScope first
  acestep-fetch --list                             what there is

proxies: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY (http://, https://, socks5://, with USER:PASSWORD@) and NO_PROXY
"""


def parser() -> argparse.ArgumentParser:
    """The documented flags and ours beside them."""
    top = Parser(
        prog="acestep-fetch",
        description="Makes models ready: from Hugging Face and ModelScope at once, resumable, every byte proven.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = top.add_argument_group("what to fetch (nothing named: the main model)")
    add_selection(what)
    add_lock(what)
    what.add_argument("-l", "--list", action="store_true", help="show the models and end")
    add_setting(what, "force")
    add_setting(what, "dry-run")
    what.add_argument(
        "--check",
        action="store_true",
        help="only say whether it is all ready (0) or not (11), offline, by the receipts",
    )
    how = top.add_argument_group("where from, where to")
    add_folder(how)
    add_sources(how)
    add_adoption(how)
    add_transfer(how)
    show = top.add_argument_group("output")
    add_output(show)
    add_stream(show)
    show.add_argument("--version", action="version", version=f"acestep-fetch {__version__}")
    return top


def run(arguments: Sequence[str]) -> int:
    with Outlet("get", arguments) as outlet:
        given = parser().parse_args(arguments)
        if given.list:
            outlet.only_looks()
            from acestep_fetch.cli.listing import show_models

            with answering("list", wanted=outlet.is_json):
                return show_models(options_of(given), folder_given(given), as_json=outlet.is_json)
        outlet.write_summary_to(given.summary_file)
        options = options_of(given)
        return _check(options, outlet, quiet=given.quiet) if given.check else _fetch(options, given, outlet)


def _check(options: Options, outlet: Outlet, *, quiet: bool) -> int:
    """Nothing is told people where all is ready, but for the folders if `quiet`, as after a run."""
    from acestep_fetch import api

    report = api.up_to_date(options, outlet, checks=True)
    assert report
    report.raise_for_error()
    if quiet and not outlet.is_json:
        print_folders(report.folders)
    return 0


def _fetch(options: Options, given: argparse.Namespace, outlet: Outlet) -> int:
    from acestep_fetch import api
    from acestep_fetch.cli.running import run_loop

    api.wanted_models(options)  # a wrong name is told before anything is drawn
    mode: Mode = given.progress
    if options.dry_run and mode != "json":
        from acestep_fetch.cli.plan import show_plan

        return show_plan(options, given, "plain" if mode == "auto" else mode, outlet)
    with outlet.showing(mode, showing_of(given)):
        report = api.up_to_date(options, outlet) or run_loop(options, outlet)
    if isinstance(report, int):
        return report
    if given.quiet and not outlet.is_json:
        print_folders(report.folders)
    return report.exit_code
