"""File systems with less than POSIX: models become ready on them all the same, and stay so."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.disk.fuse import Traits
from tests.disk.lab import FOLDER, LARGE, SIZE, Lab, leftovers
from tests.disk.places import MIB, disk, frail, made, mounted
from tests.support.faults import Kind, Rule
from tests.support.trees import tree_digests

LINKS = frozenset({"symlink", "link"})
FAT = Traits(
    folds_case=True,
    time_step=2 * 10**9,
    largest_file=(4 << 30) - 1,
    without=LINKS | {"fallocate", "setlk"},
    refusals=errno.EPERM,
)
KINDS = {
    "like FAT": FAT,
    "without fallocate and locks": Traits(without=frozenset({"fallocate", "setlk"}), refusals=errno.ENOSYS),
    "without syncs": Traits(without=frozenset({"fsync", "fsyncdir"}), refusals=errno.EINVAL),
    "with short names, as eCryptfs": Traits(longest_name=143),
    "with times of a second": Traits(time_step=10**9),
}


def is_ready_and_stays_so(lab: Lab, folder: Path) -> None:
    """The second run needs no hub, `verify` agrees, and a changed byte is found."""
    ran = lab.run(folder)
    assert ran.code == 0, ran.err
    assert lab.is_whole(folder)
    assert leftovers(folder) == []
    asked = len(lab.pair.hf.recorder.entries)
    assert lab.run(folder).code == 0
    assert len(lab.pair.hf.recorder.entries) == asked
    assert lab.call("verify", "--dir", str(folder)).code == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_disk_with_less(kind: str, lab: Lab, tmp_path: Path) -> None:
    with frail(tmp_path, KINDS[kind]) as there:
        is_ready_and_stays_so(lab, there.at)


def test_an_unfinished_file_goes_on_where_nothing_is_reserved(lab: Lab, tmp_path: Path) -> None:
    with frail(tmp_path, FAT) as there:
        with lab.slowly(2.5e6):
            process = lab.start(there.at, "-x", "1")
            lab.stop_half_way(process, there.at)
        ran = lab.run(there.at)
        assert ran.code == 0, ran.err
        assert lab.is_whole(there.at)
        assert ran.fetched < SIZE


@contextmanager
def _overlay(folder: Path) -> Iterator[Path]:
    with mounted("none", folder / "above", "-t", "tmpfs", "-o", "size=64m") as above:
        for name in ("lower", "upper", "work"):
            (above / name).mkdir()
        options = f"lowerdir={above}/lower,upperdir={above}/upper,workdir={above}/work"
        with mounted("overlay", folder / "overlay", "-t", "overlay", "-o", options) as at:
            yield at


@contextmanager
def _memory(folder: Path) -> Iterator[Path]:
    with mounted("none", folder / "ramfs", "-t", "ramfs") as at:
        yield at


@contextmanager
def _xfs(folder: Path) -> Iterator[Path]:
    with disk("xfs", folder, 300) as at:
        yield at


@pytest.mark.parametrize("place", [_overlay, _memory, _xfs], ids=["overlayfs", "ramfs", "xfs"])
def test_other_file_systems(place: object, lab: Lab, tmp_path: Path) -> None:
    """ramfs says that nothing is free, so there it is the verdict that is tested."""
    assert callable(place)
    with place(tmp_path) as folder:
        if place is _memory:
            ran = lab.run(folder)
            assert ran.code in (0, 7), ran.err
            return
        is_ready_and_stays_so(lab, folder)


def test_times_of_an_old_disk_hold_after_it_was_away(lab: Lab, tmp_path: Path) -> None:
    """ext3 keeps whole seconds: a receipt must fit what the disk says later."""
    image = made("ext3", tmp_path / "image", 80)
    with mounted(image, tmp_path / "at", "-o", "loop") as folder:
        assert lab.run(folder).code == 0
    with mounted(image, tmp_path / "at", "-o", "loop") as folder:
        asked = len(lab.pair.hf.recorder.entries)
        assert lab.run(folder).code == 0
        assert len(lab.pair.hf.recorder.entries) == asked


def test_a_component_that_lies_on_another_disk(lab: Lab, tmp_path: Path) -> None:
    """A rename from staging cannot reach it (EXDEV): its files are copied."""
    folder = tmp_path / "out"
    with mounted("none", folder / FOLDER, "-t", "tmpfs", "-o", "size=16m"):
        is_ready_and_stays_so(lab, folder)


def test_no_room_on_the_other_disk(lab: Lab, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with mounted("none", folder / FOLDER, "-t", "tmpfs", "-o", "size=6m") as other:
        ran = lab.run(folder)
        assert ran.code == 7, ran.err
        assert f"{FOLDER}/" in ran.error
        assert lab.wrong(folder) == set()
        assert list(other.rglob("*.tmp")) == []
        subprocess.run(["mount", "-o", "remount,size=16m", str(other)], check=True)
        again = lab.run(folder)
        assert again.code == 0, again.err
        assert lab.is_whole(folder)
        assert again.fetched == 0


def test_names_that_differ_in_case_on_a_disk_that_does_not_tell_them_apart(lab: Lab, tmp_path: Path) -> None:
    """What the user has under such a name is one file with ours: right content is kept, other content replaced."""
    with frail(tmp_path, FAT) as there:
        mine = there.at / FOLDER.upper()
        mine.mkdir()
        (mine / "CONFIG.JSON").write_bytes(b"something else")
        (mine / LARGE.upper()).write_bytes((lab.root / "made/Repo" / LARGE).read_bytes())
        ran = lab.run(there.at)
        assert ran.code == 0, ran.err
        assert ran.fetched == SIZE - (5 * MIB + 17)
        found = {path.lower(): digest for path, digest in tree_digests(mine).items()}
        assert found == lab.original
        assert [path.name for path in there.backing.iterdir() if path.name[0] != "."] == [FOLDER.upper()]


@pytest.mark.parametrize("length", [144, 255])
def test_a_name_too_long_for_the_disk(length: int, lab: Lab, tmp_path: Path) -> None:
    """Told before the first byte, and the file system is left as it was."""
    from tests.corpus.rows import renamed

    name = f"{'n' * (length - 4)}.bin"
    rules = [hub.faults.rules for hub in (lab.pair.hf, lab.pair.ms)]
    with frail(tmp_path, Traits(longest_name=143)) as there:
        for each in rules:
            each.insert(0, Rule(renamed("other.bin", name), kind=Kind.API))
        try:
            ran = lab.run(there.at)
        finally:
            for each in rules:
                each.pop(0)
        assert (ran.code, ran.fetched) == (8, 0), ran.err
        assert "name too long" in ran.error
        assert name in ran.error
        assert "shorter" in ran.hint
        assert not (there.at / FOLDER).exists()
        again = lab.run(there.at)
        assert again.code == 0, again.err


def test_a_path_too_long_for_the_system(lab: Lab, tmp_path: Path) -> None:
    deep = tmp_path / "/".join(["d" * 250] * 17)
    ran = lab.run(deep)
    assert (ran.code, ran.fetched) == (8, 0), ran.err
    assert "name too long" in ran.error
    assert "shorter path" in ran.hint
    just = tmp_path / "/".join(["d" * 250] * 15)
    just /= "d" * (4095 - len(str(just)) - 60)  # our own state has room, staged files have not
    ran = lab.run(just)
    assert ran.code == 8, ran.err
    assert "name too long" in ran.error
