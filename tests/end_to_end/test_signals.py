"""Signals: the first one ends the program soon, with its state saved, whatever it is at; the second one at once."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from acestep_fetch.core.model import HubName
from acestep_fetch.storage.layout import Layout
from acestep_fetch.storage.lease import Lease
from acestep_fetch.storage.receipts import Receipt, ReceiptFile, write_receipt
from tests.end_to_end.conftest import Hubs, events, hubs
from tests.support.faults import Delay, Rule
from tests.support.hub import ThreadedHub
from tests.support.recorder import Kind
from tests.support.trees import make_repo, tree_digests

MIB = 1 << 20
REPO = "someone/large"
FLAGS = ("--skip-main", "--model", REPO, "--progress", "json")
SOON: Final = 0.5  # seconds, on an idle machine
LOADED: Final = 5  # times as long may it take on one that is not
MANY: Final = 64
STOPS = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]

# What a disk that does not answer looks like from Python: a call that does not come back.
FROZEN = """
import threading
from acestep_fetch.storage import {module}
def frozen(*_, **__):
    print('frozen', file=__import__('sys').stderr, flush=True)
    threading.Event().wait(100)
{module}.{what} = frozen
"""


def _made(tmp_path: Path, size: int = 40 * MIB) -> Path:
    make_repo(tmp_path / "hub", REPO, {"model.safetensors": size, "config.json": 300, "vocab.txt": 70_000})
    return tmp_path / "hub"


def _until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    due = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < due, "it never came to that"
        time.sleep(0.01)


def _ended_by(process: subprocess.Popen[str], number: int) -> tuple[float, str, str]:
    """Seconds from the signal to the end, and what the process had said on stdout and stderr."""
    began = time.monotonic()
    process.send_signal(number)
    process.wait(timeout=30)
    took = time.monotonic() - began
    out, err = process.communicate()
    print(f"\nended after {took:.2f} s")
    return took, out, err


def _said(process: subprocess.Popen[str], word: str) -> None:
    """Returns when the process has said `word` on stderr."""
    assert process.stderr
    for line in process.stderr:
        if word in line:
            return
    raise AssertionError(f"{word} was never said")


@pytest.mark.parametrize(("number", "code"), STOPS)
def test_with_many_connections(number: int, code: int, tmp_path: Path) -> None:
    root = _made(tmp_path, 500 * MIB)
    with hubs(root, throttle=1e6) as pair:
        process = pair.start("--dir", str(tmp_path / "out"), *FLAGS)
        due = time.monotonic() + 15  # a loaded machine earns fewer connections
        _until(lambda: pair.connections >= MANY or (pair.connections and time.monotonic() > due))
        sent, live = pair.sent, pair.connections
        took, out, err = _ended_by(process, number)
        print(f"{live} connections")
        assert process.returncode == code, err
        assert events(out)[-1]["exit_code"] == code
        assert took < SOON * LOADED
        ran = pair.run("--dir", str(tmp_path / "out"), *FLAGS, "--dry-run")
        plan = next(line for line in events(ran.stdout) if line["event"] == "plan")
        assert plan["partial"] > sent // 2


def test_while_a_list_is_awaited(tmp_path: Path) -> None:
    root = _made(tmp_path)
    with hubs(root, faults=[Rule(Delay(None), kind=Kind.API)]) as pair:
        process = pair.start("--dir", str(tmp_path / "out"), *FLAGS)
        _until(lambda: pair.connections >= 2)
        took, out, _ = _ended_by(process, signal.SIGINT)
        assert (process.returncode, events(out)[-1]["exit_code"]) == (130, 130)
        assert took < SOON * LOADED


def test_while_a_file_that_was_there_is_hashed(tmp_path: Path) -> None:
    root = _made(tmp_path, 160 * MIB)
    (tmp_path / "out" / "large").mkdir(parents=True)
    (tmp_path / "out" / "large" / "model.safetensors").hardlink_to(root / REPO / "model.safetensors")
    slow = """
import sys, time
from acestep_fetch.storage.checksum import ContentHash
def slowly(self, data, update=ContentHash.update):
    print('hashing', file=sys.stderr, flush=True)
    time.sleep(0.1)
    update(self, data)
ContentHash.update = slowly
"""
    with hubs(root) as pair:
        process = pair.start("--dir", str(tmp_path / "out"), *FLAGS, patch=slow)
        _said(process, "hashing")
        took, out, _ = _ended_by(process, signal.SIGINT)
        assert (process.returncode, events(out)[-1]["exit_code"]) == (130, 130)
        assert took < SOON * LOADED


@pytest.mark.parametrize(
    ("module", "what"), [("platform", "sync_data"), ("staging", "publish"), ("platform", "write_many_at")]
)
def test_while_the_disk_does_not_answer(module: str, what: str, tmp_path: Path) -> None:
    root = _made(tmp_path)
    with hubs(root) as pair:
        patch = FROZEN.format(module=module, what=what)
        process = pair.start("--dir", str(tmp_path / "out"), *FLAGS, patch=patch)
        _said(process, "frozen")
        took, out, err = _ended_by(process, signal.SIGTERM)
        assert process.returncode == 143, err
        assert events(out)[-1]["exit_code"] == 143
        assert took < SOON * LOADED
        again = pair.run("--dir", str(tmp_path / "out"), *FLAGS)
        assert again.returncode == 0, again.stderr
    assert tree_digests(tmp_path / "out" / "large") == tree_digests(root / REPO)


def test_while_another_process_is_waited_for(tmp_path: Path) -> None:
    root = _made(tmp_path)
    lease = Lease.take(Layout(tmp_path / "out").lease)
    assert isinstance(lease, Lease)
    try:
        with hubs(root) as pair:
            process = pair.start("--dir", str(tmp_path / "out"), *FLAGS)
            assert process.stdout
            while '"waiting"' not in process.stdout.readline():
                pass
            took, out, _ = _ended_by(process, signal.SIGHUP)
            assert (process.returncode, events(out)[-1]["exit_code"]) == (129, 129)
            assert took < SOON * LOADED
    finally:
        lease.release()


@pytest.mark.parametrize("command", ["verify", "repair"])
def test_while_finished_files_are_read(command: str, tmp_path: Path) -> None:
    """Two files of 6 GiB at once (sparse): to read them to their end would take many seconds."""
    size, files = 6 << 30, list[ReceiptFile]()
    for name in ("a.bin", "b.bin", "c.bin"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(size)
        files.append(ReceiptFile(name, name, size, 0, "0" * 64))
    write_receipt(Layout(tmp_path).receipts, Receipt("large", REPO, {"": f"huggingface:{'0' * 40}"}, {}, tuple(files)))
    process = subprocess.Popen(
        [sys.executable, "-m", "acestep_fetch", command, "--dir", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    _until(lambda: _reads(process.pid, "a.bin"))
    took, _, err = _ended_by(process, signal.SIGINT)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert took < SOON * LOADED


def _reads(pid: int, name: str) -> bool:
    folder = Path(f"/proc/{pid}/fd")
    try:
        return any(os.readlink(each).endswith(name) for each in folder.iterdir())
    except OSError:
        return False


@pytest.mark.parametrize("what", ["a disk that does not answer", "a blocked event loop"])
def test_a_second_signal_does_not_wait(what: str, tmp_path: Path) -> None:
    root = _made(tmp_path)
    patient = "from acestep_fetch.engine import stopping\nstopping._PATIENCE = 2000\n"
    blocked = """
import sys, time
from acestep_fetch.engine.run import Run
def _tell_plan(self, *_):
    print('frozen', file=sys.stderr, flush=True)
    time.sleep(100)
Run._tell_plan = _tell_plan
"""
    frozen = patient + FROZEN.format(module="platform", what="sync_data")
    with hubs(root) as pair:
        process = pair.start("--dir", str(tmp_path / "out"), *FLAGS, patch=frozen if "disk" in what else blocked)
        _said(process, "frozen")
        process.send_signal(signal.SIGINT)
        time.sleep(0.7)
        assert process.poll() is None
        took, _, _ = _ended_by(process, signal.SIGINT)
        assert process.returncode == 130
        assert took < SOON * LOADED


def test_what_nohup_ignores_stays_ignored(tmp_path: Path) -> None:
    root = _made(tmp_path, 12 * MIB)
    with hubs(root, throttle=0.7e6) as pair:
        command = ["nohup", sys.executable, "-m", "acestep_fetch", "--dir", str(tmp_path / "out"), *FLAGS]
        process = subprocess.Popen(
            command, env=pair.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
        )
        _until(lambda: pair.sent > 2 * MIB)
        process.send_signal(signal.SIGHUP)
        process.communicate(timeout=60)
        assert process.returncode == 0


@contextmanager
def _on_a_terminal(pair: Hubs, *arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The program on a terminal of its own, and the other end of that."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, b"\x18\0\x50\0" + bytes(4))
    control = (
        "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.executable, sys.argv[1:])"
    )
    command = [sys.executable, "-c", control, sys.executable, "-m", "acestep_fetch", *arguments]
    process = subprocess.Popen(
        command, env=pair.environment(), stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    try:
        yield process, ours
    finally:
        process.kill()
        process.wait()


def test_a_terminal_that_is_closed(tmp_path: Path) -> None:
    root = _made(tmp_path)
    with hubs(root, throttle=0.7e6) as pair:
        folder = str(tmp_path / "out")
        with _on_a_terminal(pair, "--dir", folder, "--skip-main", "--model", REPO) as (process, terminal):
            _until(lambda: pair.sent > 6 * MIB)
            began = time.monotonic()
            os.close(terminal)
            assert process.wait(timeout=30) == 129
            assert time.monotonic() - began < SOON * LOADED
        ran = pair.run("--dir", folder, *FLAGS, "--dry-run")
        plan = next(line for line in events(ran.stdout) if line["event"] == "plan")
        assert plan["partial"] > 3 * MIB


def test_a_name_server_that_does_not_answer_holds_up_no_end(tmp_path: Path) -> None:
    """The other hub's name is still being looked up when everything is there."""
    slow = """
import socket, time
def getaddrinfo(host, *rest, real=socket.getaddrinfo, **more):
    if 'nowhere' in str(host):
        time.sleep(100)
    return real(host, *rest, **more)
socket.getaddrinfo = getaddrinfo
"""
    root = _made(tmp_path, 3 * MIB)
    with ThreadedHub(root, hub=HubName.HUGGINGFACE) as hub:
        pair = Hubs(hub, hub)
        process = pair.start(
            "--dir", str(tmp_path / "out"), *FLAGS, patch=slow, MODELSCOPE_ENDPOINT="http://nowhere.example"
        )
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    assert tree_digests(tmp_path / "out" / "large") == tree_digests(root / REPO)
