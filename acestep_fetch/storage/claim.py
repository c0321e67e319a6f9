"""Who writes into a folder, said a second time: for disks whose locks cannot be believed.

Some network disks have no locks, some grant them to everybody, and many keep them within one machine. So whoever has
the lock makes a claim too: beside the lease, a file ``lease.<n>`` that only one can create, with a number above all
before it. The highest number counts. Its owner writes a new beat into it every second, and whoever may have to take it
over looks for those beats by its own clock: what clocks and times of files say on another machine means nothing here.

A claim is over where its owner gave it back, where the lock can be believed, where its owner is a process here that has
ended, or where its owner is elsewhere and no beat came for `STALE` seconds. Of two that take over at once, the file
system lets one create the next number. An owner that was only held up sees at its next beat that it is none any more.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from acestep_fetch.storage import platform

BEAT: Final = 1.0  # seconds
STALE: Final = 10.0  # seconds without a beat until an owner that cannot be asked counts as gone
REFUSALS: Final = 2  # in a row, and the lock is known to hold between this machine and its owner's
_FREE: Final = b"free"
_NUMBER: Final = re.compile("[1-9][0-9]{0,17}")
_SIZE: Final = 512  # bytes, always the same, so that nobody reads half of an older text
_ONLY: Final = getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_AT_ONCE: Final = getattr(os, "O_NONBLOCK", 0)  # to open a pipe would wait for who writes into it


@dataclass(frozen=True, slots=True)
class Sign:
    """The claim that counts, as it was read. Number 0: nobody ever made one."""

    number: int
    raw: bytes

    @property
    def is_free(self) -> bool:
        return not self.number or self.raw == _FREE

    @property
    def row(self) -> dict[str, Any]:
        """What its owner says of itself; empty where that cannot be read, or is not written yet."""
        try:
            row = json.loads(self.raw)
        except ValueError:
            return {}
        return row if isinstance(row, dict) else {}

    @property
    def is_of_this_machine(self) -> bool:
        """Whether a lock of this system's would hold against its owner. After a restart it is the same machine."""
        row = self.row
        return bool(row) and (row.get("host") == socket.gethostname() or row.get("boot") == boot() != "")

    @property
    def lives(self) -> bool | None:
        """Whether its owner is there, stopped perhaps; None where it cannot be asked for."""
        row = self.row
        if not row or not place() or row.get("place") != place():
            return None
        try:
            pid = int(row["pid"])
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass  # somebody else's
        except (KeyError, TypeError, ValueError, OverflowError, OSError):
            return None
        return born(pid) == row.get("born")


class Watch:
    """What somebody who waits has seen so far. `clock` is in monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.refused = 0  # times in a row that the lock was refused
        self.beats = 0  # that were seen
        self.believed = True  # a second lock was refused, as it must be
        self.in_doubt = False  # only time can tell whether an owner is there
        self._clock, self._seen, self._since = clock, Sign(0, b""), clock()

    def is_still(self, sign: Sign) -> bool:
        """Whether nothing of it has changed for long enough."""
        if sign != self._seen:
            self.beats += self._seen.number > 0
            self._seen, self._since = sign, self._clock()
        return self._clock() - self._since >= STALE


class Claim:
    """Of this process, until `end`."""

    def __init__(self, lease: Path, number: int) -> None:
        self._lease, self._number, self._beats = lease, number, 0
        self._path = _named(lease, number)
        self._row = {
            "token": uuid.uuid4().hex,
            "pid": os.getpid(),
            "born": born(os.getpid()),
            "host": socket.gethostname(),
            "place": place(),
            "boot": boot(),
        }

    @classmethod
    def make(cls, lease: Path, before: Sign) -> Claim | None:
        """The claim after `before`, which is over; None where somebody else was faster. Raises OSError."""
        claim = cls(lease, before.number + 1)
        try:
            claim._write(new=True)
        except FileExistsError:
            return None
        except OSError as exc:
            with contextlib.suppress(OSError):
                claim._path.unlink()  # an empty one would be waited for
            if exc.errno not in platform.NO_ROOM:  # for that, the plan's verdict is the better place
                raise
            return claim
        if not claim.holds():  # while we looked, somebody had the next number, and somebody else has the one after it
            with contextlib.suppress(OSError):
                claim._path.unlink()
            return None
        claim._clear(before)
        return claim

    def _clear(self, before: Sign) -> None:
        """Tells the owner before that it is none any more, should it still be there; older ones have had their time."""
        for number in _numbers(self._lease):
            with contextlib.suppress(OSError):
                if number == before.number and not before.is_free:
                    self._write(number)
                elif number < self._number:
                    _named(self._lease, number).unlink()

    def beat(self) -> bool:
        """Tells that the owner is there; False where it has lost the claim. Raises OSError."""
        if not self.holds():
            return False
        self._beats += 1
        self._write()
        return True

    def holds(self) -> bool:
        """Whether nobody has taken over. Raises OSError."""
        sign = _read(self._lease, self._number)
        if sign and sign.row and sign.row.get("token") != self._row["token"]:
            return False
        return not any(number > self._number for number in _numbers(self._lease))

    def end(self) -> None:
        """Gives it back. Only while it `holds`. Raises OSError."""
        with _opened(self._path, os.O_RDWR) as fd:
            platform.write_at(fd, _FREE, 0)
            os.ftruncate(fd, len(_FREE))

    def _write(self, number: int | None = None, *, new: bool = False) -> None:
        """Opens the file each time, because that is when a client of a network disk asks and tells its server."""
        path = self._path if number is None else _named(self._lease, number)
        with _opened(path, os.O_RDWR | (os.O_CREAT | os.O_EXCL if new else 0)) as fd:
            text = json.dumps(self._row | {"beats": self._beats}).encode()
            platform.write_at(fd, text.ljust(_SIZE), 0)
            if new:  # one that a loss of power has emptied could be anybody's, and would be waited for
                platform.sync_data(fd)


def latest(lease: Path) -> Sign:
    """The claim that counts by what the folder lists, which on a network disk may be a little old. Raises OSError."""
    for number in reversed(_numbers(lease)):
        if sign := _read(lease, number):
            return sign
    return Sign(0, b"")


def at(lease: Path, number: int) -> Sign:
    """The claim of that number. Raises OSError."""
    return _read(lease, number) or Sign(number, _FREE)


def _read(lease: Path, number: int) -> Sign | None:
    """None where it is gone."""
    try:
        with _opened(_named(lease, number), os.O_RDONLY | _AT_ONCE) as fd:
            return Sign(number, os.read(fd, _SIZE))
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    fd = os.open(path, flags | _ONLY, 0o644)
    try:
        yield fd
    finally:
        os.close(fd)


def _named(lease: Path, number: int) -> Path:
    return lease.with_name(f"{lease.name}.{number}")


def _numbers(lease: Path) -> list[int]:
    """Of the claims that are there, least first."""
    parts = (name.partition(f"{lease.name}.") for name in os.listdir(lease.parent))
    return sorted(int(end) for start, _, end in parts if not start and _NUMBER.fullmatch(end))


@cache
def boot() -> str:
    """What this kernel has for a name from its start to its end; "" where it has none."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    return ""


@cache
def place() -> str:
    """Where a process number means one process: this kernel and this container; "" where it cannot be asked for."""
    if sys.platform == "win32":
        return ""  # os.kill(pid, 0) would end it
    with contextlib.suppress(OSError):
        return f"{boot()}/{os.stat('/proc/self/ns/pid').st_ino}"
    return socket.gethostname()


def born(pid: int) -> str:
    """When the process began, as its system says, or "ended"; "" where the system does not say."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "ended" if words[0] in "ZX" else words[19]
