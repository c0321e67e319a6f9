"""One process writes into a checkpoints folder; how it ends does not matter."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from acestep_fetch.core.errors import DiskError
from acestep_fetch.storage import platform
from acestep_fetch.storage.lease import Holder, Lease

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the lock is flock's")

HOLD = """
import sys, time
from pathlib import Path
from acestep_fetch.core.errors import DiskError
from acestep_fetch.storage.lease import Lease
taken = Lease.take(Path(sys.argv[1]))
print("held" if isinstance(taken, Lease) else str(taken), flush=True)
sys.stdin.read()
"""


@contextmanager
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lease until its stdin ends."""
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "held"
        try:
            yield process
        finally:
            process.kill()


def taken_within(path: Path, seconds: float) -> Lease:
    end = time.monotonic() + seconds
    while not isinstance(lease := Lease.take(path), Lease):
        assert time.monotonic() < end, f"still held by {lease}"
        time.sleep(0.005)
    return lease


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "lease"


def test_the_second_process_hears_who_holds_it_and_gets_it_after_a_kill(path: Path) -> None:
    with holder(path) as process:
        found = Lease.take(path)
        assert isinstance(found, Holder)
        assert found.pid == process.pid
        assert str(process.pid) in str(found)
        process.send_signal(signal.SIGKILL)
        process.wait()
        lease = taken_within(path, 2)
    lease.release()


def test_within_one_process_it_is_one_lease_too(path: Path) -> None:
    first = Lease.take(path)
    assert isinstance(first, Lease)
    assert isinstance(second := Lease.take(path), Holder)
    assert second.pid == os.getpid()
    first.release()
    third = Lease.take(path)
    assert isinstance(third, Lease)
    third.release()
    assert path.read_bytes() == b""


@pytest.mark.parametrize("text", [b"", b"\xff\xfe", b"{", b"[]", b"null", b'{"pid": "x", "host": 1}', b'{"pid": 1}'])
def test_a_holder_that_wrote_nonsense_is_another_process(path: Path, text: bytes) -> None:
    lease = Lease.take(path)
    assert isinstance(lease, Lease)
    path.write_bytes(text)
    found = Lease.take(path)
    assert isinstance(found, Holder)
    assert str(found) == "another process"
    lease.release()


def test_what_a_dead_holder_wrote_is_replaced(path: Path) -> None:
    path.parent.mkdir()
    path.write_text(
        '{"pid": 4194304, "host": "a name that is a good deal longer than ours ever was, so that bytes stay"}'
    )
    lease = Lease.take(path)
    assert isinstance(lease, Lease)
    assert isinstance(found := Lease.take(path), Holder)
    assert found.pid == os.getpid()
    lease.release()


def test_without_locks_one_gets_it_all_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)  # and no Windows either
    for _ in range(3):
        lease = Lease.take(path)
        assert isinstance(lease, Lease)
        assert not lease.is_believed
        found = Lease.take(path)
        assert isinstance(found, Holder)
        assert found.pid == os.getpid()
        assert Lease.holder(path) == found
        lease.release()
        assert Lease.holder(path) is None


def test_a_folder_that_cannot_be_written_raises_what_the_disk_raised(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        Lease.take(tmp_path / "file" / "lease")


def test_those_who_wait_hear_how_far_the_owner_is(path: Path) -> None:
    lease = taken_within(path, 1.0)
    assert Lease.take(path) == Holder(os.getpid(), socket.gethostname())
    for done in (10**12, 7):  # a shorter text leaves nothing of a longer one
        lease.tell(done, 2 * 10**12)
        assert Lease.take(path) == Holder(os.getpid(), socket.gethostname(), done, 2 * 10**12)
    lease.release()


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[1]", b"7", b'{"pid": 1}', b"\xff\xfe", b'{"pid": 1, "host": "h", "done": []}']
)
def test_a_text_that_says_nothing_hides_no_owner(text: bytes, path: Path) -> None:
    lease = taken_within(path, 1.0)
    os.truncate(path, 0)
    path.write_bytes(text)
    assert Lease.take(path) == Holder(0, "")
    lease.release()


def test_the_text_of_an_older_program_does(path: Path) -> None:
    lease = taken_within(path, 1.0)
    path.write_bytes(b'{"pid": 12, "host": "h"}')
    assert Lease.take(path) == Holder(12, "h")
    lease.release()


def test_a_folder_that_is_gone_or_another_one_is_noticed(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    taken = Lease.take(folder / "lease")
    assert isinstance(taken, Lease)
    taken.check()
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(DiskError, match="vanished"):
        taken.check()
    folder.mkdir()
    with pytest.raises(DiskError, match="vanished"):
        taken.check()
    taken.release()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no such place")
def test_a_place_that_holds_no_folders_has_not_vanished() -> None:
    with pytest.raises(DiskError, match=r"/proc/models: no folder can be made there") as caught:
        Lease.take(Path("/proc/models/.acestep-fetch/lease"))
    assert "vanished" not in str(caught.value.hint)


def test_who_only_looks_hears_who_holds_it_since_when_and_for_what(path: Path) -> None:
    assert Lease.holder(path) is None
    assert not path.parent.exists()
    began = time.time()
    lease = Lease.take(path, ["main", "acestep-v15-sft"])
    assert isinstance(lease, Lease)
    lease.tell(3, 9)
    found = Lease.holder(path)
    assert found == Holder(os.getpid(), socket.gethostname(), 3, 9)
    assert found is not None
    assert found.models == ("main", "acestep-v15-sft")
    assert began - 1 < found.since < time.time() + 1
    lease.release()
    assert Lease.holder(path) is None


def test_more_names_than_there_is_room_for_hide_no_owner(path: Path) -> None:
    lease = Lease.take(path, ["n" * 90] * 20)
    assert isinstance(lease, Lease)
    found = Lease.holder(path)
    assert found == Holder(os.getpid(), socket.gethostname())
    assert found is not None
    assert found.models == ()
    lease.release()


def test_a_killed_owner_holds_nothing_any_more(path: Path) -> None:
    with holder(path) as process:
        found = Lease.holder(path)
        assert found is not None
        assert found.pid == process.pid
        process.kill()
        process.wait()
        assert path.stat().st_size
        assert Lease.holder(path) is None


@pytest.mark.parametrize("text", [b"x", b"{", b'{"pid": 1, "host": "h", "models": 7}', b'{"pid": 1, "since": "x"}'])
def test_who_looks_at_nonsense_sees_that_somebody_is_there(text: bytes, path: Path) -> None:
    lease = taken_within(path, 1.0)
    path.write_bytes(text)
    assert Lease.holder(path) == Holder(0, "")
    lease.release()


def test_what_is_no_file_has_no_holder(path: Path, tmp_path: Path) -> None:
    path.mkdir(parents=True)
    assert Lease.holder(path) is None
    path.rmdir()
    (tmp_path / "theirs").write_text("x")
    path.symlink_to(tmp_path / "theirs")
    assert Lease.holder(path) is None


def test_who_looks_is_not_taken_for_an_owner(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look at what a dead owner left has the lock for a blink."""
    path.parent.mkdir(parents=True)
    path.write_text("what a dead owner left")
    looking = os.open(path, os.O_RDONLY)
    assert platform.try_shared_lock(looking)
    blinks = list[float]()

    def blink(seconds: float) -> None:
        blinks.append(seconds)
        if len(blinks) == 2:
            os.close(looking)

    monkeypatch.setattr(time, "sleep", blink)
    lease = Lease.take(path)
    assert isinstance(lease, Lease)
    assert len(blinks) == 2
    assert sum(blinks) < 0.05
    assert isinstance(Lease.take(path), Holder)
    assert len(blinks) > 2
    lease.release()


def test_a_pipe_in_its_place_is_not_waited_for(path: Path) -> None:
    path.parent.mkdir()
    os.mkfifo(path)
    assert Lease.holder(path) is None
    with pytest.raises(OSError, match=r"Invalid argument|Illegal seek"):
        Lease.take(path)
