"""``acestep-fetch list`` and ``--list``: the catalogue and what is here, from memory and a few stat calls."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator, Sequence

from acestep_fetch.catalogue import ComponentEntry, Model, load_catalogue
from acestep_fetch.cli.arguments import add_folder, command_parser, options_of
from acestep_fetch.display.units import size
from acestep_fetch.options import Options
from acestep_fetch.storage import receipts
from acestep_fetch.storage.layout import Layout, choose_folder

_HEADS = ("model", "size", "VRAM", "quality", "speed", "state", "for")


def parser() -> argparse.ArgumentParser:
    top = command_parser(
        "list",
        "Shows every model of the catalogue: how large it is, what it is for, and whether it is here. Opens no socket.",
        "  acestep-fetch list\n  acestep-fetch list --dir /models",
    )
    add_folder(top)
    return top


def run(arguments: Sequence[str]) -> int:
    return print_models(options_of(parser().parse_args(arguments)))


def print_models(options: Options) -> int:
    """Prints the table to stdout and returns 0."""
    folder, _ = choose_folder(options.directory)
    rows = [_HEADS, *_rows(Layout(folder))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADS) - 1)]
    room = shutil.get_terminal_size((120, 24)).columns if sys.stdout.isatty() else 10_000
    for row in rows:
        cells = [
            cell.rjust(w) if i in (1, 2) else cell.ljust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=False))
        ]
        print("  ".join([*cells, row[-1]])[:room].rstrip())
    print(f"\nfolder: {folder}\nfetch one with: acestep-fetch --model NAME")
    return 0


def _rows(layout: Layout) -> Iterator[tuple[str, ...]]:
    for model in load_catalogue().models:
        yield _row(model.name, model, _state(model, layout))
        for component in model.components:
            yield _row(f"  {component.name}", component, "")


def _row(name: str, entry: Model | ComponentEntry, state: str) -> tuple[str, ...]:
    amount = f"{'~' if entry.approximate else ''}{size(entry.size)}" if entry.size else ""
    vram = f"{entry.vram:g} GB" if entry.vram else ""
    return (name, amount, vram, entry.quality, entry.speed, state, entry.purpose)


def _state(model: Model, layout: Layout) -> str:
    receipt = receipts.read_receipt(layout.receipts, model.name)
    if receipt is not None:
        return "ready" if receipts.compare(receipt, layout.root).ready else "changed"
    if any(layout.final(name).exists() for name in model.folders):
        return "unverified"
    return "announced" if model.announced else "absent"
