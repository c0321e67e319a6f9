"""Several processes on one folder, a process that is stopped for a while, and one that nobody listens to."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from acestep_fetch.storage import claim, platform
from tests.end_to_end.conftest import Hubs, events, hubs
from tests.engine.conftest import hubs as worlds
from tests.engine.conftest import is_copy
from tests.support.trees import make_repo, tree_digests

MIB = 1 << 20
REPO = "someone/large"
FLAGS = ("--skip-main", "--model", REPO, "--progress", "json")


def _made(tmp_path: Path, size: int = 40 * MIB) -> Path:
    make_repo(tmp_path / "hub", REPO, {"model.safetensors": size, "config.json": 300, "vocab.txt": 70_000})
    return tmp_path / "hub"


def _is_right(tmp_path: Path) -> bool:
    return tree_digests(tmp_path / "out" / "large") == tree_digests(tmp_path / "hub" / REPO)


def _until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    due = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < due, "it never came to that"
        time.sleep(0.01)


def test_eight_at_once_fetch_once(tmp_path: Path) -> None:
    size = 120 * MIB
    root = _made(tmp_path, size)
    with hubs(root, throttle=2e6) as pair:
        running = [pair.start("--dir", str(tmp_path / "out"), *FLAGS) for _ in range(8)]
        ended = [(process.communicate(timeout=110), process.returncode) for process in running]
        assert [code for _, code in ended] == [0] * 8, [err for (_, err), _ in ended]
        assert pair.sent <= 1.05 * (size + 70_300)
    assert all(events(out)[-1]["models"] == {"large": "ready"} for (out, _), _ in ended)
    assert sum(events(out)[-1]["bytes_fetched"] > 0 for (out, _), _ in ended) == 1
    assert _is_right(tmp_path)
    waits = [[e for e in events(out) if e["event"] == "waiting" and e["total"]] for (out, _), _ in ended]
    assert sum(bool(each) for each in waits) == 7
    for each in filter(None, waits):  # the owner's bytes
        assert {event["total"] for event in each} == {size + 70_300}
        done = [event["done"] for event in each]
        assert done == sorted(set(done))
        assert 0 < done[0] <= done[-1] <= size + 70_300


def test_who_waits_takes_over_when_the_owner_is_killed(tmp_path: Path) -> None:
    root = _made(tmp_path, 120 * MIB)
    with hubs(root, throttle=1.9e6) as pair:
        owner = pair.start("--dir", str(tmp_path / "out"), *FLAGS)
        _until(lambda: pair.sent > 50 * MIB)
        heir = pair.start("--dir", str(tmp_path / "out"), *FLAGS)
        time.sleep(1.0)
        before, asked = pair.sent, len(pair.hf.recorder.entries) + len(pair.ms.recorder.entries)
        owner.kill()
        killed = time.monotonic()
        _until(lambda: len(pair.hf.recorder.entries) + len(pair.ms.recorder.entries) > asked)
        waited = time.monotonic() - killed
        owner.communicate()
        out, err = heir.communicate(timeout=110)
        assert heir.returncode == 0, err
        plan = next(line for line in events(out) if line["event"] == "plan")
        assert plan["partial"] > 0.4 * before  # each of some 40 connections had up to 2 MiB that were not recorded
    print(f"\ntaken over after {waited:.2f} s")
    assert waited < 2.0 * 5  # an idle machine does it in less than 2 s
    assert _is_right(tmp_path)


REFUSED = """
import errno, fcntl
def flock(fd, how):
    raise OSError(errno.ENOLCK, "No locks available")
fcntl.flock = flock
"""
GRANTED = "import fcntl; fcntl.flock = lambda fd, how: None"  # whoever else has it
A_MACHINE = """
import socket
from acestep_fetch.storage import claim
socket.gethostname = lambda: {name!r}
claim.boot = claim.place = lambda: {name!r}
"""


@pytest.mark.parametrize("machines", [1, 8])
@pytest.mark.parametrize("locks", [REFUSED, GRANTED], ids=["refused", "granted to all"])
def test_eight_at_once_fetch_once_where_locks_lie(locks: str, machines: int, tmp_path: Path) -> None:
    size = 40 * MIB
    root = _made(tmp_path, size)
    with hubs(root, throttle=1e6) as pair:
        names = [f"machine {number % machines}" for number in range(8)]
        patches = [locks + (A_MACHINE.format(name=name) if machines > 1 else "") for name in names]
        running = [pair.start("--dir", str(tmp_path / "out"), *FLAGS, patch=patch) for patch in patches]
        ended = [(process.communicate(timeout=110), process.returncode) for process in running]
        assert [code for _, code in ended] == [0] * 8, [err for (_, err), _ in ended]
        assert pair.sent <= 1.1 * (size + 70_300)
    assert all(events(out)[-1]["models"] == {"large": "ready"} for (out, _), _ in ended)
    assert _is_right(tmp_path)


@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_who_waits_takes_over_where_locks_lie(where: str, tmp_path: Path) -> None:
    """Of another machine's process nobody knows that it was killed: there have to be no beats for a while."""
    root = _made(tmp_path, 40 * MIB)
    patches = [GRANTED + (A_MACHINE.format(name=name) if where == "elsewhere" else "") for name in "ab"]
    with hubs(root, throttle=1e6) as pair:
        owner = pair.start("--dir", str(tmp_path / "out"), *FLAGS, patch=patches[0])
        _until(lambda: pair.sent > 10 * MIB)
        heir = pair.start("--dir", str(tmp_path / "out"), *FLAGS, patch=patches[1])
        time.sleep(1.5)
        assert heir.poll() is None
        asked = len(pair.hf.recorder.entries) + len(pair.ms.recorder.entries)
        owner.kill()
        killed = time.monotonic()
        owner.communicate()
        _until(lambda: len(pair.hf.recorder.entries) + len(pair.ms.recorder.entries) > asked)
        waited = time.monotonic() - killed
        _, err = heir.communicate(timeout=110)
        assert heir.returncode == 0, err
    print(f"\ntaken over after {waited:.2f} s")
    assert waited < (10.0 if where == "here" else 30.0)
    assert _is_right(tmp_path)


def test_an_owner_that_was_stopped_elsewhere_ends_when_it_goes_on(tmp_path: Path) -> None:
    root = _made(tmp_path, 60 * MIB)
    patches = [GRANTED + A_MACHINE.format(name=name) + "claim.STALE = 2.5" for name in "ab"]
    with hubs(root, throttle=1e6) as pair:
        owner = pair.start("--dir", str(tmp_path / "out"), *FLAGS, patch=patches[0])
        _until(lambda: pair.sent > 10 * MIB)
        owner.send_signal(signal.SIGSTOP)
        heir = pair.start("--dir", str(tmp_path / "out"), *FLAGS, patch=patches[1])
        lease = tmp_path / "out" / ".acestep-fetch" / "lease"
        _until(lambda: b'"host": "b"' in lease.read_bytes())
        owner.send_signal(signal.SIGCONT)
        out, err = owner.communicate(timeout=110)
        assert owner.returncode == 9, err
        assert events(out)[-1]["retryable"]
        assert "on b has taken over" in err
        _, err = heir.communicate(timeout=110)
        assert heir.returncode == 0, err
    assert _is_right(tmp_path)


async def test_two_at_once_never_make_a_wrong_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They write the same part file, because each believes that it is alone: locks lie, and nothing is exclusive."""
    monkeypatch.setattr(platform, "try_lock", lambda fd: True)
    monkeypatch.setattr(claim.Sign, "is_free", True)
    monkeypatch.setattr(claim.Claim, "holds", lambda self: True)
    async with worlds(tmp_path, {"a.bin": 20 * MIB, "b.bin": 3 * MIB, "c.json": 900}, throttle=3e6) as w:
        for late in (0.0, 0.4, 1.0):

            async def later(seconds: float) -> object:
                await asyncio.sleep(seconds)
                return await w.run()

            ran = await asyncio.gather(w.run(), later(late), return_exceptions=True)
            assert all(not isinstance(each, BaseException) for each in ran), ran
            assert {each.report.exit_code for each in ran} <= {0, 9}, [each.said[-1000:] for each in ran]
            last = await w.run()
            assert last.report.exit_code == 0, last.said[-1000:]
            assert is_copy(w)
            subprocess.run(["rm", "-rf", str(w.folder)], check=True)


@pytest.mark.parametrize(
    "seconds", [pytest.param(5), pytest.param(60, marks=(pytest.mark.long, pytest.mark.timeout(200)))]
)
def test_a_stopped_process_goes_on(seconds: int, tmp_path: Path) -> None:
    root = _made(tmp_path, 30 * MIB)
    with hubs(root, throttle=1e6) as pair:
        process = pair.start("--dir", str(tmp_path / "out"), *FLAGS)
        _until(lambda: pair.sent > 8 * MIB)
        process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        process.send_signal(signal.SIGCONT)
        _, err = process.communicate(timeout=110)
        assert process.returncode == 0, err
    assert _is_right(tmp_path)


def _with_stdout(pair: Hubs, stdout: int, tmp_path: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "acestep_fetch", "--dir", str(tmp_path / "out"), *FLAGS, "-v"]
    return subprocess.Popen(command, env=pair.environment(), stdout=stdout, stderr=subprocess.PIPE, text=True)


def test_a_blocked_stdout_holds_nothing_up(tmp_path: Path) -> None:
    root = _made(tmp_path, 30 * MIB)
    ours, theirs = os.pipe()
    fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(theirs, False)
    os.write(theirs, b"x" * 4096)  # full from the first line on
    os.set_blocking(theirs, True)
    with hubs(root, throttle=4e6) as pair:
        process = _with_stdout(pair, theirs, tmp_path)
        os.close(theirs)
        try:
            _until(lambda: (tmp_path / "out" / "large").exists(), 30)
            assert process.wait(timeout=30) == 0
        finally:
            process.kill()
            process.communicate()
            os.close(ours)
    assert _is_right(tmp_path)


def test_a_closed_stdout_holds_nothing_up(tmp_path: Path) -> None:
    root = _made(tmp_path, 30 * MIB)
    ours, theirs = os.pipe()
    with hubs(root, throttle=4e6) as pair:
        process = _with_stdout(pair, theirs, tmp_path)
        os.close(theirs)
        os.close(ours)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    assert _is_right(tmp_path)
