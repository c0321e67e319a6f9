"""``acestep-fetch version``: this program and what it runs on, for a bug report."""

from __future__ import annotations

import argparse
import platform
from collections.abc import Sequence

from acestep_fetch import __version__
from acestep_fetch.cli.arguments import add_json, command_parser
from acestep_fetch.cli.results import print_document
from acestep_fetch.doctor.machine import versions


def parser() -> argparse.ArgumentParser:
    top = command_parser(
        "version",
        "Shows the versions of this program, of Python and of the libraries, which are not loaded for that.",
        "  acestep-fetch version\n  acestep-fetch version --json",
    )
    add_json(top)
    return top


def run(arguments: Sequence[str]) -> int:
    given = parser().parse_args(arguments)
    python = f"{platform.python_implementation()} {platform.python_version()}"
    system, libraries = platform.platform(), versions()
    if given.json:
        about = {"version": __version__, "python": python, "platform": system, "libraries": libraries}
        print_document("version", about)
        return 0
    print(f"acestep-fetch {__version__}\n{python} on {system}")
    for name, version in libraries.items():
        print(f"{name} {version or 'is not installed'}")
    return 0
