"""A file system of our own that passes every call on to a folder, and refuses what it is told to.

    with Frail(backing, at) as disk:
        disk.faults.append(Fault("fsync", errno.EIO, "*.part", after=1))

It speaks the kernel's FUSE protocol (linux/fuse.h, 7.31) on ``/dev/fuse`` itself, so that it needs nothing installed: a
Linux kernel and root. Beside failing calls it can be a disk with less than POSIX: see `Traits`.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_IN: Final = struct.Struct("<IIQQIIIHH")
_OUT: Final = struct.Struct("<IiQ")
_ATTR: Final = struct.Struct("<6Q10I")
_MAX_WRITE: Final = 1 << 20
_KEEP_CACHE: Final = 2  # FOPEN_KEEP_CACHE: what is in the page cache stays, as on a disk
_INIT_FLAGS: Final = 1 | 8 | 32 | 1 << 22  # ASYNC_READ, ATOMIC_O_TRUNC, BIG_WRITES, MAX_PAGES
_FLOCK_LOCKS: Final = 1 << 10
_SET_MODE, _SET_SIZE, _SET_MTIME, _SET_MTIME_NOW = 1, 8, 32, 256
_ROOT: Final = 1


@dataclass
class Fault:
    """Calls named `call` on paths that match fail with `code`: `times` of them (None: all) after the first `after`.

    `call` is a FUSE operation in small letters. A rename matches by its new name. `then` is called when the fault first
    strikes; with `code` 0 that is all there is to it.
    """

    call: str
    code: int
    path: str = "*"
    after: int = 0
    times: int | None = None
    then: Callable[[], object] | None = None
    seen: int = 0
    struck: int = 0

    def strikes(self, call: str, path: str) -> bool:
        if call != self.call or not fnmatchcase(path, self.path):
            return False
        self.seen += 1
        if self.seen <= self.after or (self.times is not None and self.struck >= self.times):
            return False
        self.struck += 1
        return True


@dataclass(frozen=True)
class Traits:
    """What the file system is like."""

    folds_case: bool = False  # finds a name whatever its case, and keeps the case it was made with
    longest_name: int = 255  # bytes
    largest_file: int | None = None
    time_step: int = 1  # nanoseconds: times are rounded down to a multiple
    without: frozenset[str] = frozenset()  # operations that it does not know: EOPNOTSUPP, or what `refusals` says
    refusals: int = errno.EOPNOTSUPP
    forgets_unsynced: bool = False  # a failed fsync loses what was written since the last, as a disk's own fault does


@dataclass
class Frail:
    """Mounted within `with`. `calls` counts what was asked."""

    backing: Path
    at: Path
    traits: Traits = field(default_factory=Traits)
    faults: list[Fault] = field(default_factory=list)
    calls: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._names = {_ROOT: ""}
        self._nodes = {"": _ROOT}
        self._next, self._fd = _ROOT + 1, -1
        self._unsynced = dict[str, list[tuple[int, int]]]()
        self._thread = threading.Thread(target=self._serve, name="frail disk", daemon=True)

    def __enter__(self) -> Self:
        self._fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        text = f"fd={self._fd},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions"
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(b"frail", os.fsencode(self.at), b"fuse", 0, text.encode()):
            code = ctypes.get_errno()
            os.close(self._fd)
            raise OSError(code, os.strerror(code), str(self.at))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.vanish()
        self._thread.join(10)
        os.close(self._fd)

    def vanish(self) -> None:
        """Unmounts, whoever still has files open; they go on working."""
        ctypes.CDLL(None).umount2(os.fsencode(self.at), 2)  # MNT_DETACH

    # -- the protocol -----------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        while True:
            try:
                request = os.read(self._fd, _MAX_WRITE + 4096)
            except OSError as exc:
                if exc.errno in (errno.EINTR, errno.EAGAIN, errno.ENOENT):
                    continue
                return  # ENODEV: unmounted
            _, opcode, unique, node, _, _, _, _, _ = _IN.unpack_from(request)
            name = _OPERATIONS.get(opcode, "unknown")
            if name in ("forget", "batch_forget", "interrupt"):
                continue
            try:
                code, body = 0, self._answer(name, node, request[_IN.size :])
            except OSError as exc:
                code, body = -(exc.errno or errno.EIO), b""
            with suppress(OSError):  # the caller was interrupted meanwhile
                os.write(self._fd, _OUT.pack(_OUT.size + len(body), code, unique) + body)

    def _answer(self, name: str, node: int, body: bytes) -> bytes:
        self.calls[name] = self.calls.get(name, 0) + 1
        if name in self.traits.without:
            raise OSError(self.traits.refusals, "not on this disk")
        act: Callable[[int, bytes], bytes] | None = getattr(self, f"_{name}", None)
        if act is None:
            raise OSError(errno.ENOSYS, name)
        path = self._target(name, node, body)
        for fault in list(self.faults):
            if fault.strikes(name, path):
                if fault.then and fault.struck == 1:
                    fault.then()
                if name == "fsync" and fault.code and self.traits.forgets_unsynced:
                    self._forget_unsynced(path)
                if fault.code:
                    raise OSError(fault.code, os.strerror(fault.code))
        return act(node, body)

    def _target(self, name: str, node: int, body: bytes) -> str:
        if name in ("create", "mkdir", "unlink", "rmdir", "lookup"):
            return self._inside(node, _name(body, {"create": 16, "mkdir": 8}.get(name, 0)))
        if name in ("rename", "rename2"):
            start = 8 if name == "rename" else 16
            return self._inside(struct.unpack_from("<Q", body)[0], body[start:].split(b"\0")[1].decode())
        return self._names.get(node, "")

    # -- names ------------------------------------------------------------------------------------------------------

    def _inside(self, node: int, name: str) -> str:
        if len(os.fsencode(name)) > self.traits.longest_name:
            raise OSError(errno.ENAMETOOLONG, name)
        folder = self._names[node]
        if self.traits.folds_case:
            with suppress(OSError):
                same = [n for n in os.listdir(self._real(folder)) if n.casefold() == name.casefold()]
                name = same[0] if same else name
        return f"{folder}/{name}" if folder else name

    def _real(self, path: str) -> str:
        return os.path.join(self.backing, path)

    def _of(self, node: int) -> str:
        if node not in self._names:
            raise OSError(errno.ESTALE, "gone")
        return self._real(self._names[node])

    def _entry(self, path: str) -> bytes:
        attributes = self._attributes(self._real(path))
        if path not in self._nodes:
            self._nodes[path], self._names[self._next] = self._next, path
            self._next += 1
        return struct.pack("<4Q2I", self._nodes[path], 0, 0, 0, 0, 0) + attributes

    def _attributes(self, real: str | int) -> bytes:
        found = os.fstat(real) if isinstance(real, int) else os.lstat(real)
        step = self.traits.time_step
        times = [t - t % step for t in (found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns)]
        seconds, parts = [t // 10**9 for t in times], [t % 10**9 for t in times]
        return _ATTR.pack(
            *(found.st_ino, found.st_size, found.st_blocks, *seconds, *parts),
            *(found.st_mode, found.st_nlink, found.st_uid, found.st_gid, 0, 4096, 0),
        )

    def _forget_path(self, path: str) -> None:
        if node := self._nodes.pop(path, None):
            self._names.pop(node, None)

    # -- operations: each is asked with a node and the request's body ------------------------------------------------

    def _init(self, node: int, body: bytes) -> bytes:
        _, _, readahead, _ = struct.unpack_from("<4I", body)
        flags = _INIT_FLAGS | (_FLOCK_LOCKS if "setlk" in self.traits.without else 0)
        return struct.pack("<4I2H2I2H", 7, 31, readahead, flags, 16, 12, _MAX_WRITE, 1, 256, 0) + bytes(32)

    def _lookup(self, node: int, body: bytes) -> bytes:
        return self._entry(self._inside(node, _name(body)))

    def _getattr(self, node: int, body: bytes) -> bytes:
        flags, _, handle = struct.unpack_from("<IIQ", body)
        return struct.pack("<QII", 0, 0, 0) + self._attributes(handle if flags & 1 else self._of(node))

    def _setattr(self, node: int, body: bytes) -> bytes:
        valid, _, handle, size, _, _, mtime = struct.unpack_from("<II5Q", body)
        real: str | int = handle if valid & 64 else self._of(node)
        if valid & _SET_SIZE:
            self._bounded(size)
            os.truncate(real, size)
        if valid & _SET_MODE:
            os.chmod(real, stat.S_IMODE(struct.unpack_from("<I", body, 68)[0]))
        if valid & (_SET_MTIME | _SET_MTIME_NOW):
            whole = mtime * 10**9 + struct.unpack_from("<I", body, 60)[0]
            if valid & _SET_MTIME_NOW:
                os.utime(real)
            else:
                os.utime(real, ns=(whole, whole))
        return struct.pack("<QII", 0, 0, 0) + self._attributes(real)

    def _bounded(self, size: int) -> None:
        if self.traits.largest_file is not None and size > self.traits.largest_file:
            raise OSError(errno.EFBIG, "too large")

    def _readlink(self, node: int, body: bytes) -> bytes:
        return os.fsencode(os.readlink(self._of(node)))

    def _symlink(self, node: int, body: bytes) -> bytes:
        name, target = body.split(b"\0")[:2]
        path = self._inside(node, name.decode())
        os.symlink(target.decode(), self._real(path))
        return self._entry(path)

    def _mkdir(self, node: int, body: bytes) -> bytes:
        path = self._inside(node, _name(body, 8))
        os.mkdir(self._real(path))
        return self._entry(path)

    def _unlink(self, node: int, body: bytes) -> bytes:
        path = self._inside(node, _name(body))
        os.unlink(self._real(path))
        self._forget_path(path)
        return b""

    def _rmdir(self, node: int, body: bytes) -> bytes:
        path = self._inside(node, _name(body))
        os.rmdir(self._real(path))
        self._forget_path(path)
        return b""

    def _rename(self, node: int, body: bytes, start: int = 8) -> bytes:
        (folder,) = struct.unpack_from("<Q", body)
        old, new = (part.decode() for part in body[start:].split(b"\0")[:2])
        source, target = self._inside(node, old), self._inside(folder, new)
        os.rename(self._real(source), self._real(target))
        self._forget_path(target)
        for path in [p for p in self._nodes if p == source or p.startswith(f"{source}/")]:
            moved = target + path[len(source) :]
            number = self._nodes.pop(path)
            self._nodes[moved], self._names[number] = number, moved
        return b""

    def _rename2(self, node: int, body: bytes) -> bytes:
        if struct.unpack_from("<I", body, 8)[0]:
            raise OSError(errno.EINVAL, "flags")
        return self._rename(node, body, 16)

    def _open(self, node: int, body: bytes) -> bytes:
        (flags,) = struct.unpack_from("<I", body)
        handle = os.open(self._of(node), flags & ~(os.O_NOFOLLOW | os.O_CREAT | os.O_EXCL | os.O_APPEND))
        return struct.pack("<QII", handle, _KEEP_CACHE, 0)

    def _create(self, node: int, body: bytes) -> bytes:
        flags, mode, _, _ = struct.unpack_from("<4I", body)
        path = self._inside(node, _name(body, 16))
        handle = os.open(self._real(path), (flags & ~os.O_APPEND) | os.O_CREAT, mode)
        return self._entry(path) + struct.pack("<QII", handle, _KEEP_CACHE, 0)

    def _read(self, node: int, body: bytes) -> bytes:
        handle, offset, size = struct.unpack_from("<QQI", body)
        return os.pread(handle, size, offset)

    def _write(self, node: int, body: bytes) -> bytes:
        handle, offset, size = struct.unpack_from("<QQI", body)
        self._bounded(offset + size)
        done = os.pwrite(handle, body[40 : 40 + size], offset)
        self._unsynced.setdefault(self._names.get(node, ""), []).append((offset, done))
        return struct.pack("<II", done, 0)

    def _statfs(self, node: int, body: bytes) -> bytes:
        found = os.statvfs(self.backing)
        counts = (found.f_blocks, found.f_bfree, found.f_bavail, found.f_files, found.f_ffree)
        return struct.pack("<5Q4I", *counts, found.f_bsize, self.traits.longest_name, found.f_frsize, 0) + bytes(24)

    def _release(self, node: int, body: bytes) -> bytes:
        os.close(struct.unpack_from("<Q", body)[0])
        return b""

    def _flush(self, node: int, body: bytes) -> bytes:
        return b""

    def _fsync(self, node: int, body: bytes) -> bytes:
        self._unsynced.pop(self._names.get(node, ""), None)
        return b""

    def _forget_unsynced(self, path: str) -> None:
        with open(self._real(path), "r+b") as file:
            for offset, length in self._unsynced.pop(path, ()):
                file.seek(offset)
                file.write(bytes(length))

    def _opendir(self, node: int, body: bytes) -> bytes:
        return struct.pack("<QII", 0, 0, 0)

    def _readdir(self, node: int, body: bytes) -> bytes:
        _, offset, size = struct.unpack_from("<QQI", body)
        rows = b""
        for number, entry in enumerate(sorted(os.scandir(self._of(node)), key=lambda e: e.name)):
            if number < offset:
                continue
            name, kind = os.fsencode(entry.name), stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode) >> 12
            row = struct.pack("<QQII", entry.inode(), number + 1, len(name), kind) + name
            row += bytes(-len(row) % 8)
            if len(rows) + len(row) > size:
                break
            rows += row
        return rows

    def _releasedir(self, node: int, body: bytes) -> bytes:
        return b""

    def _fsyncdir(self, node: int, body: bytes) -> bytes:
        return b""

    def _setlk(self, node: int, body: bytes) -> bytes:
        return b""

    def _fallocate(self, node: int, body: bytes) -> bytes:
        handle, offset, length, mode = struct.unpack_from("<QQQI", body)
        if mode:
            raise OSError(errno.EOPNOTSUPP, "mode")
        self._bounded(offset + length)
        os.posix_fallocate(handle, offset, length)
        return b""


def _name(body: bytes, start: int = 0) -> str:
    return body[start:].split(b"\0")[0].decode()


_OPERATIONS: Final = {
    1: "lookup", 2: "forget", 3: "getattr", 4: "setattr", 5: "readlink", 6: "symlink", 9: "mkdir", 10: "unlink",
    11: "rmdir", 12: "rename", 14: "open", 15: "read", 16: "write", 17: "statfs", 18: "release", 20: "fsync",
    25: "flush", 26: "init", 27: "opendir", 28: "readdir", 29: "releasedir", 30: "fsyncdir", 32: "setlk",
    33: "setlk", 35: "create", 36: "interrupt", 42: "batch_forget", 43: "fallocate", 45: "rename2",
}  # fmt: skip
