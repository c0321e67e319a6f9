"""Colours on a terminal: by NO_COLOR, and by --color over it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.conftest import hubs
from tests.support.trees import make_repo

pty = pytest.importorskip("pty", reason="needs pseudo-terminals")
_COLOUR = re.compile(rb"\x1b\[[0-9;]*3[0-7]m")


def seen(root: Path, folder: Path, *arguments: str, **more: str) -> bytes:
    """What a terminal gets to see of a run."""
    ours, theirs = pty.openpty()
    with hubs(root) as pair:
        command = [sys.executable, "-m", "acestep_fetch", "--skip-main", "--model", "made/Repo", "--dir", str(folder)]
        environ = pair.environment(TERM="xterm-256color", **more)
        process = subprocess.Popen([*command, *arguments], env=environ, stdout=subprocess.DEVNULL, stderr=theirs)
        os.close(theirs)
        shown = b""
        while chunk := _read(ours):
            shown += chunk
        os.close(ours)
        assert process.wait(60) == 0
    return shown


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # how Linux says that nobody writes there any more
        return b""


@pytest.mark.parametrize(
    ("arguments", "environ", "colourful"),
    [
        ((), {}, True),
        ((), {"NO_COLOR": "1"}, False),
        (("--color", "never"), {}, False),
        (("--color", "never"), {"FORCE_COLOR": "1"}, False),
        (("--color", "always"), {"NO_COLOR": "1"}, True),
    ],
)
def test_who_wants_colours_has_them(
    arguments: tuple[str, ...], environ: dict[str, str], colourful: bool, tmp_path: Path
) -> None:
    make_repo(tmp_path / "hub", "made/Repo", {"model.safetensors": 100_000, "config.json": 10})
    shown = seen(tmp_path / "hub", tmp_path / "out", *arguments, **{"NO_COLOR": "", "FORCE_COLOR": "", **environ})
    assert b"ready" in shown
    assert bool(_COLOUR.search(shown)) is colourful
