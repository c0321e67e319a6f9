"""The blocks of code on the pages, and a box to play them on, with stand-ins for the programs of its platform."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from acestep_fetch.cli.commands import BY_NAME
from acestep_fetch.core.errors import UsageError
from tests.end_to_end.conftest import CODE, Hubs

DOCS = Path(__file__).parents[2] / "docs"

# Programs that a box of its own would have. Each leaves in $TOLD what it was asked to do.
STAND_INS = {
    "acestep-fetch": f'exec {sys.executable} -m acestep_fetch "$@"',
    "srun": 'for rank in 0 1 2 3; do SLURM_PROCID=$rank "$@" & done; code=0; for rank in 0 1 2 3; do wait -n || '
    "code=$?; done; exit $code",
    "uv": 'echo "uv $*" >> $TOLD',
    "pip": 'echo "pip $*" >> $TOLD',
    "sleep": "exit 0",
    "nvidia-smi": 'echo "12282, Some GPU"',
    # the copy of a tree, with times to the second as an object store has them
    "rclone": 'mkdir -p "$3"; tar -C "$2" --exclude=.acestep-fetch --format=v7 -cf - . | tar -C "$3" -xf -',
}


@dataclass(frozen=True)
class Block:
    page: str
    section: str
    language: str
    text: str

    @property
    def command_lines(self) -> list[list[str]]:
        """The words of each call of the program in a shell's lines."""
        joined = self.text.replace("\\\n", " ")
        return [
            shlex.split(found[1], comments=True)
            for line in joined.splitlines()
            for found in re.finditer(r"(?:^|[\s/&|(])acestep-fetch((?: +[^&|;>)\s]+)*)", line)
            if not line.lstrip().startswith(("#", "COPY", "WORKDIR"))
        ]


def blocks(page: str) -> list[Block]:
    found, section, language, lines = list[Block](), "", "", list[str]()
    for line in (DOCS / page).read_text("utf-8").splitlines():
        fence = re.fullmatch(r"```(\w*)", line)
        if fence and language:
            found.append(Block(page, section, language, "\n".join(lines) + "\n"))
            language, lines = "", []
        elif fence:
            language = fence[1] or "text"
        elif language:
            lines.append(line)
        elif line.startswith("## "):
            section = line[3:]
    return found


def block(page: str, section: str, language: str, number: int = 0) -> Block:
    there = [each for each in blocks(page) if (each.section, each.language) == (section, language)]
    return there[number]


def misunderstood(words: Sequence[str]) -> str | None:
    """What the program would say against a command line, None if it takes it."""
    name = words[0] if words and not words[0].startswith("-") else "get"
    if name not in BY_NAME:
        return f"there is no command {name!r}"
    parser = import_module(f"acestep_fetch.cli.{BY_NAME[name].module}").parser()
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parser.parse_args(words[words[:1] == [name] :])
    except (SystemExit, UsageError) as wrong:
        return said.getvalue().strip().rpartition("\n")[2] or str(wrong)
    return None


@dataclass
class Box:
    """A machine of its own under `root`, to which `hubs` are the two hubs."""

    root: Path
    hubs: Hubs
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.root / "bin").mkdir(parents=True)
        (self.root / "work").mkdir()
        for name, script in STAND_INS.items():
            self.add(name, script)

    def add(self, name: str, script: str) -> None:
        program = self.root / "bin" / name
        program.write_text(f"#!/bin/bash\n{script}\n")
        program.chmod(0o755)

    def moved(self, text: str) -> str:
        """`text` with its absolute folders inside of `root`."""
        return re.sub(
            r"(?<![\w:/.])/(?=(?:models|srv|opt|workspace|run|build|dev/termination-log)\b)", f"{self.root}/", text
        )

    def environment(self) -> dict[str, str]:
        return self.hubs.environment(
            PATH=f"{self.root / 'bin'}:{os.environ['PATH']}", TOLD=str(self.root / "told"), PYTHONPATH=CODE,
            SCRATCH=str(self.root / "scratch"), WORKSPACE=str(self.root / "workspace"), **self.variables,
        )  # fmt: skip

    def play(self, script: str, *, moved: bool = True) -> subprocess.CompletedProcess[str]:
        """`script` in the shell that its first line names, bash if none."""
        path = self.root / "script"
        path.write_text(self.moved(script) if moved else script)
        return self.run(["bash", str(path)])

    def run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=self.root / "work", env=self.environment(), capture_output=True, text=True, timeout=100,
            check=False,
        )  # fmt: skip

    @property
    def told(self) -> list[str]:
        file = self.root / "told"
        return file.read_text().splitlines() if file.exists() else []


def files_below(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())
