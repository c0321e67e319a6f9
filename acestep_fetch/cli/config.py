"""``acestep-fetch config``: what is set, by whom, and the files in which it could be. Opens no socket."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Any

from acestep_fetch.cli.arguments import Showing, add_offline_anyhow, command_parser
from acestep_fetch.cli.columns import columns, print_folded
from acestep_fetch.cli.results import print_document
from acestep_fetch.configuration.files import Source, everything, fields_of, remarks, sources
from acestep_fetch.configuration.layers import Said, resolve
from acestep_fetch.configuration.settings import SETTINGS, Setting
from acestep_fetch.core.secrecy import MASK, scrubbed
from acestep_fetch.options import Options


def parser() -> argparse.ArgumentParser:
    top = command_parser(
        "config",
        "Shows every setting as a run would have it (secrets as ***), or the files that are looked at.",
        "  acestep-fetch config show --origin   who says so: a variable, a file and its line, or nobody\n"
        "  acestep-fetch config path            the files, highest first",
    )
    top.add_argument(
        "what",
        nargs="?",
        choices=("show", "path"),
        default="show",
        help="the settings, or the files that may hold some",
    )
    top.add_argument("--origin", action="store_true", help="show where each value comes from")
    add_offline_anyhow(top)
    top.add_argument("--json", action="store_true", help="one JSON document, always with the origins")
    return top


def run(arguments: Sequence[str]) -> int:
    given = parser().parse_args(arguments)
    return _show(given) if given.what == "show" else _paths(given)


def _show(given: argparse.Namespace) -> int:
    among = everything(os.environ)
    found = resolve(SETTINGS, among)
    options = Options(**fields_of(found))  # type: ignore[arg-type]  # a wrong combination is told here, too
    if given.json:
        print_document("config", {"settings": [_entry(s, found.get(s.key), options) for s in SETTINGS]})
    else:
        _print_table([_row(s, found.get(s.key), options, origin=given.origin) for s in SETTINGS])
    for remark in remarks(os.environ, among):
        print(f"not used: {remark}", file=sys.stderr)
    return 0


def _entry(setting: Setting, said: Said | None, options: Options) -> dict[str, Any]:
    """A value as JSON has it; null where there is none. Nobody is told a secret, nor how long it is."""
    origin = asdict(said.origin) if said else {"kind": "default", "name": None, "file": None, "line": None}
    return {"key": setting.key, "value": _value(setting, said, options), "origin": origin}


def _row(setting: Setting, said: Said | None, options: Options, *, origin: bool) -> tuple[str, ...]:
    """The same in words."""
    value = _value(setting, said, options)
    if said is None:
        text = setting.default or _text(value)
    else:
        text = scrubbed(said.text) if isinstance(said.value, int | float) and setting.metavar else _text(value)
    return (setting.key, text, *([str(said.origin) if said else "default"] if origin else []))


def _value(setting: Setting, said: Said | None, options: Options) -> Any:
    if said and setting.is_secret:
        return MASK
    if said:
        return _plain(said.text if said.value is None else said.value)
    return _plain(getattr(options if setting.field else Showing(), setting.field or setting.dest, None))


def _plain(value: object) -> Any:
    match value:
        case Enum():
            return value.value
        case Path() | str():
            return scrubbed(str(value))
        case tuple():
            return [_plain(part) for part in value]
    return value


def _text(value: Any) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(value)
        case float():
            return f"{value:g}"
    return "" if value is None else str(value)


def _print_table(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    room = columns(sys.stdout)
    if len(widths) > 2 and sum(widths) + 4 > room:  # a long value would push the origins of all others away
        widths[1] = max(12, min(widths[1], room - widths[0] - 30))
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        print_folded(line, " " * (widths[0] + 2))


def _paths(given: argparse.Namespace) -> int:
    here = Path.cwd()
    found = sources(os.environ, here)
    if given.json:
        print_document("config", {"files": [_file(source) for source in found]})
    for source in found if not given.json else ():
        print(f"{source.file}{'' if source.file.is_file() else '  (not there)'}")
    return 0


def _file(source: Source) -> dict[str, Any]:
    return {"kind": source.kind, "file": str(source.file), "exists": source.file.is_file()}
