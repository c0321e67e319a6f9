"""``acestep-fetch serve DIR``: an embedded hub that speaks both hubs' APIs, for the LAN, demos and tests."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from acestep_fetch.cli.arguments import command_parser
from acestep_fetch.core.errors import UsageError


def parser() -> argparse.ArgumentParser:
    top = command_parser(
        "serve",
        "Serves a checkpoints folder, or a folder of repositories (DIR/OWNER/NAME/...), as both hubs.",
        "  acestep-fetch serve ./checkpoints --host 0.0.0.0 --port 8080",
    )
    top.add_argument("directory", metavar="DIR", type=Path)
    top.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    top.add_argument("--port", type=int, default=8000, help="port; 0 for any free one (default 8000)")
    return top


def run(arguments: Sequence[str]) -> int:
    given = parser().parse_args(arguments)
    if not given.directory.is_dir():
        raise UsageError(
            f"{given.directory}: no such folder", hint="name a checkpoints folder or a folder of repositories"
        )
    if not 0 <= given.port <= 65535:
        raise UsageError(f"--port {given.port}: ports go from 0 to 65535", hint="0 takes any that is free")
    from acestep_fetch.serve.app import run as serve

    try:
        return serve(given.directory, given.host, given.port)
    except OSError as exc:
        where = f"{given.host}:{given.port}"
        raise UsageError(f"cannot listen on {where}: {exc.strerror or exc}", hint="choose another --port") from exc
