"""A repository, two hubs that have it, and the program that fetches it onto whatever disk a test has made."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from acestep_fetch.storage.journal import RECORD_SIZE
from tests.disk.zygote import Forked, Zygote
from tests.end_to_end.conftest import Hubs, events
from tests.support.faults import Rule, Throttle
from tests.support.trees import tree_digests

REPO: Final = "made/Repo"
FOLDER: Final = "Repo"
LARGE: Final = "model.bin"
FILES: Final = {LARGE: (5 << 20) + 17, "other.bin": 3 << 20, "a/vocab.txt": 60_000, "config.json": 300}
SIZE: Final = sum(FILES.values())
FLAGS: Final = ("--skip-main", "--model", REPO, "--progress", "json", "-x", "4")


@dataclass
class Ran:
    """How a run of the program ended."""

    code: int
    said: list[dict[str, Any]]
    out: str
    err: str

    @property
    def error(self) -> str:
        return self.said[-1]["error"] or "" if self.said else self.err

    @property
    def hint(self) -> str:
        return self.said[-1]["hint"] or "" if self.said else self.err

    @property
    def fetched(self) -> int:
        return int(self.said[-1]["bytes_fetched"])

    @property
    def told(self) -> str:
        """All that was said on the way, as one text."""
        return "\n".join(map(str, self.said))


@dataclass
class Lab:
    """`wrapper` is a command that starts the program: as another user, with other limits."""

    pair: Hubs
    root: Path
    zygote: Zygote
    started: list[subprocess.Popen[str] | Forked] = field(default_factory=list)

    @property
    def original(self) -> dict[str, str]:
        return tree_digests(self.root / REPO)

    def start(self, folder: Path, *more: str, wrapper: tuple[str, ...] = ()) -> subprocess.Popen[str] | Forked:
        return self._start(["--dir", str(folder), *FLAGS, *more], wrapper)

    def _start(self, arguments: list[str], wrapper: tuple[str, ...] = ()) -> subprocess.Popen[str] | Forked:
        if wrapper:
            process: subprocess.Popen[str] | Forked = self.pair.start(*arguments, wrapper=wrapper)
        else:
            process = self.zygote.start(arguments, self.pair.environment())
        self.started.append(process)
        return process

    def run(self, folder: Path, *more: str, wrapper: tuple[str, ...] = ()) -> Ran:
        return self.end(self.start(folder, *more, wrapper=wrapper))

    def end(self, process: subprocess.Popen[str] | Forked) -> Ran:
        out, err = process.communicate(timeout=60)
        assert "Traceback" not in err, err
        assert process.returncode is not None
        return Ran(process.returncode, events(out), out, err)

    def stop_half_way(self, process: subprocess.Popen[str] | Forked, folder: Path) -> None:
        """Ctrl-C once something is in a journal."""
        until(lambda: records(folder))
        process.send_signal(signal.SIGINT)
        assert self.end(process).code == 130

    def call(self, *arguments: str) -> Ran:
        """A subcommand."""
        return self.end(self._start(list(arguments)))

    @contextmanager
    def slowly(self, rate: float = 1.5e6) -> Iterator[None]:
        """The hubs send so many bytes a second on each connection."""
        rules = [hub.faults.rules for hub in (self.pair.hf, self.pair.ms)]
        for each in rules:
            each.append(Rule(Throttle(rate), method=None))
        try:
            yield
        finally:
            for each in rules:
                each.pop()

    def wrong(self, folder: Path) -> set[str]:
        """Files under their final names that are not what the hubs have."""
        here = tree_digests(folder / FOLDER) if (folder / FOLDER).exists() else {}
        return {path for path, digest in here.items() if self.original.get(path) != digest}

    def is_whole(self, folder: Path) -> bool:
        return tree_digests(folder / FOLDER) == self.original


def mostly(names: Iterable[str], *, long: Iterable[str]) -> list[Any]:
    """Parameters of a test, of which those in `long` are run with `make test-long` only: they are like others."""
    late = set(long)
    every = list(names)
    assert late <= set(every)
    return [pytest.param(name, marks=[pytest.mark.long] if name in late else []) for name in every]


def parts(folder: Path) -> list[Path]:
    return list((folder / ".acestep-fetch" / "parts").glob("*.part"))


def records(folder: Path) -> int:
    """How many pieces the journals of all parts speak of."""
    found = 0
    for path in (folder / ".acestep-fetch" / "parts").glob("*.journal"):
        with suppress(FileNotFoundError):
            blob = path.read_bytes()
            header = 12 + int.from_bytes(blob[8:12], "little") + 4
            found += max(0, len(blob) - header) // RECORD_SIZE
    return found


def leftovers(folder: Path) -> list[str]:
    """What nobody would ask for again."""
    state = folder / ".acestep-fetch"
    kept = {"pieces", "receipts"}
    inside = (path for path in state.rglob("*") if path.is_file() and path.parent.name not in kept)
    outside = (path for path in (folder / FOLDER).rglob("*.tmp"))
    return [str(path.relative_to(folder)) for path in (*inside, *outside) if not path.name.startswith("lease")]


def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    due = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < due, "it never came to that"
        time.sleep(0.005)
