"""The calls that differ between systems do the same with and without the system's help."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from acestep_fetch.core.errors import DiskError, DiskFullError
from acestep_fetch.storage import platform
from tests.storage.content import content


@pytest.fixture
def fd(tmp_path: Path, system: str) -> Iterator[int]:
    opened = platform.open_for_update(tmp_path / "x")
    yield opened
    os.close(opened)


def all_of(fd: int, size: int) -> bytes:
    into = bytearray(size)
    assert platform.read_at(fd, memoryview(into), 0) == size
    return bytes(into)


def test_threads_write_and_read_by_offset_without_disturbing_each_other(fd: int) -> None:
    block, count = 1000, 60
    data = content(block * count)
    platform.write_at(fd, bytes(len(data)), 0)

    def both(n: int) -> bool:
        start = n * block
        chunks = [memoryview(data)[at : at + 100] for at in range(start, start + block, 100)]
        platform.write_many_at(fd, chunks, start)
        back = bytearray(block)
        return platform.read_at(fd, memoryview(back), start) == block and back == data[start : start + block]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(both, range(count)))
    assert all_of(fd, len(data)) == data


@pytest.mark.parametrize("chunks", [0, 1, 512, 513, 2000])
def test_any_number_of_chunks_is_written_in_order(fd: int, chunks: int) -> None:
    data = content(3 * chunks)
    platform.write_many_at(fd, [memoryview(data)[n * 3 : n * 3 + 3] for n in range(chunks)], 5)
    platform.write_at(fd, b"", 0)
    assert all_of(fd, 5 + len(data) if data else 0) == (bytes(5) + data if data else b"")


def test_short_writes_are_finished(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data = content(1000)
    pwrite, write = os.pwrite, os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwritev", lambda f, chunks, at: pwrite(f, bytes(chunks[0])[:7], at))
        patch.setattr(os, "pwrite", lambda f, view, at: pwrite(f, bytes(view)[:13], at))
        patch.setattr(os, "write", lambda f, view: write(f, bytes(view)[:13]))
        platform.write_many_at(fd, [memoryview(data)[:400], memoryview(data)[400:]], 0)
    assert all_of(fd, 1000) == data


def test_reading_at_the_end_says_so(fd: int) -> None:
    platform.write_at(fd, b"abc", 0)
    into = bytearray(10)
    assert platform.read_at(fd, memoryview(into), 1) == 2
    assert into[:2] == b"bc"
    assert platform.read_at(fd, memoryview(into), 3) == platform.read_at(fd, memoryview(into), 99) == 0


@pytest.mark.parametrize("size", [0, 1, 5 << 20])
def test_room_is_made_without_touching_what_is_there(fd: int, size: int, system: str) -> None:
    platform.write_at(fd, b"abc", 0)
    platform.allocate(fd, max(size, 3))
    platform.allocate(fd, max(size, 3))
    assert os.fstat(fd).st_size == max(size, 3)
    assert all_of(fd, 3) == b"abc"
    platform.allocate(fd, 2)
    assert os.fstat(fd).st_size == 2


@pytest.mark.skipif(sys.platform != "linux", reason="fallocate")
def test_on_linux_the_blocks_are_reserved(fd: int, system: str) -> None:
    platform.allocate(fd, 8 << 20)
    reserved = os.fstat(fd).st_blocks * 512 >= 8 << 20
    assert reserved is (system == "native")


@pytest.mark.parametrize("size", [0, 3_000_000])
def test_a_clone_is_a_copy_that_lives_by_itself(tmp_path: Path, system: str, size: int) -> None:
    source, target = tmp_path / "s", tmp_path / "t"
    source.write_bytes(content(size))
    target.write_bytes(b"longer than the source may be")
    platform.clone(source, target)
    assert target.read_bytes() == content(size)
    source.write_bytes(b"changed")
    assert target.read_bytes() == content(size)
    assert target.stat().st_nlink == 1


def test_syncing_is_possible_for_files_and_folders(fd: int, tmp_path: Path) -> None:
    platform.sync_data(fd)
    platform.sync_path(tmp_path / "x")
    platform.sync_folder(tmp_path)


@pytest.mark.parametrize("count", [3, 50])
def test_all_of_many_files_are_synced(count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str) -> None:
    paths, synced = [tmp_path / f"{n}" for n in range(count)], list[Path]()
    monkeypatch.setattr(platform, "sync_path", synced.append)
    platform.sync_paths(paths)
    assert sorted(synced) == sorted(paths)


@pytest.mark.parametrize("count", [3, 50])
def test_one_file_that_cannot_be_synced_is_told(count: int, tmp_path: Path, system: str) -> None:
    paths = [tmp_path / f"{n}" for n in range(count)]
    for path in paths[:-1]:
        path.write_bytes(b"x")
    with pytest.raises(FileNotFoundError):
        platform.sync_paths(paths)


def test_free_space_is_known_for_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    assert platform.free_bytes(tmp_path / "a" / "b" / "c") > 0


@pytest.mark.parametrize(
    ("code", "kind", "hint"),
    [
        (errno.ENOSPC, DiskFullError, "free some space"),
        (errno.EDQUOT, DiskFullError, "quota"),
        (errno.EACCES, DiskError, "--dir"),
        (errno.EPERM, DiskError, "--dir"),
        (errno.EROFS, DiskError, "read-only"),
        (errno.ENAMETOOLONG, DiskError, "shorter"),
        (errno.EIO, DiskError, "fault"),
        (errno.EFBIG, DiskError, "4 GiB"),
        (errno.EISDIR, DiskError, "move it away"),
        (errno.ENOENT, DiskError, "vanished"),
        (errno.EXDEV, DiskError, "run the same command"),
    ],
)
def test_a_refusal_of_the_disk_is_explained(code: int, kind: type[Exception], hint: str) -> None:
    error = platform.explain(OSError(code, os.strerror(code)), Path("vae/w.bin"))
    assert type(error) is kind
    assert error.message.startswith("vae/w.bin: ")
    assert hint in (error.hint or "")


def test_an_error_without_a_number_is_explained_too() -> None:
    assert platform.explain(OSError("odd"), "x").message == "x: odd"


def test_bytes_on_their_way_to_the_disk_are_the_same_bytes(fd: int) -> None:
    data = content(100_000)
    platform.write_at(fd, data, 0)
    platform.begin_sync(fd, 0, 50_000)
    platform.begin_sync(fd, 90_000, 1 << 30)  # beyond the end: nothing to do
    platform.sync_data(fd)
    assert all_of(fd, len(data)) == data


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the call")
def test_the_system_takes_the_hint(tmp_path: Path) -> None:
    opened = platform.open_for_update(tmp_path / "x")
    try:
        platform.write_at(opened, b"x" * 4096, 0)
        assert platform._sync_file_range()(opened, 0, 4096, 2) == 0
    finally:
        os.close(opened)
