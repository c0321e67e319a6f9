"""Where locks cannot be believed, one process writes all the same."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from acestep_fetch.core.errors import LeaseError
from acestep_fetch.storage import claim, platform
from acestep_fetch.storage.claim import Claim, Sign, Watch
from acestep_fetch.storage.lease import Holder, Lease

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="asks for processes as POSIX does")

HOLD = """
import sys
from pathlib import Path
from acestep_fetch.storage import platform
from acestep_fetch.storage.lease import Lease
platform.try_lock = lambda fd: True
print(type(Lease.take(Path(sys.argv[1]))).__name__, flush=True)
sys.stdin.read()
"""


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    return tmp_path / "state" / "lease"


@pytest.fixture
def lying(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "try_lock", lambda fd: True)


@contextlib.contextmanager
def owner(path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "Lease"
        try:
            yield process
        finally:
            process.kill()


def elsewhere(path: Path, beats: int = 0, **more: object) -> None:
    """The beat of an owner on another machine."""
    row = {"token": "theirs", "pid": 7, "born": "1", "host": "a", "place": "p", "boot": "b", "beats": beats, **more}
    text = json.dumps(row).encode()
    path.with_name("lease.4").write_bytes(text.ljust(512))


def take(path: Path, watch: Watch | None = None) -> Lease:
    lease = Lease.take(path, watch=watch)
    assert isinstance(lease, Lease), lease
    return lease


@pytest.mark.parametrize("locks", ["lying", "believed"])
def test_an_owner_elsewhere_is_followed_when_it_beats_no_more(
    locks: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Believed locks too: many are kept within one machine. The times of files mean nothing."""
    if locks == "lying":
        monkeypatch.setattr(platform, "try_lock", lambda fd: True)
    clock = Clock()
    watch = Watch(clock)
    for beats, when in enumerate((0, 2**31 - 9, 0, 1)):
        elsewhere(path, beats)
        os.utime(path.with_name("lease.4"), (when, when))
        for _ in range(2):
            found = Lease.take(path, watch=watch)
            assert isinstance(found, Holder)
            assert (found.pid, found.host) == (7, "a")
            clock.now += claim.STALE - 0.1
    clock.now += 0.2
    lease = take(path, watch)
    assert lease.is_believed == (locks == "believed")
    lease.release()


@pytest.mark.usefixtures("lying")
def test_who_asks_once_waits_for_a_beat(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim, "STALE", 0.5)
    elsewhere(path)
    began = time.monotonic()
    take(path).release()
    assert 0.5 <= time.monotonic() - began < 5


@pytest.mark.parametrize("row", [{"host": claim.socket.gethostname()}, {"boot": claim.boot()}])
def test_after_a_restart_or_in_another_container_a_lock_that_holds_is_believed_at_once(
    row: dict[str, object], path: Path
) -> None:
    elsewhere(path, **row)
    take(path).release()


def test_a_lock_that_was_refused_for_a_machine_is_believed_of_it(path: Path) -> None:
    watch = Watch()
    elsewhere(path)
    with path.open("w") as theirs:
        assert platform.try_lock(theirs.fileno())
        for _ in range(claim.REFUSALS):
            assert isinstance(Lease.take(path, watch=watch), Holder)
    take(path, watch).release()


@pytest.mark.usefixtures("lying")
def test_a_killed_owner_is_followed_at_once_and_a_stopped_one_is_not(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim, "STALE", 0.2)
    with owner(path) as process:
        assert Lease.holder(path) is not None
        process.send_signal(signal.SIGSTOP)
        due, watch = time.monotonic() + 1.5, Watch()
        while time.monotonic() < due:
            found = Lease.take(path, watch=watch)
            assert isinstance(found, Holder)
            assert found.pid == process.pid
            time.sleep(0.05)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # nobody has asked how it ended
        assert Lease.holder(path) is None
        take(path, watch).release()


@pytest.mark.usefixtures("lying")
def test_another_process_with_its_number_is_not_the_owner(path: Path) -> None:
    elsewhere(path, place=claim.place(), pid=os.getpid(), born="0")
    take(path).release()


@pytest.mark.usefixtures("lying")
def test_an_owner_that_was_held_up_hears_that_it_is_none(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = take(path)
    first.tell(3, 9)
    monkeypatch.setattr(Sign, "lives", None)
    monkeypatch.setattr(claim, "STALE", 0.0)
    second = take(path, Watch())
    with pytest.raises(LeaseError, match=f"process {os.getpid()} on .* has taken over"):
        first.check()
    first.tell(4, 9)
    first.release()
    second.check()
    found = Lease.holder(path)
    assert found is not None
    assert found.total == 0, "it writes nothing any more"
    second.release()


@pytest.mark.usefixtures("lying")
def test_the_thread_hears_it_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim, "BEAT", 0.02)
    lease = take(path)
    seen = {claim.latest(path).raw for _ in range(50) if not time.sleep(0.01)}
    assert len(seen) > 5, "it beats"
    path.with_name("lease.2").write_bytes(b"{}")
    due = time.monotonic() + 5
    while not lease.lost:
        assert time.monotonic() < due
        time.sleep(0.01)
    lease.release()
    assert claim.latest(path) == Sign(2, b"{}")


def test_of_two_that_take_over_one_does(path: Path) -> None:
    before = claim.latest(path)
    first = Claim.make(path, before)
    assert first
    assert Claim.make(path, before) is None
    assert first.holds()


def test_who_goes_by_an_old_list_of_names_has_nothing(path: Path) -> None:
    before = claim.latest(path)
    first = Claim.make(path, before)
    assert first
    first.end()
    second = Claim.make(path, claim.latest(path))
    assert second
    assert [each.name for each in path.parent.iterdir()] == ["lease.2"], "what was given back is tidied up"
    assert Claim.make(path, before) is None
    assert [each.name for each in path.parent.iterdir()] == ["lease.2"]
    assert second.beat()


@pytest.mark.usefixtures("lying")
@pytest.mark.parametrize("text", [b"", b"\xff", b"[]", b"{", b"{}", b'{"pid": []}', b'{"pid": "x", "place": 7}'])
def test_a_text_that_says_nothing_is_waited_for(text: bytes, path: Path) -> None:
    clock = Clock()
    watch = Watch(clock)
    path.with_name("lease.1").write_bytes(text)
    assert Lease.take(path, watch=watch) == Holder(0, "")
    clock.now += claim.STALE + 1
    take(path, watch).release()


@pytest.mark.parametrize(
    "name", ["lease.0", "lease.01", "lease.x", "lease.-1", "lease.1.tmp", f"lease.{10**18}", "lease."]
)
def test_other_names_are_no_claims(name: str, path: Path) -> None:
    path.with_name(name).write_bytes(b"{}")
    assert claim.latest(path) == Sign(0, b"")
    take(path).release()


@pytest.mark.usefixtures("lying")
def test_a_link_in_its_place_is_not_followed(path: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.write_text("x")
    path.with_name("lease.1").symlink_to(theirs)
    with pytest.raises(OSError, match=r"lease\.1"):
        Lease.take(path)
    assert theirs.read_text() == "x"


def test_a_claim_that_cannot_be_made_leaves_none(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, data: bytes | memoryview, offset: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(platform, "write_at", full)
        lease = take(path)
        assert claim.latest(path) == Sign(0, b"")
        lease.check()
        lease.release()
    take(path).release()


@pytest.mark.usefixtures("lying")
def test_a_lease_that_could_not_be_taken_is_given_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(fd: int, length: int) -> None:
        raise OSError(5, "Input/output error")

    truncate: Callable[[int, int], None] = os.ftruncate
    with monkeypatch.context() as patch:
        patch.setattr(os, "ftruncate", lambda fd, length: broken(fd, length) if not length else truncate(fd, length))
        with pytest.raises(OSError, match="Input/output"):
            Lease.take(path)
    take(path).release()
