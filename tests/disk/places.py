"""Real file systems for a test to write to, each made and removed by it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.bench.tools import installed
from tests.disk.fuse import Frail, Traits

MIB: Final = 1 << 20

_MAKERS: Final = {  # how each is made without asking, and in what package the program is
    "ext2": (["mkfs.ext2", "-q", "-F"], "e2fsprogs"),
    "ext3": (["mkfs.ext3", "-q", "-F", "-I", "128"], "e2fsprogs"),
    "ext4": (["mkfs.ext4", "-q", "-F"], "e2fsprogs"),
    "xfs": (["mkfs.xfs", "-q", "-f"], "xfsprogs"),
    "btrfs": (["mkfs.btrfs", "-q", "-f"], "btrfs-progs"),
}


def run(*command: object) -> None:
    """Runs it; the test ends as skipped, with what the command says, where that fails."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"{' '.join(str(word) for word in command[:3])}: {done.stderr.strip()[-200:]}")


@contextmanager
def mounted(source: object, at: Path, *flags: str) -> Iterator[Path]:
    """`source` at `at`, gone afterwards whoever still has files of it open."""
    if os.getuid():
        pytest.skip("mounting needs root")
    at.mkdir(parents=True, exist_ok=True)
    run("mount", *flags, source, at)
    try:
        yield at
    finally:
        while _is_mounted(at):
            subprocess.run(["umount", "-l", str(at)], check=True)


def _is_mounted(at: Path) -> bool:
    """`os.path.ismount` does not see a folder that is mounted upon itself."""
    return any(line.split()[1] == str(at) for line in Path("/proc/self/mounts").read_text().splitlines())


@contextmanager
def memory_disk(at: Path, mib: int) -> Iterator[Path]:
    with mounted("none", at, "-t", "tmpfs", "-o", f"size={mib}m"):
        yield at


def made(kind: str, image: Path, mib: int, *more: str) -> Path:
    """A file with an empty file system in it; it takes no room before something is written."""
    if os.getuid():
        pytest.skip("a disk of its own needs root")
    (program, *flags), package = _MAKERS[kind]
    if not shutil.which(program) and (reason := installed(program, package)):
        pytest.skip(reason)
    with image.open("wb") as file:
        file.truncate(mib * MIB)
    run(program, *flags, *more, image)
    return image


@contextmanager
def disk(kind: str, folder: Path, mib: int, *more: str) -> Iterator[Path]:
    """A disk of its own with a file system of that kind."""
    image = made(kind, folder / f"{kind}.img", mib, *more)
    with mounted(image, folder / kind, "-o", "loop"):
        yield folder / kind


def loop_of(image: Path) -> str:
    """The name of the loop device that `image` is attached to."""
    found = subprocess.run(["losetup", "-j", str(image), "-nO", "NAME"], capture_output=True, text=True, check=True)
    return Path(found.stdout.strip()).name


@dataclass
class Starved:
    """A disk whose device has less room than it says."""

    folder: Path
    device: Path
    image: Path

    def feed(self) -> None:
        """From now on the device has the room."""
        subprocess.run(["mount", "-o", "remount,size=128m", str(self.device)], check=True)

    def is_sound(self) -> bool:
        """Unmounts it, and looks whether the file system's own tables are right."""
        subprocess.run(["umount", str(self.folder)], check=True)
        return not subprocess.run(["e2fsck", "-fn", str(self.image)], capture_output=True, check=False).returncode


@contextmanager
def starved_disk(folder: Path, mib: int, *, real: int) -> Iterator[Starved]:
    """An ext4 that says it has `mib` MiB and whose device has `real`: beyond that its writes fail, as a broken disk's
    do."""
    with memory_disk(folder / "device", real) as device:
        image = made("ext4", device / "image", mib, "-b", "4096", "-O", "^has_journal", "-E", "nodiscard")
        with mounted(image, folder / "starved", "-o", "loop"):
            # A page at a time: the kernel takes a loop device's short write for a whole one, which would be a lie.
            Path(f"/sys/block/{loop_of(image)}/queue/max_sectors_kb").write_text("4")
            yield Starved(folder / "starved", device, image)


@contextmanager
def frail(folder: Path, traits: Traits | None = None) -> Iterator[Frail]:
    """A file system that fails on demand."""
    if os.getuid() or not Path("/dev/fuse").exists():
        pytest.skip("a file system of our own needs root and /dev/fuse")
    for name in ("backing", "frail"):
        (folder / name).mkdir(exist_ok=True)
    with Frail(folder / "backing", folder / "frail", traits or Traits()) as made:
        yield made
