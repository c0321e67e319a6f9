"""No room: before, during, for the last and least of files, and by quota. Always code 7, and what is there is kept."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.disk.lab import SIZE, Lab, Ran, leftovers, mostly, parts, records, until
from tests.disk.places import MIB, disk, memory_disk, run

MORE = {  # of what a disk needs to be small and of use
    "ext2": (56, ("-m", "0")),  # no fallocate
    "ext4": (64, ("-m", "0")),
    "xfs": (300, ()),
    "btrfs": (160, ()),
}


@contextmanager
def small_disk(kind: str, folder: Path) -> Iterator[Path]:
    mib, flags = MORE[kind]
    with disk(kind, folder, mib, *flags) as made:
        yield made


def eat(folder: Path) -> Path:
    """A neighbour that takes all the room there is."""
    neighbour = folder / "neighbour"
    with neighbour.open("wb", buffering=0) as file:
        offset, step = 0, 64 * MIB
        while step:
            try:
                os.posix_fallocate(file.fileno(), offset, step)
                offset += step
            except OSError:
                step //= 2
    return neighbour


def ends_well(lab: Lab, folder: Path) -> Ran:
    ran = lab.run(folder)
    assert ran.code == 0, ran.err
    assert lab.is_whole(folder)
    assert leftovers(folder) == []
    return ran


def is_told(ran: Ran, folder: Path, lab: Lab) -> None:
    assert ran.code == 7, ran.err
    assert "free some space" in ran.hint
    assert lab.wrong(folder) == set()


@pytest.mark.parametrize("kind", mostly(MORE, long=("xfs", "btrfs")))
def test_a_neighbour_takes_the_room_meanwhile(kind: str, lab: Lab, tmp_path: Path) -> None:
    """Where room is reserved it is missing to the second file, where it is not to the first."""
    with small_disk(kind, tmp_path) as folder:
        with lab.slowly(2.5e6):
            process = lab.start(folder, "-j", "1", "-x", "1")
            until(lambda: records(folder))
            neighbour = eat(folder)
            ran = lab.end(process)
        is_told(ran, folder, lab)
        assert "the disk is full" in ran.error
        assert "Repo/" in ran.error or str(folder) in ran.error
        neighbour.unlink()
        assert ends_well(lab, folder).fetched < SIZE


def test_a_full_disk_is_told_with_the_figures(lab: Lab, tmp_path: Path) -> None:
    """Even where there is no room to write down who holds the lease."""
    with small_disk("ext4", tmp_path) as folder:
        (folder / ".acestep-fetch").mkdir()
        neighbour = eat(folder)
        ran = lab.run(folder)
        is_told(ran, folder, lab)
        assert "needed" in ran.error
        assert ran.fetched == 0
        neighbour.unlink()
        ends_well(lab, folder)


def test_room_for_all_but_the_small_files(lab: Lab, tmp_path: Path) -> None:
    with memory_disk(tmp_path / "memory", 48) as folder:
        with lab.slowly():
            process = lab.start(folder)
            until(lambda: len(parts(folder)) == 2 and all(part.stat().st_size for part in parts(folder)))
            neighbour = eat(folder)
            ran = lab.end(process)
        is_told(ran, folder, lab)
        neighbour.unlink()
        assert ends_well(lab, folder).fetched < SIZE


def test_no_room_for_another_name(lab: Lab, tmp_path: Path) -> None:
    with mounted_without_inodes(tmp_path / "memory", 9) as folder:
        ran = lab.run(folder)
        is_told(ran, folder, lab)
        assert "no more files" in ran.error
        subprocess.run(["mount", "-o", "remount,nr_inodes=1000", str(folder)], check=True)
        ends_well(lab, folder)


@contextmanager
def mounted_without_inodes(at: Path, inodes: int) -> Iterator[Path]:
    with memory_disk(at, 64) as folder:
        subprocess.run(["mount", "-o", f"remount,nr_inodes={inodes}", str(folder)], check=True)
        yield folder


def test_a_quota(lab: Lab, tmp_path: Path) -> None:
    """The disk has room, this folder may not have it."""
    with disk("btrfs", tmp_path, 300) as top:
        folder = top / "checkpoints"
        run("btrfs", "-q", "quota", "enable", top)
        run("btrfs", "-q", "subvolume", "create", folder)
        run("btrfs", "-q", "qgroup", "limit", "6M", folder)
        ran = lab.run(folder, "-j", "1")
        assert ran.code == 7, ran.err
        assert "quota" in ran.error
        assert "have the quota raised" in ran.hint
        assert lab.wrong(folder) == set()
        run("btrfs", "-q", "qgroup", "limit", "none", folder)
        assert ends_well(lab, folder).fetched < SIZE


def test_a_limit_for_the_size_of_a_file(lab: Lab, tmp_path: Path) -> None:
    """ulimit -f. FAT's 4 GiB are told the same way."""
    if not shutil.which("prlimit"):
        pytest.skip("there is no prlimit")
    ran = lab.end(lab.start(tmp_path / "out", wrapper=("prlimit", f"--fsize={4 * MIB}")))
    assert ran.code == 8, ran.err
    assert "File too large" in ran.error
    assert "limit for the size of a file" in ran.hint
    ends_well(lab, tmp_path / "out")
