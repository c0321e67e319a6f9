"""``acestep-fetch bundle needs | create | import``: models for a box without a network, on a disk that is carried."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import Final

from acestep_fetch import api
from acestep_fetch.catalogue import load_catalogue
from acestep_fetch.catalogue.models import MAIN
from acestep_fetch.cli.arguments import (
    add_folder,
    add_models,
    add_offline_anyhow,
    add_output,
    command_parser,
    explained,
    options_of,
    showing_of,
)
from acestep_fetch.cli.outlet import Outlet
from acestep_fetch.cli.results import print_folders, print_text
from acestep_fetch.core.bundle import Bundle, Needs, render_needs
from acestep_fetch.core.errors import IncompleteError, UsageError
from acestep_fetch.core.lock import LOCK_NAME, Lock
from acestep_fetch.display.units import plural, size
from acestep_fetch.engine.packing import everything_of, pack, plan_bundle
from acestep_fetch.engine.received import lock_received
from acestep_fetch.options import Options, expanded, parse_size
from acestep_fetch.storage.carried import read_bundle, read_needs
from acestep_fetch.storage.layout import Layout, choose_folder
from acestep_fetch.storage.lockfile import read_lock, write_named

_SPLIT: Final = "4GB"  # a volume then fits on a stick that is formatted with FAT
_SMALLEST: Final = 1_000_000  # bytes of a volume: below, a bundle is mostly names
_NEEDS_EXAMPLES: Final = """\
  acestep-fetch bundle needs --all -o needs.json
  acestep-fetch bundle needs --lock acestep-fetch.lock --dir /models"""
_CREATE_EXAMPLES: Final = """\
  acestep-fetch bundle create needs.json -o usb/ace
  acestep-fetch bundle create --model main -o usb/ace --split 2GB"""
_IMPORT_EXAMPLES: Final = """\
  acestep-fetch bundle import usb/ace
  acestep-fetch bundle import usb/ace --dir /models -q"""


def parser() -> argparse.ArgumentParser:
    top = command_parser(
        "bundle",
        "Carries models to a box without a network. That box says what it lacks, to the byte where there is a lock; a "
        "box that has the models packs exactly that into volumes; the first box proves every file while it copies it.",
        "  acestep-fetch bundle needs --all -o needs.json       there: what is lacking\n"
        "  acestep-fetch bundle create needs.json -o usb/ace    here: pack it\n"
        "  acestep-fetch bundle create --model main -o usb/ace  here: a whole model\n"
        "  acestep-fetch bundle import usb/ace                  there: make it ready",
    )
    actions = top.add_subparsers(dest="action", metavar="needs | create | import", required=True)
    needs = actions.add_parser(
        "needs", help="write down what is lacking here", **explained(_needs.__doc__ or "", _NEEDS_EXAMPLES)
    )
    add_models(needs)
    needs.add_argument("--lock", metavar="FILE", help=f"what there should be (default: ./{LOCK_NAME}, if it is there)")
    needs.add_argument("-o", "--output", metavar="FILE", help="where to write it (default: stdout)")
    create = actions.add_parser(
        "create", help="pack what another box lacks", **explained(_create.__doc__ or "", _CREATE_EXAMPLES)
    )
    create.add_argument("needs", nargs="?", metavar="NEEDS", help="what the other box has written down")
    add_models(create)
    create.add_argument("--lock", metavar="FILE", help="pack the models as this lock has them")
    create.add_argument("-o", "--output", metavar="FOLDER", required=True, help="where the volumes go")
    create.add_argument("--split", default=_SPLIT, metavar="SIZE", help=f"of a volume, at most (default {_SPLIT})")
    create.add_argument("-q", "--quiet", action="store_true", help="only errors")
    bring = actions.add_parser(
        "import", help="make ready what a bundle has", **explained(_import.__doc__ or "", _IMPORT_EXAMPLES)
    )
    bring.add_argument("bundle", metavar="FOLDER", help="where the volumes are")
    for action in (needs, create, bring):
        add_folder(action)
        add_offline_anyhow(action)
    add_output(bring)
    return top


def run(arguments: Sequence[str]) -> int:
    with Outlet("bundle", arguments, has_stream=False) as outlet:
        given = parser().parse_args(arguments)
        if given.action == "import":
            return _import(given, outlet)
        outlet.only_looks()
        return _needs(given) if given.action == "needs" else _create(given)


def _needs(given: argparse.Namespace) -> int:
    """Writes down what the models lack to be ready here. With a lock: which bytes of which files; without: which
    models. Opens no socket."""
    options = options_of(given)
    if not options.lock and Path(LOCK_NAME).exists():
        options = options_of(argparse.Namespace(**vars(given) | {"lock": LOCK_NAME}))
    needs = api.needs(options, lambda path: print(f"looking at {path}", file=sys.stderr))
    text = render_needs(needs)
    if given.output:
        write_named(expanded(given.output), text)
    else:
        print_text(text)
    print(_said_of(needs), file=sys.stderr)
    return 0


def _said_of(needs: Needs) -> str:
    if needs.repos:
        return f"lacking, and no lock says which bytes: {', '.join(needs.repos)}"
    if not needs.lock.models:
        return "nothing is lacking"
    names = ", ".join(model.name for model in needs.lock.models)
    return f"{names}: {size(needs.size)} of {plural(len(needs.lacks), 'file')} lacking"


def _create(given: argparse.Namespace) -> int:
    """Packs what NEEDS says, or whole models, from verified files that are here, into volumes. Volumes that are there
    and right are not written again."""
    options = options_of(given)
    if given.needs and (given.model or given.all or given.lock):
        raise UsageError("the needs already say which models", hint="leave out --model, --all and --lock")
    layout = Layout(choose_folder(options.directory)[0])
    needs, fetch = _asked_for(given, options, layout)
    if not needs.lock.models:
        print("nothing is lacking: no bundle is needed", file=sys.stderr)
        return 0
    plan, held = plan_bundle(needs, layout, _split(given.split), fetch)
    folder = expanded(given.output)
    with _bar(sum(held[c.sha256].size for c in plan.contents), quiet=given.quiet) as tell:
        bundle = pack(folder, plan, held, tell)
    if not given.quiet:
        print(f"{folder}: {_said_of_a(bundle)}", file=sys.stderr)
    return 0


def _asked_for(given: argparse.Namespace, options: Options, layout: Layout) -> tuple[Needs, str]:
    """What is to be packed, and the command that fetches it."""
    where = f"--dir {quote(str(layout.root))}"
    needs = read_needs(expanded(given.needs)) if given.needs else None
    if needs and not needs.repos:
        return needs, f"acestep-fetch --lock {quote(given.needs)} {where}"
    models = load_catalogue().bring(needs.repos) if needs else api.wanted_models(options)
    if options.lock and not needs:
        lock = read_lock(options.lock)
        named = [found for model in models if (found := lock.find(model.name))]
        return everything_of(Lock(tuple(named))), f"acestep-fetch --lock {quote(str(options.lock))} {where}"
    chosen = " ".join(f"--model {model.repo}" for model in models if model.name != MAIN)
    skip = "" if any(model.name == MAIN for model in models) else "--skip-main "
    fetch = f"acestep-fetch {skip}{chosen + ' ' if chosen else ''}{where}"
    try:
        return everything_of(lock_received(models, layout, options)), fetch
    except IncompleteError as error:
        raise IncompleteError(error.message, hint=f"fetch it first: {fetch}") from error


def _split(text: str) -> int:
    try:
        found = parse_size(text)
    except UsageError as error:
        raise UsageError(f"--split: {error.message}", hint=error.hint) from None
    if found < _SMALLEST:
        raise UsageError(
            f"--split: {text} is too little for a volume",
            hint="give 1MB or more; each volume is a file of its own to copy",
        )
    return found


def _said_of_a(bundle: Bundle) -> str:
    amount = size(sum(volume.size for volume in bundle.volumes))
    return f"{', '.join(model.name for model in bundle.lock.models)}: {plural(len(bundle.volumes), 'volume')}, {amount}"


@contextmanager
def _bar(total: int, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    if quiet or not sys.stderr.isatty():
        yield lambda count: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("packing"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("packing", total=total)
        yield lambda count: progress.update(task, advance=count)


def _import(given: argparse.Namespace, outlet: Outlet) -> int:
    """Makes ready what a bundle has, proving each file. What is complete is kept, whatever ends this; a volume that is
    missing or damaged is named (6)."""
    from acestep_fetch.cli.running import run_loop

    folder = expanded(given.bundle)
    read_bundle(folder)  # what is no bundle is told before anything is drawn
    with outlet.showing(given.progress, showing_of(given)):
        report = run_loop(options_of(given), outlet, bundle=folder)
    if isinstance(report, int):
        return report
    if given.quiet and not outlet.is_json:
        print_folders(report.folders)
    return report.exit_code
