"""The program as a process of its own, without the third of a second that its imports take.

A helper process has imported everything and forks for each run: what runs is `acestep_fetch.cli.main.program` with its
own arguments, environment, output and signals. One run at a time.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Final

_OURS: Final = "api cli.get display engine.run engine.session hubs storage.sweeping transport.api transport.streams"
PRELOADED: Final = (
    *(f"acestep_fetch.{name}" for name in _OURS.split()),
    "anyio._backends._asyncio",
    "httpcore._async.http11",
)


class Zygote:
    """The helper. `start` a run, `close` it in the end."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.disk.zygote"]
        self._said = b""
        self._helper = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def start(self, arguments: list[str], environment: Mapping[str, str]) -> Forked:
        assert self._helper.stdin
        output = Path(tempfile.mkdtemp(prefix="forked-"))
        request = {"arguments": arguments, "environment": dict(environment), "output": str(output)}
        self._helper.stdin.write(json.dumps(request) + "\n")
        self._helper.stdin.flush()
        return Forked(self, int(self.answer("began", 30)), output)

    def answer(self, question: str, seconds: float) -> str:
        """What the helper answers to `question`; what it says late of an earlier run is passed by."""
        while True:
            asked, _, said = self._line(seconds).rpartition(" ")
            if asked == question:
                return said

    def _line(self, seconds: float) -> str:
        assert self._helper.stdout
        while b"\n" not in self._said:  # not through Python's own buffer, which `select` does not see into
            if not select.select([self._helper.stdout], [], [], seconds)[0]:
                raise subprocess.TimeoutExpired("acestep-fetch", seconds)
            came = os.read(self._helper.stdout.fileno(), 4096)
            assert came, "the helper is gone"
            self._said += came
        line, _, self._said = self._said.partition(b"\n")
        return line.decode()

    def close(self) -> None:
        self._helper.communicate()


class Forked:
    """A run, with what is used of `subprocess.Popen`."""

    def __init__(self, zygote: Zygote, pid: int, output: Path) -> None:
        assert pid > 1, "a signal would reach others"
        self.pid = pid
        self.returncode: int | None = None
        self._zygote, self._output = zygote, output

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def communicate(self, timeout: float) -> tuple[str, str]:
        """Waits for the end; what was written to stdout and stderr."""
        self.returncode = int(self._zygote.answer(f"ended {self.pid}", timeout))
        texts = [self._output / name for name in ("out", "err")]
        out, err = (path.read_text() for path in texts)
        for path in texts:
            path.unlink()
        self._output.rmdir()
        return out, err

    def stop(self) -> None:
        """Kills it, if it still runs."""
        if self.returncode is None:
            os.kill(self.pid, signal.SIGKILL)
            self.communicate(30)


def _serve() -> None:
    for name in PRELOADED:
        import_module(name)
    while line := sys.stdin.readline():
        request = json.loads(line)
        if not (pid := os.fork()):
            _become(request)
        print(f"began {pid}", flush=True)
        print(f"ended {pid} {os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}", flush=True)


def _become(request: dict[str, object]) -> None:
    import traceback

    from acestep_fetch.cli.main import program

    output, environment, arguments = request["output"], request["environment"], request["arguments"]
    assert isinstance(environment, dict)
    assert isinstance(arguments, list)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{output}/{name}", os.O_WRONLY | os.O_CREAT), number)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[1:] = arguments
    try:
        program()
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(1)


if __name__ == "__main__":
    _serve()
