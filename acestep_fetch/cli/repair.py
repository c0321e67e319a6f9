"""``acestep-fetch repair [MODEL ...]``: fetches again what does not hold any more, and of a large file only that."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace

from acestep_fetch.catalogue.models import MAIN
from acestep_fetch.cli.arguments import PROGRESS, add_sources, add_transfer, command_parser, options_of
from acestep_fetch.cli.inspection import add_arguments, folder_of, inspected, print_verdict
from acestep_fetch.engine.upkeep import prepare_repair
from acestep_fetch.options import Options
from acestep_fetch.storage.layout import Layout
from acestep_fetch.storage.receipts import Receipt


def parser() -> argparse.ArgumentParser:
    top = command_parser(
        "repair",
        "Verifies finished models, and fetches what is damaged or missing: of large files only the pieces. "
        "A model stays the version that it is.",
        "  acestep-fetch repair\n  acestep-fetch repair main --dir /models --limit-rate 20MB/s",
    )
    add_arguments(top)
    how = top.add_argument_group("what has to be fetched")
    add_sources(how)
    add_transfer(how)
    how.add_argument("--progress", choices=PROGRESS, default="auto", help="how to show progress")
    return top


def run(arguments: Sequence[str]) -> int:
    given = parser().parse_args(arguments)
    options = options_of(given)  # a wrong flag is told before everything is read
    found = inspected(given, fast=False)
    for verification in found:
        print_verdict(verification, quiet=given.quiet, verbose=given.verbose)
    faulty = [v for v in found if v.faults]
    prepare_repair(folder_of(given), found)
    if not faulty:
        return 0
    from acestep_fetch.cli.running import run_loop
    from acestep_fetch.display import open_display

    codes = list[int]()
    for verification in faulty:
        with open_display(given.progress, quiet=given.quiet, verbose=given.verbose) as display:
            report = run_loop(
                _as_fetched(options, verification.receipt, folder_of(given)), display, verification.receipt
            )
        if isinstance(report, int):  # stopped by a signal
            return report
        codes.append(report.exit_code)
    return next((code for code in codes if code), 0)


def _as_fetched(options: Options, receipt: Receipt, layout: Layout) -> Options:
    """The options that ask for the model again as it was asked for."""
    is_main, selection = receipt.model == MAIN, receipt.selection
    return replace(
        options,
        directory=layout.root,
        models=() if is_main else (receipt.repo,),
        skip_main=not is_main,
        include=tuple(selection.get("include", ())),
        exclude=tuple(selection.get("exclude", ())),
        revision=selection.get("revision"),
    )
