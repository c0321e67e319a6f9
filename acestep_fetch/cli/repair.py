"""``acestep-fetch repair [MODEL ...]``: fetches again what does not hold any more, and of a large file only that."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace

from acestep_fetch import __version__
from acestep_fetch.catalogue.models import MAIN
from acestep_fetch.cli.arguments import (
    add_progress,
    add_sources,
    add_stream,
    add_transfer,
    command_parser,
    options_of,
    showing_of,
)
from acestep_fetch.cli.inspection import add_arguments, folder_of, inspected, print_verdict
from acestep_fetch.cli.outlet import Outlet
from acestep_fetch.cli.results import results
from acestep_fetch.core.events import FileChecked, ModelReady, RunFinished, RunStarted
from acestep_fetch.engine.upkeep import Verification, prepare_repair, recorded, verify
from acestep_fetch.options import Options
from acestep_fetch.storage.layout import Layout
from acestep_fetch.storage.receipts import Receipt
from acestep_fetch.storage.verifying import Finding


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
    add_progress(how)
    add_stream(how)
    return top


def run(arguments: Sequence[str]) -> int:
    with Outlet("repair", arguments) as outlet:
        given = parser().parse_args(arguments)
        outlet.write_summary_to(given.summary_file)
        _repair(given, outlet)
        outlet.close()
        return outlet.code


def _repair(given: argparse.Namespace, outlet: Outlet) -> None:
    options, layout = options_of(given), folder_of(given)  # a wrong flag is told before everything is read
    found = _told(given, layout, outlet) if outlet.is_json else inspected(given, fast=False)
    faulty = [v for v in found if v.faults]
    with results():
        for verification in found if not outlet.is_json else ():
            print_verdict(verification, quiet=given.quiet, verbose=given.verbose)
    prepare_repair(layout, found)
    for verification in found:
        if not verification.faults:
            _tell_right(verification.receipt, layout, outlet)
    if not faulty:
        return
    from acestep_fetch.cli.running import run_loop

    outlet.show(given.progress, showing_of(given))
    outlet(_start(layout, [verification.receipt for verification in faulty]))
    for verification in faulty:
        wanted = _as_fetched(options, verification.receipt, layout)
        if isinstance(run_loop(wanted, outlet, verification.receipt), int):
            return  # a signal stopped it


def _told(given: argparse.Namespace, layout: Layout, outlet: Outlet) -> list[Verification]:
    """As `inspected`, with an event for each file as soon as it was looked at."""
    receipts = recorded(layout, given.models)
    outlet(_start(layout, receipts))

    def tell(receipt: Receipt, finding: Finding) -> None:
        file = finding.file
        outlet(FileChecked(file.path, file.size, finding.condition.value, finding.why))

    return list(verify(layout, receipts, fast=False, tell=tell))


def _start(layout: Layout, receipts: Sequence[Receipt]) -> RunStarted:
    return RunStarted(__version__, str(layout.root), tuple(receipt.model for receipt in receipts), "repair")


def _tell_right(receipt: Receipt, layout: Layout, outlet: Outlet) -> None:
    """Of a model that needs nothing: it is ready, and counts in the summary."""
    count, size = len(receipt.files), receipt.size
    folders = tuple(str(layout.final(name)) for name in receipt.commits if name)
    outlet(ModelReady(receipt.model, folders, count, size, fetched=False))
    outlet(RunFinished(0, {receipt.model: "ready"}, 0, count, 0, size, {}, 0.0))


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
