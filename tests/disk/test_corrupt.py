"""What an earlier run left, damaged in every way: nothing of it is believed that does not check out, the user is told
what was thrown away, and the run ends well."""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.disk.lab import FOLDER, LARGE, SIZE, Lab, leftovers, mostly
from tests.disk.places import MIB

STATE = ".acestep-fetch"


def cut(keep: float) -> Callable[[Path], None]:
    return lambda path: os.truncate(path, int(path.stat().st_size * keep))


def flipped(at: int) -> Callable[[Path], None]:
    """Negative: from the end."""

    def flip(path: Path) -> None:
        blob = bytearray(path.read_bytes())
        blob[at] ^= 0x10
        path.write_bytes(blob)

    return flip


def replaced(old: bytes, new: bytes) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        assert old in path.read_bytes()
        path.write_bytes(path.read_bytes().replace(old, new, 1))

    return change


def written(content: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(content)

    return write


def with_header(header: object) -> Callable[[Path], None]:
    """A journal that is sound in every byte and says something else."""

    def write(path: Path) -> None:
        text = json.dumps(header).encode()
        path.write_bytes(
            b"ACEFJ1\r\n" + len(text).to_bytes(4, "little") + text + zlib.crc32(text).to_bytes(4, "little")
        )

    return write


def copied_from_another(path: Path) -> None:
    other = next(each for each in path.parent.glob(f"*{path.suffix}") if each != path)
    shutil.copyfile(other, path)


@pytest.fixture
def unfinished(lab: Lab, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A folder as a stopped run left it: a copy of one that is made once."""
    kept: dict[str, Path] = request.config.stash.setdefault(_KEPT, {})
    if "unfinished" not in kept:
        folder = tmp_path.parent / "unfinished"
        with lab.slowly(2.5e6):
            lab.stop_half_way(lab.start(folder, "-x", "1"), folder)
        kept["unfinished"] = folder
    shutil.copytree(kept["unfinished"], tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture
def finished(lab: Lab, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    kept: dict[str, Path] = request.config.stash.setdefault(_KEPT, {})
    if "finished" not in kept:
        folder = tmp_path.parent / "finished"
        assert lab.run(folder).code == 0
        kept["finished"] = folder
    shutil.copytree(kept["finished"], tmp_path / "out")  # with their times
    return tmp_path / "out"


_KEPT = pytest.StashKey[dict[str, Path]]()

ANEW = "fetched anew"
OF_PARTS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "journal emptied": ("journal", cut(0), ANEW),
    "journal cut in its header": ("journal", cut(0.3), ANEW),
    "journal cut in a record": ("journal", lambda path: os.truncate(path, path.stat().st_size - 5), ""),
    "journal's header flipped": ("journal", flipped(30), ANEW),
    "journal's first record flipped": ("journal", flipped(-20), "the end of its journal is damaged"),
    "journal of a newer version": ("journal", replaced(b"ACEFJ1", b"ACEFJ2"), ANEW),
    "journal of something else": ("journal", written(b"PK\3\4" * 5000), ANEW),
    "journal of another file": ("journal", copied_from_another, ANEW),
    "journal with another header": ("journal", with_header({"v": 3, "chunks": []}), ANEW),
    "journal whose header is a list": ("journal", with_header([1, 2]), ANEW),
    "journal whose header is deep": ("journal", with_header({"digest": {"a": [[]]}, "sources": 5}), ANEW),
    "journal gone": ("journal", Path.unlink, ANEW),
    "part cut short": ("part", cut(0.5), ANEW),
    "part too long": ("part", lambda path: os.truncate(path, 9 * MIB), ANEW),
    "part emptied": ("part", cut(0), ""),
    "part flipped": ("part", flipped(1000), "does not hold what its journal says"),
    "part zeroed": ("part", lambda path: path.write_bytes(bytes(path.stat().st_size)), "does not hold"),
    "part of another file": ("part", copied_from_another, ""),
    "part gone": ("part", Path.unlink, ""),
}


def with_records(folder: Path) -> Path:
    return max((folder / STATE / "parts").glob("*.journal"), key=lambda path: path.stat().st_size)


ALIKE = ("journal cut in its header", "journal of something else", "journal with another header", "part too long")


@pytest.mark.parametrize("what", mostly(OF_PARTS, long=ALIKE))
def test_an_unfinished_file_is_damaged(what: str, lab: Lab, unfinished: Path) -> None:
    kind, damage, said = OF_PARTS[what]
    damage(with_records(unfinished).with_suffix(f".{kind}"))
    ran = lab.run(unfinished)
    assert ran.code == 0, ran.err
    assert said in ran.told
    assert lab.is_whole(unfinished)
    assert leftovers(unfinished) == []


def test_an_unfinished_file_that_is_right_is_not_thrown_away(lab: Lab, unfinished: Path) -> None:
    ran = lab.run(unfinished)
    assert (ran.code, ran.fetched < SIZE) == (0, True)
    assert ANEW not in ran.told


def rename_in(key: str, value: object) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))

    return change


def in_file(index: int, key: str, value: object) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        row = json.loads(path.read_text())
        row["files"][index][key] = value
        path.write_text(json.dumps(row))

    return change


UNUSABLE = "the receipt Repo.json is damaged, or another version's"
OF_RECEIPTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "emptied": (cut(0), UNUSABLE),
    "cut": (cut(0.7), UNUSABLE),
    "flipped into what is no JSON": (replaced(b'"files"', b'"files\x02'), UNUSABLE),
    "of a newer version": (rename_in("v", 2), UNUSABLE),
    "of something else": (written(b'{"hello": 1}'), UNUSABLE),
    "no text": (written(bytes(range(256)) * 9), UNUSABLE),
    "deep": (written(b"[" * 100_000), UNUSABLE),
    "leading elsewhere": (in_file(0, "path", "../../etc/passwd"), UNUSABLE),
    "of another repository": (rename_in("repo", "other/Repo"), ""),
    "with another size": (in_file(1, "size", 7), ""),
    "with another time": (in_file(1, "mtime_ns", 7), ""),
    "naming a file that is not there": (in_file(1, "path", "Repo/nothing"), ""),
    "gone": (Path.unlink, ""),
}


@pytest.mark.parametrize("what", mostly(OF_RECEIPTS, long=("emptied", "no text", "deep", "with another size")))
def test_a_receipt_is_damaged(what: str, lab: Lab, finished: Path) -> None:
    """The files are right, so they are looked at and kept, and the receipt is written anew."""
    damage, said = OF_RECEIPTS[what]
    receipt = finished / STATE / "receipts" / f"{FOLDER}.json"
    damage(receipt)
    ran = lab.run(finished)
    assert (ran.code, ran.fetched) == (0, 0), ran.err
    assert said in ran.told
    assert lab.is_whole(finished)
    assert json.loads(receipt.read_text())["repo"] == "made/Repo"
    asked = len(lab.pair.hf.recorder.entries)
    assert lab.run(finished).code == 0
    assert len(lab.pair.hf.recorder.entries) == asked


def later(damage: Callable[[Path], object]) -> Callable[[Path], None]:
    """The same, with a time that no receipt has."""

    def change(path: Path) -> None:
        damage(path)
        os.utime(path, ns=(1, 1))

    return change


def linked_to_wrong(path: Path) -> None:
    other = path.parent.parent / "other.bin"
    other.write_bytes(b"precious")
    path.unlink()
    path.symlink_to(other)


def linked_to_nothing(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


OF_FILES: dict[str, Callable[[Path], object]] = {
    "flipped": later(flipped(3 * MIB)),
    "cut": cut(0.5),
    "emptied": cut(0),
    "longer": lambda path: os.truncate(path, 6 * MIB),
    "gone": Path.unlink,
    "a link to something else": linked_to_wrong,
    "a link to nothing": linked_to_nothing,
}


@pytest.mark.parametrize("what", mostly(OF_FILES, long=("emptied", "longer", "gone")))
def test_a_finished_file_is_damaged(what: str, lab: Lab, finished: Path) -> None:
    """The next run sees it by size and time, and fetches that file; what a link leads to stays as it is."""
    OF_FILES[what](finished / FOLDER / LARGE)
    ran = lab.run(finished)
    assert ran.code == 0, ran.err
    assert 0 < ran.fetched <= 5 * MIB + 17
    assert lab.is_whole(finished)
    assert not (finished / FOLDER / LARGE).is_symlink()
    if "something else" in what:
        assert (finished / "other.bin").read_bytes() == b"precious"


def test_a_link_to_right_content_is_the_users_and_stays(lab: Lab, finished: Path) -> None:
    place = finished / FOLDER / LARGE
    place.rename(finished.parent / "on-another-disk.bin")
    place.symlink_to(finished.parent / "on-another-disk.bin")
    os.utime(place, ns=(1, 1))
    ran = lab.run(finished)
    assert (ran.code, ran.fetched) == (0, 0), ran.err
    assert place.is_symlink()


def test_damage_that_neither_size_nor_time_shows(lab: Lab, finished: Path) -> None:
    """`verify` reads every byte, and `repair` fetches one piece."""
    place = finished / FOLDER / LARGE
    times = place.stat()
    flipped(3 * MIB)(place)
    os.utime(place, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert lab.run(finished).code == 0
    found = lab.call("verify", "--dir", str(finished))
    assert found.code == 11
    assert LARGE in found.out
    before = lab.pair.sent
    assert lab.call("repair", "--dir", str(finished)).code == 0
    assert lab.pair.sent - before < 3 * MIB
    assert lab.is_whole(finished)


OF_STAGING: dict[str, Callable[[Path], object]] = {
    "another content": lambda path: path.write_bytes(b"?" * 300),
    "cut": lambda path: path.write_bytes(b"?"),
    "a link": lambda path: path.symlink_to("/etc/passwd"),
    "a stranger beside it": lambda path: path.with_name("stranger.bin").write_bytes(b"?"),
    "what a killed run was writing": lambda path: path.with_name(".1234-0.tmp").write_bytes(b"?"),
}


@pytest.mark.parametrize("what", OF_STAGING)
def test_something_else_is_in_staging(what: str, lab: Lab, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    staged = folder / STATE / "staging" / FOLDER
    staged.mkdir(parents=True)
    OF_STAGING[what](staged / "config.json")
    ran = lab.run(folder)
    if what == "a link":  # whoever planted it may have planted more
        assert ran.code == 8
        assert "a link stands where something of ours belongs" in ran.error
        (staged / "config.json").unlink()
        ran = lab.run(folder)
    assert ran.code == 0, ran.err
    assert lab.is_whole(folder)
    assert leftovers(folder) == []
