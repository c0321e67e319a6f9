"""The program as people run it: a process of its own, against hubs in this one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import acestep_fetch
from acestep_fetch.core.model import HubName
from tests.support.hub import ThreadedHub

CODE = str(Path(acestep_fetch.__file__).parents[1])  # the program that is run is the one that is imported here


@dataclass
class Hubs:
    """Two running hubs and the environment that leads to them."""

    hf: ThreadedHub
    ms: ThreadedHub
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def environment(self, **more: str) -> dict[str, str]:
        return {
            **os.environ,
            "HF_ENDPOINT": self.hf.url,
            "MODELSCOPE_ENDPOINT": self.ms.url,
            "ACESTEP_FETCH_PROBE_URL": f"{self.hf.url}/api/models/ACE-Step/Ace-Step1.5",
            "PYTHONPATH": CODE,
            **more,
        }

    def start(
        self, *arguments: str, patch: str = "", wrapper: Sequence[str] = (), **more: str
    ) -> subprocess.Popen[str]:
        """The program; `patch` is code that is run in its process before it, and `wrapper` a command that runs the one
        behind it."""
        how = (
            ["-c", f"{patch}\nfrom acestep_fetch.cli.main import program\nprogram()"]
            if patch
            else ["-m", "acestep_fetch"]
        )
        process = subprocess.Popen(
            [*wrapper, sys.executable, *how, *arguments],
            env=self.environment(**more),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def end(self) -> None:
        """Leaves no process behind, whatever became of the test."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.communicate()

    def run(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments, **more)
        out, err = process.communicate(timeout=110)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    @property
    def connections(self) -> int:
        """That are open now."""
        return sum(hub.hub.connections for hub in (self.hf, self.ms))

    @property
    def sent(self) -> int:
        """Bytes of file bodies that the hubs have put on the wire."""
        entries = [*self.hf.recorder.entries, *self.ms.recorder.entries]
        return sum(entry.sent for entry in entries if entry.kind.value != "api")


@contextmanager
def hubs(hf: Path, ms: Path | None = None, **settings: Any) -> Iterator[Hubs]:
    """Serves `hf` and `ms` (or `hf` twice), each in its own dialect only."""
    with (
        ThreadedHub(hf, hub=HubName.HUGGINGFACE, **settings) as one,
        ThreadedHub(ms or hf, hub=HubName.MODELSCOPE, **settings) as two,
    ):
        pair = Hubs(one, two)
        try:
            yield pair
        finally:
            pair.end()


def events(output: str) -> list[dict[str, Any]]:
    """The JSON lines of a run; a last line that a kill cut in two is left out."""
    return [json.loads(line) for line in output.splitlines() if line.endswith("}")]
