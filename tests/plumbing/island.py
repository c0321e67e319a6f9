"""A network and a resolver of a test's own: namespaces that one thread enters and that end with it.

Whatever that thread starts, threads and processes, is on the island too; the rest of the test session is not.
"""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

_NEW_NETWORK, _NEW_MOUNTS = 0x40000000, 0x00020000
_A, _AAAA = 1, 28


def on_island(test: Callable[..., None]) -> Callable[..., None]:
    """The test runs in a network that has loopback alone; the addresses and names of `LAND` are there."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        if reason := why_not():
            pytest.skip(reason)
        trouble = list[BaseException]()

        def inside() -> None:
            try:
                with _land():
                    test(*args, **kwargs)
            except BaseException as exc:
                trouble.append(exc)

        thread = threading.Thread(target=inside, name="island")
        thread.start()
        thread.join()
        if trouble:
            raise trouble[0]

    return run


@functools.cache
def why_not() -> str | None:
    if sys.platform != "linux" or os.geteuid() != 0:
        return "namespaces need Linux and root"
    if missing := [program for program in ("ip", "mount", "unshare") if not shutil.which(program)]:
        return f"namespaces need the programs {', '.join(missing)}"
    tried = subprocess.run(["unshare", "-n", "-m", "ip", "link", "set", "lo", "up"], capture_output=True, text=True)
    return f"no namespaces here: {tried.stderr.strip()}" if tried.returncode else None


@contextmanager
def _land() -> Iterator[None]:
    if ctypes.CDLL(None, use_errno=True).unshare(_NEW_NETWORK | _NEW_MOUNTS):
        raise OSError(ctypes.get_errno(), "unshare")
    with tempfile.TemporaryDirectory() as folder:
        _run("mount", "--make-rprivate", "/")
        for name, text in _FILES.items():
            (file := Path(folder) / name).write_text(text)
            if (target := Path("/etc") / name).exists():
                _run("mount", "--bind", str(file), str(target.resolve()))
        _run("ip", "link", "set", "lo", "up")
        for number in range(1, 10):
            _run("ip", "address", "add", f"10.77.0.{number}/32", "dev", "lo")
            _run("ip", "address", "add", f"fd77::{number}/128", "dev", "lo", "nodad")
        yield


_FILES: Final = {
    "resolv.conf": "nameserver 127.0.0.1\n",
    "hosts": "127.0.0.1 localhost\n",
    "nsswitch.conf": "hosts: files dns\n",
}


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def with_hosts(command: Sequence[str], hosts: Mapping[str, str], folder: Path) -> list[str]:
    """`command`, for which alone these names have these addresses."""
    file = folder / "hosts"
    file.write_text("".join(f"{address} {name}\n" for name, address in hosts.items()))
    script = 'mount --bind "$0" /etc/hosts && exec "$@"'
    return ["unshare", "-m", "sh", "-c", script, str(file), *command]


@dataclass(frozen=True)
class Name:
    """What the resolver says of a name, `after` so many seconds; with `code` 2 (SERVFAIL) or 3 (NXDOMAIN), or never."""

    v4: Sequence[str] = ()
    v6: Sequence[str] = ()
    code: int = 0
    after: float = 0.0
    never: bool = False


@dataclass
class Resolver:
    """A DNS server at 127.0.0.1, as much of one as glibc asks for."""

    names: Mapping[str, Name]
    asked: list[str] = field(default_factory=list)

    @contextmanager
    def running(self) -> Iterator[Resolver]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as self._socket:
            self._socket.bind(("127.0.0.1", 53))
            thread = threading.Thread(target=self._serve, name="dns", daemon=True)
            thread.start()
            try:
                yield self
            finally:
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as farewell:
                    farewell.sendto(b"", ("127.0.0.1", 53))
                thread.join()

    def _serve(self) -> None:
        while question := self._socket.recvfrom(512):
            if not question[0]:
                return
            name, kind, end = _question(question[0])
            known = self.names.get(name, Name(code=3))
            self.asked.append(name)
            if not known.never:
                answer = _answer(question[0][:end], known, kind)
                timer = threading.Timer(known.after, self._send, (answer, question[1]))
                timer.daemon = True
                timer.start()

    def _send(self, answer: bytes, to: Any) -> None:
        with suppress(OSError):  # the test is over
            self._socket.sendto(answer, to)


def _question(packet: bytes) -> tuple[str, int, int]:
    """Name, kind, and where the question ends."""
    labels, at = list[str](), 12
    while size := packet[at]:
        labels.append(packet[at + 1 : at + 1 + size].decode())
        at += 1 + size
    return ".".join(labels).lower(), struct.unpack("!H", packet[at + 1 : at + 3])[0], at + 5


def _answer(asked: bytes, known: Name, kind: int) -> bytes:
    found = {_A: known.v4, _AAAA: known.v6}.get(kind, ())
    family = socket.AF_INET if kind == _A else socket.AF_INET6
    packed = [socket.inet_pton(family, address) for address in found]
    head = struct.pack("!2sHHHHH", asked[:2], 0x8180 | known.code, 1, len(packed), 0, 0)
    rows = [b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 1, len(each)) + each for each in packed]
    return head + asked[12:] + b"".join(rows)


@contextmanager
def hole(address: str, port: int) -> Iterator[None]:
    """Whoever connects there hears nothing: a listener whose queue is full has its SYNs dropped."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket(family))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((address, port))
        listener.listen(0)
        for _ in range(3):
            filler = stack.enter_context(socket.socket(family))
            filler.setblocking(False)
            with suppress(BlockingIOError):
                filler.connect((address, port))
        time.sleep(0.05)
        yield
