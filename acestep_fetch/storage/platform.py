"""Every call that differs between systems, each with a portable fallback that tests can force.

Set `PORTABLE` (a test does) and nothing but plain seek, read and write is used.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shutil
import stat
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
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
NO_ROOM: Final = frozenset([errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)])
# What a disk answers that has no fsync; EBADF and EACCES are Windows', where a file is not open for writing.
_NO_SYNC: Final = frozenset([errno.EBADF, errno.EACCES, errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP])
_seeking = threading.Lock()
_numbers = itertools.count()


def open_for_update(path: Path, more: int = 0, *, create: bool = True) -> int:
    """A descriptor for reading and writing; `more` are further flags of os.open."""
    flags = os.O_RDWR | (os.O_CREAT if create else 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    return os.open(path, flags | more, 0o644)


def read_whole(path: Path, most: int = 64 << 20) -> bytes:
    """The bytes of a file that is written by programs. Raises OSError, also where no file stands (to open a pipe would
    wait for who writes into it) and for one over `most` bytes."""
    fd = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
    with open(fd, "rb") as file:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "not a file", str(path))
        if found.st_size > most:
            raise OSError(errno.EFBIG, f"it is longer than {most >> 20} MiB", str(path))
        return file.read()


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
    if code in NO_ROOM or code in (errno.EFBIG, errno.EIO):
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
    """Returns when the file's bytes would survive a loss of power, or at once where the disk has no such call.

    Raises OSError where they may be lost. What is read of the file after that is what the disk really holds.
    """
    _sync(fd, os.fdatasync if not PORTABLE and hasattr(os, "fdatasync") else os.fsync)


def _sync(fd: int, call: Callable[[int], None]) -> None:
    try:
        call(fd)
    except OSError as exc:
        if exc.errno not in _NO_SYNC:
            _distrust(fd)
            raise


def _distrust(fd: int) -> None:
    """Has the system forget what it keeps of the file in memory.

    A failed fsync takes what could not be written for written: the next one succeeds, and until the pages are dropped
    whoever reads the file sees bytes that are on no disk.
    """
    if PORTABLE or not hasattr(os, "posix_fadvise"):
        return
    with contextlib.suppress(OSError):
        os.fsync(fd)  # pages that are still to be written would not be dropped
    with contextlib.suppress(OSError):
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


def sync_path(path: Path) -> None:
    """The same for a file by its name."""
    fd = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        _sync(fd, os.fsync)
    except OSError as exc:
        exc.filename = str(path)
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
    """Makes names in `path` durable, where the system has such a thing. Raises OSError where the disk is at fault."""
    if not PORTABLE and hasattr(os, "O_DIRECTORY"):
        sync_path(path)


def clone(source: Path, target: Path) -> None:
    """Copies a file, sharing its blocks where the disk can (reflink). Never a hard link: ACE-Step rewrites files."""
    if reflink(source, target):
        return
    shutil.copyfile(source, target)


def reflink(source: Path, target: Path) -> bool:
    """Makes `target` share the blocks of `source`; False where the disk cannot. Raises OSError."""
    try:
        from fcntl import ioctl
    except ImportError:
        return False
    if PORTABLE:
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
    return _try_flock(fd, shared=False)


def try_shared_lock(fd: int) -> bool:
    """The same beside others who only look, and for a file that is open for reading."""
    return _try_flock(fd, shared=True)


def _try_flock(fd: int, *, shared: bool) -> bool:
    try:
        import fcntl
    except ImportError:
        return _try_windows_lock(fd)
    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
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
        with beside(target) as temporary:
            shutil.copyfile(source, temporary)
            sync_path(temporary)
        source.unlink()


@contextlib.contextmanager
def beside(target: Path) -> Iterator[Path]:
    """A name in the same folder that nobody else uses, short whatever `target` is called. What the block puts there
    becomes `target`; if it fails, nothing of it stays, and an OSError names `target`."""
    temporary = target.with_name(f".{os.getpid()}-{next(_numbers)}.tmp")
    try:
        yield temporary
        temporary.replace(target)
    except BaseException as exc:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(exc, OSError):
            exc.filename, exc.filename2 = str(target), None
        raise


def free_bytes(folder: Path) -> int:
    """Free bytes for this user on the disk that holds `folder` (which need not exist yet). Raises OSError."""
    return shutil.disk_usage(existing(folder)).free


def longest_name(folder: Path) -> int | None:
    """Bytes that one name may have on the disk that holds `folder`; None where nobody says. Raises OSError."""
    return (os.statvfs(existing(folder)).f_namemax or None) if hasattr(os, "statvfs") else None


def existing(folder: Path) -> Path:
    """`folder`, or the nearest folder above it that is there. Raises OSError where the disk cannot be asked."""
    place = folder.absolute()
    while not place.exists() and place != place.parent:  # a drive that is not there has nothing above it
        place = place.parent
    return place


def require_folder(root: Path) -> None:
    """Raises `DiskError` where something that is no folder has the name of a checkpoints folder. One that is not there
    yet is none of that."""
    try:
        is_other = root.exists() and not root.is_dir()
    except OSError as exc:
        raise explain(exc, root) from exc
    if is_other:
        raise DiskError(f"{root} is a file, not a folder", hint="choose the checkpoints folder with --dir")


def explain(exc: OSError, path: Path | str) -> FetchError:
    """The error that a user reads when the disk refuses."""
    name, code = str(path), exc.errno or 0
    if code == errno.ENOSPC and _no_more_files(exc):
        return DiskFullError(
            f"{name}: the disk can hold no more files (it has no inode left)",
            hint="free some space by deleting files, and run the same command: what is there is kept",
        )
    if code == errno.ENOSPC:
        return DiskFullError(
            f"{name}: the disk is full", hint="free some space and run the same command: what is there is kept"
        )
    if code in NO_ROOM:
        return DiskFullError(
            f"{name}: your quota on this disk is used up",
            hint="delete something of yours, or have the quota raised, and run the same command: what is there is kept",
        )
    return DiskError(f"{name}: {exc.strerror or exc}", hint=_HINTS.get(code, _AGAIN))


def _no_more_files(exc: OSError) -> bool:
    """Whether there is room for bytes, and none for another name."""
    with contextlib.suppress(OSError, AttributeError):  # no statvfs on Windows
        found = os.statvfs(Path(exc.filename or "").parent)
        return found.f_files > 0 and found.f_favail == 0
    return False


_AGAIN: Final = "see what is wrong with the disk, and run the same command: what is there is kept"
_NOT_YOURS: Final = "check who owns the folder, or choose another (--dir)"
_IN_THE_WAY: Final = "something else stands in its place: move it away and run the same command"
_VANISHED: Final = "it vanished: see that the disk is there, and run the same command: what is left is used"
_HINTS: Final = {
    errno.EACCES: _NOT_YOURS,
    errno.EPERM: _NOT_YOURS,
    errno.EROFS: "the disk is mounted read-only: make it writable, or choose another folder (--dir)",
    errno.ENAMETOOLONG: "choose a folder with a shorter path, or on a disk that takes longer names (--dir)",
    errno.EIO: "the disk reports a fault: check it before trusting it with more; what it lost is fetched again",
    errno.EFBIG: "this disk or account has a limit for the size of a file (FAT: 4 GiB): choose another folder (--dir)",
    errno.EEXIST: _IN_THE_WAY,
    errno.EISDIR: _IN_THE_WAY,
    errno.ENOTDIR: _IN_THE_WAY,
    errno.ENOTEMPTY: _IN_THE_WAY,
    errno.ELOOP: _IN_THE_WAY,
    errno.ENOENT: _VANISHED,
    errno.ESTALE: _VANISHED,
    errno.ENODEV: _VANISHED,
    errno.ENXIO: _VANISHED,
    errno.ENOTCONN: _VANISHED,
    errno.EMFILE: "too many files are open: choose fewer at once (--jobs, --connections)",
    errno.ENFILE: "too many files are open: choose fewer at once (--jobs, --connections)",
}
