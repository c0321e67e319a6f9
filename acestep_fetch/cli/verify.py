"""``acestep-fetch verify [MODEL ...]``: are the finished files still what they were? Offline."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from acestep_fetch.catalogue.asking import command
from acestep_fetch.cli.arguments import add_json, add_offline_anyhow, command_parser, folder_given
from acestep_fetch.cli.inspection import add_arguments, folder_of, inspected, print_verdict
from acestep_fetch.cli.results import error_of, print_document, results
from acestep_fetch.core.errors import FetchError, IncompleteError


def parser() -> argparse.ArgumentParser:
    top = command_parser(
        "verify",
        "Compares every finished file with the digest that it had when it was fetched. Ends with 11 where one is "
        "damaged or missing, and changes nothing. Opens no socket.",
        "  acestep-fetch verify\n  acestep-fetch verify main --fast\n  acestep-fetch verify --json",
    )
    add_arguments(top)
    top.add_argument("--fast", action="store_true", help="compare sizes and times only")
    add_json(top)
    add_offline_anyhow(top)
    return top


def run(arguments: Sequence[str]) -> int:
    given = parser().parse_args(arguments)
    about = {"folder": str(folder_of(given).root), "fast": given.fast}
    try:
        found = inspected(given, fast=given.fast)
    except FetchError as error:  # nothing was finished here, for one
        with results():
            if given.json:
                print_document("verify", about | {"models": [], "error": error_of(error)})
        raise
    with results():
        if given.json:
            print_document("verify", about | {"models": [verification.to_dict() for verification in found]})
        else:
            for verification in found:
                print_verdict(verification, quiet=given.quiet, verbose=given.verbose)
    faulty = [v for v in found if v.faults]
    if faulty:
        count = sum(len(v.faults) for v in faulty)
        names = dict.fromkeys(v.receipt.model for v in faulty)
        raise IncompleteError(
            f"{count} {'file is' if count == 1 else 'files are'} {'changed' if given.fast else 'damaged'} or missing",
            hint=f"see for certain with: {command('verify', folder_given(given), names)}"
            if given.fast
            else f"fetch what does not hold with: {command('repair', folder_given(given), names)}",
        )
    return 0
