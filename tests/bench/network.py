"""The emulated links and the hubs at their far ends."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from acestep_fetch.core.model import HubName
from tests.bench.corpora import Corpus
from tests.bench.scenarios import HOSTS, Scenario

ROOT: Final = Path(__file__).resolve().parents[2]


def why_not() -> str | None:
    """The reason why links cannot be emulated here; None if they can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "network namespaces need Linux and root"
    if not (_wan_folder() / "wan.py").is_file():
        return "no link emulator: set WAN_PATH to its folder"
    if not any(shutil.which(name) for name in ("cc", "gcc", "clang")):
        return "the link emulator needs a C compiler"
    return None


def _wan_folder() -> Path:
    return Path(os.environ.get("WAN_PATH") or ROOT / ".." / "shared" / "wan").resolve()


class HubProcess:
    """A `hubd` that answers commands."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.port: int = self._answer().get("port", 0)

    def ask(self, command: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n".encode())
        self._process.stdin.flush()
        return self._answer()

    def stop(self) -> None:
        self._process.terminate()
        self._process.communicate()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a hub ended with exit code {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def hub_command(corpus: Corpus, hub: HubName, *more: str) -> list[str]:
    return [sys.executable, "-m", "tests.bench.hubd", str(corpus.roots[hub]), hub.value, corpus.repo, *more]


PIPES: Final[dict[str, Any]] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "cwd": ROOT}


class Network:
    """A scenario that is up. Commands of `run_as_client` see the hubs as ``http://hf`` and ``http://ms``."""

    def __init__(self, wan: Any, hubs: dict[HubName, HubProcess]) -> None:
        self.wan, self.hubs = wan, hubs

    def command(self, inner: Sequence[str]) -> list[str]:
        """`inner`, to be run at the client's end."""
        return list(self.wan.argv("client", inner))

    def begin(self) -> None:
        """Counters at zero."""
        for hub in self.hubs.values():
            hub.ask("clear")
        self.wan.reset()

    def end(self) -> tuple[dict[HubName, dict[str, Any]], dict[str, Any]]:
        """The hubs' counters and the emulator's, since `begin`."""
        return {name: hub.ask("dump") for name, hub in self.hubs.items()}, self.wan.stats()

    def stall(self, hub: HubName, seconds: float) -> None:
        self.wan.stall(HOSTS[hub], seconds, "busiest")


@contextmanager
def network(scenario: Scenario, corpus: Corpus) -> Iterator[Network]:
    """Builds the scenario's links, with a warm hub at the end of each that is up."""
    sys.path.insert(0, str(_wan_folder().parent))
    make = importlib.import_module(_wan_folder().name).Wan
    links = {HOSTS[hub]: dict(scenario.link(hub)) for hub in HubName}
    with make(links, access_mbit=scenario.access_mbit) as wan, ExitStack() as stack:
        hubs = dict[HubName, HubProcess]()
        for hub in scenario.up:
            process = wan.popen(HOSTS[hub], hub_command(corpus, hub), **PIPES)
            stack.callback(process.kill)
            hubs[hub] = HubProcess(process)
            stack.callback(hubs[hub].stop)
        yield Network(wan, hubs)
