"""The right to write into a checkpoints folder: one process at a time.

The lock is the operating system's, so it ends with its owner however that ends. The file's text only tells people who
holds it, and how far that is. Where locks lie (some network disks), the claim beside it decides (`storage.claim`). Part
files are keyed by digest and proven by it before they are published, so that even two at once lose work, and never make
a wrong file.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from acestep_fetch.core.errors import DiskError, LeaseError
from acestep_fetch.storage import claim, platform
from acestep_fetch.storage.claim import Claim, Sign, Watch

_ROOM: Final = 1024  # bytes of the text, always the same, so that no reader sees the end of an older one
_GLANCES: Final = 4  # times that the lock is tried for: who looks in `Lease.holder` has it for a blink
_BLINK: Final = 0.01  # seconds
_AT_ONCE: Final = getattr(os, "O_NONBLOCK", 0)  # to open a pipe would wait for who writes into it
_LOOK: Final = 0.1  # seconds between two looks at a claim in doubt
_WAIT: Final = "wait for it to end, then run this again: what it has fetched is not fetched twice"


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds the lease, and how many bytes of how many it has, as far as it wrote that down.

    `since` is in epoch seconds. `models` are those that it makes ready; none where it does something else.
    """

    pid: int
    host: str
    done: int = 0
    total: int = 0
    since: float = field(default=0.0, compare=False)
    models: tuple[str, ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}" if self.pid else "another process"


class Lease:
    """Held until `release`. A thread tells others that its owner is there."""

    def __init__(self, fd: int, path: Path, claimed: Claim, models: Sequence[str] = ()) -> None:
        self._fd, self._path, self._claim = fd, path, claimed
        self._disk = path.stat().st_dev
        self._models, self._since = list(models), time.time()
        self._ended, self._telling = threading.Event(), threading.Lock()
        self.is_believed = True  # the lock, as far as one machine can tell
        self.lost = False  # somebody else has taken over; `check` says who

    @classmethod
    def take(cls, path: Path, models: Sequence[str] = (), watch: Watch | None = None) -> Lease | Holder:
        """The lease, or who has it. `models` are for people. With the `watch` of one who asks again, it never waits;
        without, for `claim.STALE` seconds at the most where only time can tell whether an owner is there. Raises
        OSError where the folder cannot be written, `DiskError` where none can be made at all."""
        if watch:
            return cls._take(path, models, watch)
        watch = Watch()
        while isinstance(taken := cls._take(path, models, watch), Holder) and watch.in_doubt:
            time.sleep(_LOOK)
        return taken

    @classmethod
    def _take(cls, path: Path, models: Sequence[str], watch: Watch) -> Lease | Holder:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except FileNotFoundError as exc:  # of a folder whose parent is there: it never was, and so has not vanished
            raise DiskError(
                f"{exc.filename or path.parent}: no folder can be made there",
                hint="see that the disk is there and holds files, or choose another folder with --dir",
            ) from exc
        fd = platform.open_for_update(path, getattr(os, "O_NOFOLLOW", 0))
        claimed: Claim | Sign | None = None
        try:
            claimed = _claimed(fd, path, watch)
            if not isinstance(claimed, Claim):
                holder = _holder(fd, claimed)
                os.close(fd)
                return holder
            os.ftruncate(fd, 0)
            lease = cls(fd, path, claimed, models)
            lease.is_believed = watch.believed
            lease._sign()
        except OSError:
            os.close(fd)
            if isinstance(claimed, Claim):
                with contextlib.suppress(OSError):
                    claimed.end()
            raise
        threading.Thread(target=lease._beat, name="lease", daemon=True).start()
        return lease

    @staticmethod
    def holder(path: Path) -> Holder | None:
        """Who has the lease, for those who only look: nothing is made or changed. None where nobody has it, or where
        it cannot be read."""
        try:
            fd = os.open(path, os.O_RDONLY | _AT_ONCE | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0))
        except OSError:
            return None
        try:
            if not os.fstat(fd).st_size:
                return None  # given back in order
            if not platform.try_shared_lock(fd):
                return _holder(fd)
            if _is_believed(path):
                return None  # its owner is dead
            sign = claim.latest(path)
            return None if sign.is_free or sign.lives is False else _holder(fd, sign)
        except OSError:
            return None
        finally:
            os.close(fd)

    def _sign(self) -> None:
        """A disk without room for that has a better place to say so: the plan's verdict."""
        try:
            self.tell(0, 0)
        except OSError as exc:
            if exc.errno not in platform.NO_ROOM:
                raise

    def tell(self, done: int, total: int) -> None:
        """Writes down who the owner is and how far, for those who wait. Raises OSError."""
        row = {"pid": os.getpid(), "host": socket.gethostname(), "done": done, "total": total, "since": self._since}
        text = json.dumps(row | {"models": self._models}).encode()
        if len(text) > _ROOM:
            text = json.dumps(row).encode()
        self.lost = self.lost or not self._claim.holds()
        if not self.lost:
            platform.write_at(self._fd, text.ljust(_ROOM), 0)

    def _beat(self) -> None:
        while not self.lost and not self._ended.wait(claim.BEAT):
            with self._telling, contextlib.suppress(OSError):  # a disk that fails is found out by those who need it
                self.lost = not (self._ended.is_set() or self._claim.beat())

    def check(self) -> None:
        """Raises `DiskError` where the folder is gone, or another one lies there now (moved away, unmounted): what is
        written from here on would land in the wrong place. Raises `LeaseError` where another process has taken over,
        because this one seemed to be gone. Raises OSError."""
        try:
            there = self._path.stat().st_dev == self._disk
        except (FileNotFoundError, NotADirectoryError):
            there = False
        if not there:
            raise DiskError(
                f"{self._path.parent}: it has vanished while files were fetched into it",
                hint="see that folder and disk are there, and run the same command: what is left is used",
            )
        self.lost = self.lost or not self._claim.holds()
        if self.lost:
            owner, folder = _named(claim.latest(self._path)), self._path.parent.parent
            raise LeaseError(f"{owner} has taken over {folder}: this one did not answer for a while", hint=_WAIT)

    def release(self) -> None:
        """Whatever the disk says: the lock goes with the descriptor."""
        self._ended.set()
        with self._telling, contextlib.suppress(OSError):
            if self._claim.holds():
                os.ftruncate(self._fd, 0)
                self._claim.end()
        with contextlib.suppress(OSError):
            os.close(self._fd)


def _locked(fd: int) -> bool:
    for _ in range(_GLANCES - 1):
        if platform.try_lock(fd):
            return True
        time.sleep(_BLINK)
    return platform.try_lock(fd)


def _is_believed(path: Path) -> bool:
    """Whether a second lock is refused, as it must be. Only while this process has the first."""
    fd = platform.open_for_update(path, getattr(os, "O_NOFOLLOW", 0), create=False)
    try:
        return not platform.try_lock(fd)
    finally:
        with contextlib.suppress(OSError):  # nothing was written
            os.close(fd)


def _claimed(fd: int, path: Path, watch: Watch) -> Claim | Sign | None:
    """The claim, or that of somebody who is there, or may be; None where the lock says that somebody is."""
    if not _locked(fd):
        watch.refused, watch.in_doubt = watch.refused + 1, False
        return None
    seen, watch.refused, watch.in_doubt = watch.refused, 0, False
    watch.believed, sign = _is_believed(path), claim.latest(path)
    for _ in range(_GLANCES):
        is_over = sign.is_free or (watch.believed and (sign.is_of_this_machine or seen >= claim.REFUSALS))
        if not is_over:
            lives = sign.lives
            is_over = lives is False or (watch.is_still(sign) and lives is None)
            watch.in_doubt = lives is None and not watch.beats
        if not is_over:
            break
        if made := Claim.make(path, sign):
            return made
        sign = claim.at(path, sign.number + 1)
    return sign


def _holder(fd: int, sign: Sign | None = None) -> Holder:
    """As the lease's text has it, or else the claim `sign`."""
    text = bytearray(_ROOM)
    try:
        return _parsed(bytes(text[: platform.read_at(fd, memoryview(text), 0)]))
    except OSError:
        return Holder(0, "")
    except ValueError:
        return _named(sign or Sign(0, b""))


def _named(sign: Sign) -> Holder:
    try:
        return _parsed(sign.raw)
    except ValueError:
        return Holder(0, "")


def _parsed(text: bytes) -> Holder:
    """Raises ValueError."""
    try:
        row = json.loads(text)
        done, total, since = int(row.get("done", 0)), int(row.get("total", 0)), float(row.get("since", 0.0))
        return Holder(int(row["pid"]), str(row["host"]), done, total, since, tuple(map(str, row.get("models", ()))))
    except (KeyError, TypeError, AttributeError) as exc:
        raise ValueError("no owner's text") from exc
