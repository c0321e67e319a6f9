"""``acestep-fetch list`` and ``--list``: the catalogue and what is here, from memory and a few stat calls."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from acestep_fetch.catalogue.asking import command
from acestep_fetch.cli.arguments import (
    add_folder,
    add_json,
    add_offline_anyhow,
    command_parser,
    folder_given,
    options_of,
)
from acestep_fetch.cli.columns import columns
from acestep_fetch.cli.results import print_document
from acestep_fetch.display.units import cut, one_line, percent, size
from acestep_fetch.engine.standing import ComponentState, ModelState, State, models
from acestep_fetch.options import Options
from acestep_fetch.storage.layout import Layout, choose_folder

_HEADS: Final = ("model", "state", "size", "VRAM", "quality", "speed", "for")
_RIGHT: Final = ("size", "VRAM")
_FIRST_TO_GO: Final = ("speed", "quality", "VRAM")  # on a narrow terminal, until the last column has room for itself
_LAST: Final = 18  # characters


def parser() -> argparse.ArgumentParser:
    top = command_parser(
        "list",
        "Shows every model of the catalogue: whether it is here, how large it is, and what it is for. Opens no socket.",
        "  acestep-fetch list\n  acestep-fetch list --installed --dir /models\n  acestep-fetch list --json",
    )
    add_folder(top)
    add_offline_anyhow(top)
    top.add_argument("--installed", action="store_true", help="only what is here, whole or in part")
    add_json(top)
    return top


def run(arguments: Sequence[str]) -> int:
    given = parser().parse_args(arguments)
    return show_models(options_of(given), folder_given(given), installed=given.installed, as_json=given.json)


def show_models(options: Options, named: Path | None = None, *, installed: bool = False, as_json: bool = False) -> int:
    """Prints the table, or the document, to stdout and returns 0. `named` is the folder that what is to be typed has to
    name."""
    layout = Layout(choose_folder(options.directory)[0])
    chosen = _chosen(layout, installed=installed)
    if as_json:
        print_document("list", {"folder": str(layout.root), "models": [model.to_dict() for model in chosen]})
        return 0
    if chosen:
        for line in table([_HEADS, *_rows(chosen)], columns(sys.stdout)):
            print(line)
        print()
    print(f"folder: {layout.root}{'' if chosen else ', without any model'}")
    print(f"fetch one with: {command('--model NAME', named)}")
    return 0


def table(rows: Sequence[tuple[str, ...]], room: int) -> Iterator[str]:
    """Lines of at most `room` characters; where that is little, columns are left out."""
    shown = list(range(len(_HEADS)))
    widths = [max(len(row[column]) for row in rows) for column in shown]
    for head in _FIRST_TO_GO:
        if sum(widths[column] + 2 for column in shown[:-1]) + min(_LAST, widths[-1]) > room:
            shown.remove(_HEADS.index(head))
    for row in rows:
        cells = [
            row[column].rjust(widths[column]) if _HEADS[column] in _RIGHT else row[column].ljust(widths[column])
            for column in shown[:-1]
        ]
        yield cut("  ".join([*cells, row[-1]]), room).rstrip()


def state_of(state: State, held: int, size: int) -> str:
    """``ready``, ``partial 41 %``; without a figure where the whole is not known."""
    return f"{state} {percent(held, size)} %" if state is State.PARTIAL and size else str(state)


def _chosen(layout: Layout, *, installed: bool) -> list[ModelState]:
    return [model for model in models(layout) if model.here or not installed]


def _rows(chosen: Sequence[ModelState]) -> Iterator[tuple[str, ...]]:
    for model in chosen:
        yield _row(model, one_line(model.name), state_of(model.state, model.held, model.size))
        for component in model.components:
            is_part = model.state is State.PARTIAL and component.size
            yield _row(
                component, f"  {component.name}", f"{percent(component.held, component.size)} %" if is_part else ""
            )


def _row(entry: ModelState | ComponentState, name: str, state: str) -> tuple[str, ...]:
    amount = f"{'~' if entry.approximate else ''}{size(entry.size)}" if entry.size else ""
    vram = f"{entry.vram:g} GB" if entry.vram else ""
    return (name, state, amount, vram, entry.quality, entry.speed, entry.purpose)
