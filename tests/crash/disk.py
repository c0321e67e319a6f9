"""What a process writes below one folder, recorded call by call, and what a loss of power may leave of it.

`recorded` watches the calls that change a disk. `after_power_loss` builds the folder as it may be found afterwards:

- Bytes that no fsync of their file covers are there, or not, or in part (torn at a sector), each write by its own luck;
  where they are not, there are zeros or the file is shorter.
- Names change in their order, but the last of these changes may be missing: all that came after the last fsync of a
  folder or of any file.

So this stands for file systems that keep names in a journal, whose commit any fsync waits for. One that makes names
durable folder by folder, and a disk that lies about fsync, can lose more.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from acestep_fetch.storage import platform

SECTOR: Final = 512


@dataclass(eq=False)
class Inode:
    """A file, whatever its name is at the moment; `mtime_ns` is its last one."""

    mtime_ns: int = 0


@dataclass(frozen=True)
class Op:
    """`kind` is write, resize or sync (of a file's bytes), make, move, drop, mkdir or rmdir (of names)."""

    kind: str
    inode: Inode | None = None
    offset: int = 0
    data: bytes = b""
    path: str = ""  # relative to the folder
    to: str = ""


@dataclass
class Recording:
    """The calls so far. Calls from several threads are taken one at a time, so that their order is known."""

    root: Path
    ops: list[Op] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self._fds = dict[int, tuple[Inode | None, bool]]()  # None: a folder; whether writes append
        self._names = dict[str, Inode]()

    def relative(self, path: Any, dir_fd: int | None = None) -> str | None:
        """`path` below the folder, None where it is elsewhere."""
        if isinstance(path, int):
            return None
        base = os.readlink(f"/proc/self/fd/{dir_fd}") if dir_fd is not None else os.getcwd()
        whole = os.path.normpath(os.path.join(base, os.fspath(path)))
        root = str(self.root)
        return os.path.relpath(whole, root) if whole == root or whole.startswith(root + os.sep) else None

    def inode_at(self, path: str) -> Inode:
        return self._names.setdefault(path, Inode())

    def note(self, op: Op) -> None:
        self.ops.append(op)

    def stamp(self) -> None:
        """Takes the files' modification times, which a receipt may name."""
        for path, inode in self._names.items():
            whole = self.root / path
            if whole.is_file():
                inode.mtime_ns = whole.stat().st_mtime_ns


@contextmanager
def recorded(root: Path) -> Iterator[Recording]:
    """Records everything that this process does below `root`, which must be empty or absent."""
    book = Recording(root.resolve())
    with patch.multiple(os, **_watched(book)), patch.multiple(Path, write_bytes=_write_bytes, write_text=_write_text):
        with patch.object(platform, "_reserve", lambda fd, size: None):
            yield book
        book.stamp()


def _write_bytes(path: Path, data: bytes) -> int:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        return os.write(fd, data)
    finally:
        os.close(fd)


def _write_text(path: Path, data: str, encoding: str | None = None, **_: Any) -> int:
    return _write_bytes(path, data.encode(encoding or "utf-8"))


def _watched(book: Recording) -> dict[str, Callable[..., Any]]:
    """The calls of `os` that change a disk, each followed by a note of what it did."""
    real = {name: getattr(os, name) for name in dir(os)}
    lock, fds, names = book._lock, book._fds, book._names

    def open_(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        with lock:
            at = book.relative(path, dir_fd)
            existed = at is not None and real["path"].lexists(book.root / at)
            fd: int = real["open"](path, flags, mode, dir_fd=dir_fd)
            if at is None:
                fds.pop(fd, None)
                return fd
            if flags & os.O_DIRECTORY:
                fds[fd] = (None, False)
                return fd
            inode = book.inode_at(at)
            if not existed:
                book.note(Op("make", inode, path=at))
            elif flags & os.O_TRUNC:
                book.note(Op("resize", inode, 0))
            fds[fd] = (inode, bool(flags & os.O_APPEND))
            return fd

    def close(fd: int) -> None:
        with lock:
            fds.pop(fd, None)
            real["close"](fd)

    def write(fd: int, data: Any) -> int:
        with lock:
            inode, appends = fds.get(fd, (None, False))
            at = 0
            if inode:
                at = real["fstat"](fd).st_size if appends else real["lseek"](fd, 0, os.SEEK_CUR)
            done: int = real["write"](fd, data)
            if inode:
                book.note(Op("write", inode, at, bytes(memoryview(data)[:done])))
            return done

    def pwrite(fd: int, data: Any, offset: int) -> int:
        with lock:
            done: int = real["pwrite"](fd, data, offset)
            if inode := fds.get(fd, (None, False))[0]:
                book.note(Op("write", inode, offset, bytes(memoryview(data)[:done])))
            return done

    def pwritev(fd: int, buffers: Any, offset: int) -> int:
        return pwrite(fd, b"".join(buffers), offset)

    def ftruncate(fd: int, length: int) -> None:
        with lock:
            real["ftruncate"](fd, length)
            if inode := fds.get(fd, (None, False))[0]:
                book.note(Op("resize", inode, length))

    def fsync(fd: int) -> None:
        with lock:
            if fd in fds:
                book.note(Op("sync", fds[fd][0]))

    def replace(source: Any, target: Any) -> None:
        with lock:
            real["replace"](source, target)
            a, b = book.relative(source), book.relative(target)
            assert a is not None
            assert b is not None
            for path in [path for path in names if path == a or path.startswith(a + os.sep)]:
                names[b + path[len(a) :]] = names.pop(path)
            book.note(Op("move", path=a, to=b))

    def unlink(path: Any, *, dir_fd: int | None = None) -> None:
        with lock:
            at = book.relative(path, dir_fd)
            real["unlink"](path, dir_fd=dir_fd)
            if at is not None:
                names.pop(at, None)
                book.note(Op("drop", path=at))

    def mkdir(path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        with lock:
            at = book.relative(path, dir_fd)
            real["mkdir"](path, mode, dir_fd=dir_fd)
            if at is not None:
                book.note(Op("mkdir", path=at))

    def rmdir(path: Any, *, dir_fd: int | None = None) -> None:
        with lock:
            at = book.relative(path, dir_fd)
            real["rmdir"](path, dir_fd=dir_fd)
            if at is not None:
                book.note(Op("rmdir", path=at))

    return {
        "open": open_,
        "close": close,
        "write": write,
        "pwrite": pwrite,
        "pwritev": pwritev,
        "ftruncate": ftruncate,
        "fsync": fsync,
        "fdatasync": fsync,
        "replace": replace,
        "rename": replace,
        "unlink": unlink,
        "remove": unlink,
        "mkdir": mkdir,
        "rmdir": rmdir,
    }


NAMES: Final = frozenset(("make", "move", "drop", "mkdir", "rmdir"))


def after_power_loss(ops: list[Op], target: Path, luck: random.Random, *, lose: float = 0.5) -> None:
    """Builds in `target` what the calls `ops` may have left. `lose` is the chance of each change that nothing made
    durable to be missing: 0 for a killed process, 1 for the worst."""
    changes = [number for number, op in enumerate(ops) if op.kind in NAMES]
    synced = max((number for number, op in enumerate(ops) if op.kind == "sync"), default=-1)
    loose = [number for number in changes if number > synced]
    kept = len(loose) if luck.random() >= lose else luck.randrange(len(loose) + 1) if loose else 0
    last_name = loose[kept - 1] if kept else synced
    files = dict[str, Inode]()
    folders = {"."}
    for op in (op for number, op in enumerate(ops) if number <= last_name and op.kind in NAMES):
        _rename(op, files, folders)
    target.mkdir(parents=True)
    for folder in sorted(folders):
        (target / folder).mkdir(exist_ok=True)
    for path, inode in files.items():
        whole = target / path
        whole.write_bytes(_content(ops, inode, luck, lose))
        if inode.mtime_ns:
            os.utime(whole, ns=(inode.mtime_ns, inode.mtime_ns))


def _rename(op: Op, files: dict[str, Inode], folders: set[str]) -> None:
    if op.kind == "make" and op.inode:
        files[op.path] = op.inode
    elif op.kind == "mkdir":
        folders.add(op.path)
    elif op.kind == "rmdir":
        folders.discard(op.path)
    elif op.kind == "drop":
        files.pop(op.path, None)
    elif op.path in files:
        files[op.to] = files.pop(op.path)
    else:
        inside = op.path + os.sep
        for path in [path for path in files if path.startswith(inside)]:
            files[op.to + path[len(op.path) :]] = files.pop(path)
        for path in [path for path in folders if path == op.path or path.startswith(inside)]:
            folders.remove(path)
            folders.add(op.to + path[len(op.path) :])


def _content(ops: list[Op], inode: Inode, luck: random.Random, lose: float) -> bytes:
    """The file's bytes: what was synced for certain, and of the rest what luck leaves."""
    mine = [op for op in ops if op.inode is inode]
    synced = max((number for number, op in enumerate(mine) if op.kind == "sync"), default=-1)
    data = bytearray()
    for number, op in enumerate(mine):
        part = op.data
        if number > synced and luck.random() < lose:
            torn = luck.random() < 0.5
            part = part[: luck.randrange(0, len(part) + 1, SECTOR)] if torn else b""
            if op.kind == "resize" or not part:
                continue
        if op.kind == "resize":
            data = data[: op.offset] + bytes(max(0, op.offset - len(data)))
        elif op.kind == "write":
            data += bytes(max(0, op.offset + len(part) - len(data)))
            data[op.offset : op.offset + len(part)] = part
    return bytes(data)
