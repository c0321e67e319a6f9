"""What others do to the folder while files are fetched into it, and what stands where something of ours belongs."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.disk.lab import FOLDER, LARGE, SIZE, Lab, Ran, leftovers, mostly, parts, records, until
from tests.disk.places import MIB, disk, loop_of, mounted

STATE = ".acestep-fetch"


def under_way(lab: Lab, folder: Path, meddle: Callable[[], object]) -> Ran:
    """A run in whose middle something happens: both large files are open then, and some of them is journalled."""
    with lab.slowly(2.5e6):
        process = lab.start(folder, "-x", "1")
        until(lambda: len(parts(folder)) == 2 and records(folder))
        meddle()
        return lab.end(process)


def largest(folder: Path) -> Path:
    return max(parts(folder), key=lambda part: part.stat().st_size)


def truncate(path: Path, size: int) -> None:
    with path.open("r+b") as file:
        file.truncate(size)


def overwrite_end(path: Path) -> None:
    """Bytes that cannot have been hashed yet, whether they are there or not."""
    with path.open("r+b") as file:
        file.seek(-2 * MIB, os.SEEK_END)
        file.write(b"?" * 2 * MIB)


def replace(path: Path) -> None:
    beside = path.with_name("other")
    beside.write_bytes(bytes(path.stat().st_size))
    beside.replace(path)


def replace_by_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


def move_and_make_again(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))
    folder.mkdir()


MEDDLING: dict[str, Callable[[Path], object]] = {
    "the folder is removed": shutil.rmtree,
    "our own folder is removed": lambda folder: shutil.rmtree(folder / STATE),
    "the parts are removed": lambda folder: shutil.rmtree(folder / STATE / "parts"),
    "one part is removed": lambda folder: largest(folder).unlink(),
    "the folder is moved": lambda folder: folder.rename(folder.with_name("elsewhere")),
    "the folder is moved and made again": move_and_make_again,
    "a part is cut short": lambda folder: truncate(largest(folder), 1000),
    "a part is emptied": lambda folder: truncate(largest(folder), 0),
    "a part grows": lambda folder: truncate(largest(folder), 50 * MIB),
    "a part is replaced": lambda folder: replace(largest(folder)),
    "a part becomes a link": lambda folder: replace_by_link(largest(folder)),
    "the target becomes a file": lambda folder: (folder / FOLDER).write_bytes(b"mine"),
    "a folder in a file's place": lambda folder: (folder / FOLDER / LARGE / "deep").mkdir(parents=True),
}


ALIKE = (
    "our own folder is removed",
    "one part is removed",
    "the folder is moved",
    "a part is emptied",
    "a part grows",
    "a folder in a file's place",
)


@pytest.mark.parametrize("what", mostly(MEDDLING, long=ALIKE))
def test_somebody_meddles(what: str, lab: Lab, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    ran = under_way(lab, folder, lambda: MEDDLING[what](folder))
    assert ran.code == 8 or (ran.code == 0 and lab.is_whole(folder)), ran.err
    if ran.code:
        assert str(folder) in ran.error or f"{FOLDER}/" in ran.error
        assert ran.hint
    for part in parts(folder):
        if part.is_symlink():
            part.unlink()
    mine = folder / FOLDER
    if mine.is_file():
        mine.unlink()
    elif (mine / LARGE).is_dir():
        shutil.rmtree(mine)
    assert lab.wrong(folder) == set()
    again = lab.run(folder)
    assert again.code == 0, again.err
    assert lab.is_whole(folder)
    assert leftovers(folder) == []
    assert Path("/etc/passwd").is_file()


def test_bytes_that_change_before_they_are_hashed_are_fetched_again(lab: Lab, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    ran = under_way(lab, folder, lambda: overwrite_end(largest(folder)))
    assert ran.code == 0, ran.err
    assert lab.is_whole(folder)


def test_a_disk_is_unmounted_meanwhile(lab: Lab, tmp_path: Path) -> None:
    """Open files go on working, and new names would land on the disk below."""
    with disk("ext4", tmp_path, 64, "-m", "0") as at:
        ran = under_way(lab, at, lambda: subprocess.run(["umount", "-l", str(at)], check=True))
        assert ran.code == 8, ran.err
        assert "vanished" in ran.error
        assert "run the same command" in ran.hint
        assert list(at.iterdir()) == []
    with mounted(tmp_path / "ext4.img", at, "-o", "loop"):
        again = lab.run(at)
        assert again.code == 0, again.err
        assert lab.is_whole(at)
        assert again.fetched < SIZE


def _shut_down(at: Path) -> None:
    """As if the device was pulled out: ext4's EXT4_IOC_SHUTDOWN, without its log."""
    fd = os.open(at, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, 0x8004587D, struct.pack("<I", 2))
    finally:
        os.close(fd)


def test_a_disk_is_pulled_out(lab: Lab, tmp_path: Path) -> None:
    with disk("ext4", tmp_path, 64, "-m", "0") as at:
        ran = under_way(lab, at, lambda: _shut_down(at))
        assert ran.code == 8, ran.err
        assert "Input/output error" in ran.error
        assert "the disk reports a fault" in ran.hint
    with mounted(tmp_path / "ext4.img", at, "-o", "loop"):
        again = lab.run(at)
        assert again.code == 0, again.err
        assert lab.is_whole(at)
        assert leftovers(at) == []


def _fail(image: Path) -> None:
    """The kernel finds the file system wrong, and mounts it read-only (``errors=remount-ro``)."""
    Path(f"/sys/fs/ext4/{loop_of(image)}/trigger_fs_error").write_text("1")


def test_a_disk_becomes_read_only(lab: Lab, tmp_path: Path) -> None:
    with disk("ext4", tmp_path, 64, "-m", "0", "-e", "remount-ro") as at:
        ran = under_way(lab, at, lambda: _fail(tmp_path / "ext4.img"))
        assert ran.code == 8, ran.err
        assert "Read-only file system" in ran.error or "Input/output error" in ran.error  # by version of the kernel
        assert lab.wrong(at) == set()
    subprocess.run(["e2fsck", "-fy", str(tmp_path / "ext4.img")], capture_output=True, check=False)
    with mounted(tmp_path / "ext4.img", at, "-o", "loop"):
        again = lab.run(at)
        assert again.code == 0, again.err
        assert lab.is_whole(at)


IN_THE_WAY = {
    "the folder is a file": "",
    "our own folder is a file": STATE,
    "parts is a file": f"{STATE}/parts",
    "staging is a file": f"{STATE}/staging",
    "receipts is a file": f"{STATE}/receipts",
    "the component is a file": FOLDER,
    "a folder of it is a file": f"{FOLDER}/a",
    "the lease is a folder": f"{STATE}/lease/",
    "a file of it is a folder": f"{FOLDER}/config.json/",
    "a part is a folder": f"{STATE}/parts/PART/",
    "a journal is a folder": f"{STATE}/parts/JOURNAL/",
    "a link to nowhere is our own folder": f"{STATE}@",
    "a link to itself is the folder": "@",
}


@pytest.mark.parametrize(
    "what", mostly(IN_THE_WAY, long=("parts is a file", "staging is a file", "a folder of it is a file"))
)
def test_something_stands_in_the_way(what: str, lab: Lab, tmp_path: Path) -> None:
    folder, digest = tmp_path / "out", lab.original[LARGE]
    name = IN_THE_WAY[what].replace("PART", f"{digest}.part").replace("JOURNAL", f"{digest}.journal")
    place = folder / name.rstrip("/@") if name.rstrip("/@") else folder
    place.parent.mkdir(parents=True, exist_ok=True)
    if name.endswith("/"):
        (place / "deep").mkdir(parents=True)
    elif name.endswith("@"):
        place.symlink_to(place if place == folder else "nowhere")
    else:
        place.write_bytes(b"mine")
    ran = lab.run(folder)
    assert ran.code == 8, ran.err
    assert place.name in ran.error
    assert ran.hint
    assert lab.wrong(folder) <= {FOLDER} if place.is_dir() else True
    assert os.path.lexists(place), "it was not ours to remove"
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink()
    again = lab.run(folder)
    assert again.code == 0, again.err
    assert lab.is_whole(folder)


@contextmanager
def _read_only(folder: Path) -> Iterator[None]:
    with mounted(folder, folder, "--bind"):
        subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
        yield


def test_a_read_only_folder(lab: Lab, tmp_path: Path) -> None:
    """What is whole is up to date and can be verified; what is not is told at once, with nothing fetched."""
    folder = tmp_path / "out"
    folder.mkdir()
    with _read_only(folder):
        ran = lab.run(folder)
        assert (ran.code, ran.fetched) == (8, 0)
        assert "Read-only" in ran.error
        assert "--dir" in ran.hint
        assert lab.run(folder, "--dry-run").code == 0
    assert lab.run(folder).code == 0
    with _read_only(folder):
        assert lab.run(folder).code == 0
        assert lab.call("verify", "--dir", str(folder)).code == 0
    truncate(folder / FOLDER / LARGE, 5)
    with _read_only(folder):
        assert lab.run(folder).code == 8
        repaired = lab.call("repair", "--dir", str(folder))
        assert repaired.code == 8, repaired.err
    assert lab.run(folder).code == 0
    assert lab.is_whole(folder)
