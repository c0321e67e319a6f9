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
    add_output,
    add_selection,
    add_sources,
    add_stream,
    add_transfer,
    options_of,
)
from acestep_fetch.cli.outlet import Outlet
from acestep_fetch.options import Options, expanded

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
    what.add_argument("-l", "--list", action="store_true", help="show the models and end")
    what.add_argument("-f", "--force", action="store_true", help="fetch again what is there")
    what.add_argument("-n", "--dry-run", action="store_true", help="show what would be done and end")
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
            from acestep_fetch.cli.listing import print_models

            return print_models(options_of(given))
        outlet.write_summary_to(expanded(given.summary_file) if given.summary_file else None)
        return _fetch(options_of(given), given, outlet)


def _fetch(options: Options, given: argparse.Namespace, outlet: Outlet) -> int:
    from acestep_fetch import api
    from acestep_fetch.cli.running import run_loop

    api.wanted_models(options)  # a wrong name is told before anything is drawn
    mode: Mode = given.progress
    if options.dry_run and mode != "json":
        from acestep_fetch.cli.plan import show_plan

        return show_plan(options, given, "plain" if mode == "auto" else mode, outlet)
    with outlet.showing(mode, quiet=given.quiet, verbose=given.verbose):
        report = api.up_to_date(options, outlet) or run_loop(options, outlet)
    if isinstance(report, int):
        return report
    if given.quiet and not outlet.is_json:
        for folder in report.folders:
            print(folder)
    return report.exit_code
