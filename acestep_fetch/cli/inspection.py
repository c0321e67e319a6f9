"""What `verify` and `repair` share: their arguments, and what they say of a finished model."""

from __future__ import annotations

import argparse
import sys

from acestep_fetch.display.units import plural, size
from acestep_fetch.engine.upkeep import Verification, recorded, verify
from acestep_fetch.options import Options, expanded
from acestep_fetch.storage.layout import Layout, choose_folder
from acestep_fetch.storage.receipts import Receipt
from acestep_fetch.storage.verifying import Finding


def add_arguments(top: argparse.ArgumentParser) -> None:
    top.add_argument("models", nargs="*", metavar="MODEL", help="as --list names them (default: all that are finished)")
    top.add_argument("-d", "--dir", metavar="DIR", help="the checkpoints folder (default ./checkpoints)")
    top.add_argument("-q", "--quiet", action="store_true", help="only errors")
    top.add_argument("-v", "--verbose", action="store_true", help="every file")


def folder_of(given: argparse.Namespace) -> Layout:
    options = Options.from_environment(directory=expanded(given.dir) if given.dir else None)
    return Layout(choose_folder(options.directory)[0])


def inspected(given: argparse.Namespace, *, fast: bool) -> list[Verification]:
    """Looks at every file of the models that `given` names. Raises `IncompleteError`."""
    layout = folder_of(given)
    receipts = recorded(layout, given.models)
    if fast or given.quiet or not sys.stderr.isatty():
        return list(verify(layout, receipts, fast=fast, tell=lambda receipt, finding: None))
    return _with_a_bar(layout, receipts)


def _with_a_bar(layout: Layout, receipts: list[Receipt]) -> list[Verification]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("verifying", total=sum(receipt.size for receipt in receipts))

        def tell(receipt: Receipt, finding: Finding) -> None:
            progress.update(task, advance=finding.file.size, description=f"verifying {receipt.model}")

        return list(verify(layout, receipts, fast=False, tell=tell))


def print_verdict(verification: Verification, *, quiet: bool = False, verbose: bool = False) -> None:
    """A line for the model and one for each file that is worth it, on stdout."""
    receipt, faults = verification.receipt, verification.faults
    amount = f"{plural(len(receipt.files), 'file')}, {size(receipt.size)}"
    if not (quiet and not faults):
        print(f"{receipt.model}: {amount}: {f'{len(faults)} at fault' if faults else 'all right'}")
    for finding in verification.findings if verbose else (*faults, *verification.changed):
        why = f": {finding.why}" if finding.why else ""
        print(f"  {finding.file.path}: {finding.condition}{why}")
