"""Every call that differs between systems, each with a portable fallback that tests can force.

Set `PORTABLE` (a test does) and nothing but plain seek, read and write is used.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shutil
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Final

from acestep_fetch.core.errors import DiskError, DiskFullError, FetchError

PORTABLE = False  # True: act as on a system that has none of the calls below

_MOST_CHUNKS: Final = 512  # IOV_MAX is 1024 on Linux and macOS
_FICLONE: Final = 0x40049409  # linux/fs.h
_SYNCS: Final = 8
_SYNC_FILE_RANGE_WRITE: Final = 2  # linux/fs.h
_seeking = threading.Lock()
_numbers = itertools.count()


def open_for_update(path: Path, more: int = 0, *, create: bool = True) -> int:
    """A descriptor for reading and writing; `more` are further flags of os.open."""
    flags = os.O_RDWR | (os.O_CREAT if create else 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    return os.open(path, flags | more, 0o644)


def write_at(fd: int, data: bytes | memoryview, offset: int) -> None:
    """Writes all of `data` at `offset`."""
    view = memoryview(data)
    while view:
        if PORTABLE or not hasattr(os, "pwrite"):
            with _seeking:
                os.lseek(fd, offset, os.SEEK_SET)
                done = os.write(fd, view)
        else:
            done = os.pwrite(fd, view, offset)
        view, offset = view[done:], offset + done


def write_many_at(fd: int, chunks: list[memoryview], offset: int) -> None:
    """Writes `chunks` one behind the other from `offset`, without joining them where the system can do that."""
    if PORTABLE or not hasattr(os, "pwritev") or len(chunks) > _MOST_CHUNKS:
        write_at(fd, b"".join(chunks), offset)
        return
    total = sum(len(chunk) for chunk in chunks)
    done = os.pwritev(fd, chunks, offset)
    if done < total:  # a full disk or a signal: the rest goes the plain way, which raises what is to be raised
        write_at(fd, memoryview(b"".join(chunks))[done:], offset + done)


def read_at(fd: int, into: memoryview, offset: int) -> int:
    """Reads up to ``len(into)`` bytes from `offset`; returns how many, 0 at the end."""
    if PORTABLE or not hasattr(os, "preadv"):
        with _seeking:
            os.lseek(fd, offset, os.SEEK_SET)
            data = os.read(fd, len(into))
        into[: len(data)] = data
        return len(data)
    return os.preadv(fd, [into], offset)


def allocate(fd: int, size: int) -> None:
    """Makes the file `size` bytes long, with its blocks reserved where the disk can do that.

    Raises OSError (ENOSPC, EDQUOT) where the room is not there.
    """
    if os.fstat(fd).st_size == size:
        return
    if size and not PORTABLE and sys.platform == "linux":
        _reserve(fd, size)
    os.ftruncate(fd, size)


def _reserve(fd: int, size: int) -> None:
    """Linux's own fallocate: glibc's posix_fallocate writes to every block where a file system has no such call."""
    try:
        import ctypes

        fallocate = ctypes.CDLL(None, use_errno=True).fallocate64
    except (ImportError, AttributeError, OSError):
        return
    if fallocate(fd, 0, ctypes.c_int64(0), ctypes.c_int64(size)) == 0:
        return
    code = ctypes.get_errno()
    if code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
        raise OSError(code, os.strerror(code))


def begin_sync(fd: int, offset: int, length: int) -> None:
    """Has the system begin to write these bytes to the disk, without waiting: a later `sync_data` finds little to do.

    Does nothing where there is no such call, and promises nothing.
    """
    if not PORTABLE and sys.platform == "linux":
        _sync_file_range()(fd, offset, length, _SYNC_FILE_RANGE_WRITE)


@cache
def _sync_file_range() -> Callable[[int, int, int, int], int]:
    try:
        import ctypes

        call = ctypes.CDLL(None).sync_file_range
    except (ImportError, AttributeError, OSError):
        return lambda fd, offset, length, flags: -1
    call.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]

    def begin(fd: int, offset: int, length: int, flags: int) -> int:
        return int(call(fd, offset, length, flags))

    return begin


def sync_data(fd: int) -> None:
    """Returns when the file's bytes would survive a loss of power."""
    if not PORTABLE and hasattr(os, "fdatasync"):
        os.fdatasync(fd)
    else:
        os.fsync(fd)


def sync_path(path: Path) -> None:
    """fsync for a file by its name."""
    fd = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        os.fsync(fd)
    except OSError as exc:  # Windows syncs only what is open for writing
        if exc.errno not in (errno.EBADF, errno.EACCES, errno.EINVAL):
            raise
    finally:
        os.close(fd)


def sync_paths(paths: Sequence[Path]) -> None:
    """`sync_path` for all of them, a few at a time: one journal commit of the file system then serves several."""
    if len(paths) < _SYNCS or PORTABLE:
        for path in paths:
            sync_path(path)
        return
    with ThreadPoolExecutor(_SYNCS, thread_name_prefix="disk-sync") as pool:
        list(pool.map(sync_path, paths))  # which raises what the first one raised


def sync_folder(path: Path) -> None:
    """Makes names in `path` durable, where the system has such a thing."""
    if PORTABLE or not hasattr(os, "O_DIRECTORY"):
        return
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):  # some network file systems refuse; the rename stands
            os.fsync(fd)
    finally:
        os.close(fd)


def clone(source: Path, target: Path) -> None:
    """Copies a file, sharing its blocks where the disk can (reflink). Never a hard link: ACE-Step rewrites files."""
    if not PORTABLE and _reflink(source, target):
        return
    shutil.copyfile(source, target)


def _reflink(source: Path, target: Path) -> bool:
    try:
        from fcntl import ioctl
    except ImportError:
        return False
    with source.open("rb") as reader, target.open("wb") as writer:
        try:
            ioctl(writer.fileno(), _FICLONE, reader.fileno())
        except OSError:
            return False
    return True


def try_lock(fd: int) -> bool:
    """Takes the exclusive lock of an open file without waiting. It goes with the process, however that ends.

    Where there is no lock to be had, True: the engine's unique names and digests keep files right all the same.
    """
    try:
        import fcntl
    except ImportError:
        return _try_windows_lock(fd)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        return exc.errno not in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
    return True


def _try_windows_lock(fd: int) -> bool:
    """Locks one byte far behind the text, because Windows keeps others from reading what is locked."""
    try:
        import msvcrt
    except ImportError:
        return True
    os.lseek(fd, 1 << 20, os.SEEK_SET)
    try:
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]  # Windows only
    except OSError:
        return False
    finally:
        os.lseek(fd, 0, os.SEEK_SET)
    return True


def move(source: Path, target: Path) -> None:
    """Renames over `target`; copies first where `target` lies on another disk behind a link."""
    try:
        source.replace(target)
    except OSError as exc:
        if exc.errno != errno.EXDEV:
            raise
        beside = temporary_beside(target)
        shutil.copyfile(source, beside)
        sync_path(beside)
        beside.replace(target)
        source.unlink()


def temporary_beside(target: Path) -> Path:
    """A name in the same folder that nobody else uses, short whatever `target` is called."""
    return target.with_name(f".{os.getpid()}-{next(_numbers)}.tmp")


def free_bytes(folder: Path) -> int:
    """Free bytes for this user on the disk that holds `folder` (which need not exist yet)."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def explain(exc: OSError, path: Path | str) -> FetchError:
    """The error that a user reads when the disk refuses."""
    name = str(path)
    if exc.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        return DiskFullError(
            f"{name}: the disk is full", hint="free some space and run the same command: what is there is kept"
        )
    hints = {
        errno.EACCES: "check who owns the folder, or choose another with --dir",
        errno.EPERM: "check who owns the folder, or choose another with --dir",
        errno.EROFS: "the disk is mounted read-only: choose another folder with --dir",
        errno.ENAMETOOLONG: "choose a folder with a shorter path with --dir",
        errno.EIO: "the disk reports a fault: check it before trusting it with more",
    }
    return DiskError(f"{name}: {exc.strerror or exc}", hint=hints.get(exc.errno or 0))
