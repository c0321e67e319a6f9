"""Real proxy programs, from the distribution's packages, on loopback. What they forward has `SOURCE` as its address."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote

import pytest

from tests.bench.tools import installed

SOURCE: Final = "127.0.0.9"
USER: Final = "anna"
_SIMPLE: Final = "s3cr.t-pass"  # tinyproxy takes nothing else
_ODD: Final = "s3cr:t/p@ss%"


@dataclass
class Program:
    """A proxy that runs, and can be killed and started again at the same port."""

    command: list[str]
    port: int
    log: Path
    scheme: str
    password: str | None
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """With the right login, where there is one."""
        login = "" if self.password is None else f"{USER}:{quote(self.password, safe='')}"
        return self.with_login(login)

    def with_login(self, login: str) -> str:
        return f"{self.scheme}://{login}{'@' if login else ''}{self.place}"

    @property
    def said(self) -> str:
        return self.log.read_text("utf-8", "replace")

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        for _ in range(400):
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.command[0]} ended: {self.said[-500:]}")
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.025)
        raise RuntimeError(f"{self.command[0]} does not listen")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@contextmanager
def tinyproxy(folder: Path, *, login: bool = False, settings: str = "") -> Iterator[Program]:
    """An HTTP proxy. `settings` are more lines of its configuration."""
    _need("tinyproxy", "tinyproxy")
    port, log, conf = free_port(), folder / "tinyproxy.log", folder / "tinyproxy.conf"
    lines = [f"Port {port}", "Listen 127.0.0.1", f"Bind {SOURCE}", "MaxClients 200", "LogLevel Connect", "Timeout 60"]
    if login:
        lines.append(f"BasicAuth {USER} {_SIMPLE}")
    conf.write_text("\n".join([*lines, settings, ""]))
    yield from _running(Program(["tinyproxy", "-d", "-c", str(conf)], port, log, "http", _SIMPLE if login else None))


@contextmanager
def microsocks(folder: Path, *, login: bool = False) -> Iterator[Program]:
    """A SOCKS5 proxy."""
    _need("microsocks", "microsocks")
    port = free_port()
    who = ["-u", USER, "-P", _ODD] if login else []
    command = ["microsocks", "-i", "127.0.0.1", "-p", str(port), "-b", SOURCE, *who]
    yield from _running(Program(command, port, folder / "microsocks.log", "socks5", _ODD if login else None))


@contextmanager
def dante(folder: Path, *, rules: str = "") -> Iterator[Program]:
    """The other SOCKS5 proxy, which can have rules."""
    _need("danted", "dante-server")
    port, log, conf = free_port(), folder / "dante.log", folder / "dante.conf"
    conf.write_text(f"""
logoutput: {log}
internal: 127.0.0.1 port = {port}
external: {SOURCE}
clientmethod: none
socksmethod: none
client pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}
{rules}
socks pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0  log: connect }}
""")
    command = ["danted", "-f", str(conf), "-p", str(folder / "dante.pid"), "-N", "1"]
    yield from _running(Program(command, port, log, "socks5", None))


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _need(program: str, package: str) -> None:
    if sys.platform != "linux":
        pytest.skip("addresses such as 127.0.0.9 are there without a setting on Linux only")
    if reason := installed(program, package):
        pytest.skip(reason)


def _running(program: Program) -> Iterator[Program]:
    program.start()
    try:
        yield program
    finally:
        program.kill()
