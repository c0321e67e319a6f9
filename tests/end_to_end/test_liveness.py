"""Real silence: a hub that is frozen, a disk that is frozen, a program of ours that stands still. Each is told."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.conftest import events, hubs
from tests.support.trees import make_repo, tree_digests

MIB = 1 << 20
REPO = "someone/large"
FLAGS = ("--skip-main", "--model", REPO, "--progress", "json")

IMPATIENT = """
import sys, time
from acestep_fetch.core import liveness
from acestep_fetch.engine import watchdog
liveness.TICK = watchdog.TICK = 0.1
liveness.SLOW_DISK = 1.0
watchdog.longest_silence = lambda *_: 2.0
"""
LOST = """
from acestep_fetch.engine.workload import Workload
def lost(self, source, next=Workload.next, **how):
    return next(self, source, **how) if sum(map(self.received, self.sources.values())) < 4 << 20 else None
Workload.next = lost
"""
BLOCKED = """
from acestep_fetch.engine.run import Run
Run._tell_plan = lambda self, *_: time.sleep(100)
"""


def _made(tmp_path: Path, size: int = 30 * MIB) -> Path:
    make_repo(tmp_path / "hub", REPO, {"model.safetensors": size, "config.json": 300})
    return tmp_path / "hub"


def _is_right(tmp_path: Path, out: Path) -> bool:
    return tree_digests(out / "large") == tree_digests(tmp_path / "hub" / REPO)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (LOST, r"nothing has moved for \d+ s, and nothing says why: .*large/model\.safetensors: \d+ of \d+ bytes held"),
        (BLOCKED, r"event loop has been blocked for \d+ s: <string>:\d+ <lambda> < run\.py"),
    ],
    ids=["lost wake-up", "blocked loop"],
)
def test_a_run_that_stands_still_is_ended_and_told(fault: str, says: str, tmp_path: Path) -> None:
    root = _made(tmp_path)
    with hubs(root) as pair:
        process = pair.start("--dir", str(tmp_path / "out"), *FLAGS, patch=IMPATIENT + fault)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 1, err
        last = events(out)[-1]
        assert (last["event"], last["exit_code"], last["models"]) == ("summary", 1, {"large": "failed"})
        assert re.search(says, last["error"]), last["error"]
        assert "run the same command again" in last["hint"]
        assert pair.hf.url not in out.replace(f'"endpoint":"{pair.hf.url}"', "")
        again = pair.run("--dir", str(tmp_path / "out"), *FLAGS)
        assert again.returncode == 0, again.stderr
        assert events(again.stdout)[-1]["bytes_fetched"] <= 30 * MIB + 300 - last["bytes_fetched"] * 0.9
    assert _is_right(tmp_path, tmp_path / "out")


class _Frozen:
    """A hub in a process of its own, which can be stopped."""

    def __init__(self, root: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "acestep_fetch", "serve", str(root), "--port", "0"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout
        lines = iter(self.process.stdout)
        self.url = next(found[0] for line in lines if (found := re.search(r"http://127\.0\.0\.1:\d+", line)))

    def __enter__(self) -> _Frozen:
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.kill()
        self.process.communicate()

    def run(self, out: Path, rate: str = "10MB/s", **more: str) -> subprocess.Popen[str]:
        environment = {"HF_ENDPOINT": self.url, "MODELSCOPE_ENDPOINT": self.url, "ACESTEP_FETCH_PROBE_URL": self.url}
        return subprocess.Popen(
            [sys.executable, "-m", "acestep_fetch", "--dir", str(out), *FLAGS, "--limit-rate", rate, "-x", "2"],
            env={**os.environ, **environment, **more},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def freeze_soon(self, out: Path) -> None:
        """Once the first piece is in a journal. What is in the sockets' buffers comes all the same."""
        due = time.monotonic() + 60
        while not any(journal.stat().st_size > 300 for journal in (out / ".acestep-fetch" / "parts").glob("*.journal")):
            assert time.monotonic() < due
            time.sleep(0.02)
        self.process.send_signal(signal.SIGSTOP)


def test_a_hub_that_is_frozen_is_given_up(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with _Frozen(_made(tmp_path, 100 * MIB)) as hub:
        process = hub.run(out, ACESTEP_FETCH_GIVE_UP_AFTER="6", ACESTEP_FETCH_STALL_TIMEOUT="1")
        hub.freeze_soon(out)
        said, err = process.communicate(timeout=60)
        assert process.returncode == 5, err
        waits = [event for event in events(said) if event["event"] == "waiting"]
        assert waits
        assert all(re.search("no (data|answer) from", wait["why"]) for wait in waits)
        assert all(0 <= wait["seconds"] <= 6 + 3 for wait in waits)
        hub.process.send_signal(signal.SIGCONT)
        again = hub.run(out, "1GB/s")
        _, err = again.communicate(timeout=60)
        assert again.returncode == 0, err
    assert _is_right(tmp_path, out)


@pytest.mark.long
def test_a_hub_that_thaws_is_gone_on_with(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with _Frozen(_made(tmp_path, 100 * MIB)) as hub:
        process = hub.run(out)
        hub.freeze_soon(out)
        time.sleep(9)
        hub.process.send_signal(signal.SIGCONT)
        said, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert [event for event in events(said) if event["event"] == "waiting"]
    assert _is_right(tmp_path, out)


@contextmanager
def _disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own, which can be frozen; it is never left so."""
    for tool in ("fsfreeze", "mkfs.ext4", "losetup"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not there")
    image, at = tmp_path / "image", tmp_path / "disk"
    at.mkdir()
    with image.open("wb") as file:
        file.truncate(256 * MIB)
    if os.getuid() or any(_call(*c) for c in (("mkfs.ext4", "-q", image), ("mount", "-o", "loop", image, at))):
        pytest.skip("mounting a disk needs root and loop devices")
    try:
        yield at
    finally:
        _call("fsfreeze", "-u", at)
        subprocess.run(["umount", "-l", str(at)], check=True)


def _call(*command: Any) -> int:
    return subprocess.run([str(word) for word in command], capture_output=True, check=False).returncode


def test_a_disk_that_is_frozen_is_told_and_waited_for(tmp_path: Path) -> None:
    root = _made(tmp_path)
    with _disk(tmp_path) as disk, hubs(root, throttle=1e6) as pair:
        process = pair.start("--dir", str(disk / "out"), *FLAGS, patch=IMPATIENT)
        try:
            while pair.sent < 6 * MIB:
                time.sleep(0.01)
            if _call("fsfreeze", "-f", disk):
                pytest.skip("this disk cannot be frozen")
            time.sleep(6)
            assert process.poll() is None  # far beyond what the watchdog allows a run that stands still
        finally:
            _call("fsfreeze", "-u", disk)
            out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        notes = [event["text"] for event in events(out) if event["event"] == "note"]
        told = [text for text in notes if "the disk has not answered for" in text]
        assert 2 <= len(told) <= 4
        assert "model.safetensors" in told[0]
        assert "the disk answers again" in notes
        assert _is_right(tmp_path, disk / "out")
