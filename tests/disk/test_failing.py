"""A disk that reports faults: nothing is believed that it may have lost."""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.disk.fuse import Fault, Traits
from tests.disk.lab import FOLDER, SIZE, Lab, leftovers
from tests.disk.places import frail, starved_disk


def test_what_a_failed_sync_lost_is_fetched_again(lab: Lab, tmp_path: Path) -> None:
    """After a failed fsync the kernel takes the lost bytes for written: the next fsync succeeds, and reading shows the
    right bytes until they leave the page cache.

    Now and then such a device loses the file system's own tables, and nothing on it can be right: then once more.
    """
    for attempt in range(4):
        (tmp_path / str(attempt)).mkdir()
        with starved_disk(tmp_path / str(attempt), 64, real=7) as starved:
            failed = lab.run(starved.folder)
            assert failed.code in (7, 8), failed.err
            assert lab.wrong(starved.folder) == set()
            starved.feed()
            ran = lab.run(starved.folder)
            if ran.code:  # what was lost after the first run ended is noticed in the second
                assert ran.code in (7, 8), ran.err
                ran = lab.run(starved.folder)
            forget(starved.folder / FOLDER)
            outcome = ran.code, lab.wrong(starved.folder), lab.is_whole(starved.folder), leftovers(starved.folder)
            if starved.is_sound():
                assert outcome == (0, set(), True, []), ran.err
                return
    pytest.skip("the device lost the file system's own tables each time")


def forget(folder: Path) -> None:
    """Has the kernel read the files' bytes from the device again. (Not its own tables: without a journal, those that
    were lost are lost, and no program can know.)"""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@dataclass(frozen=True)
class Row:
    """A call that fails for ever in the first run, and how that ends. `says` is in the message, with the file's name.
    `thrifty`: the second run fetches less than everything."""

    call: str
    code: int
    path: str
    exit: int
    says: str = ""
    after: int = 0
    thrifty: bool = False
    alike: bool = False  # to another row: `make test-long` only
    traits: Traits = field(default_factory=Traits)

    @property
    def name(self) -> str:
        return f"{errno.errorcode[self.code]} on {self.call} of {self.path} after {self.after}"


EIO, ENOSPC, EDQUOT, EACCES, EFBIG, EINVAL = map(
    errno.__dict__.__getitem__, ("EIO", "ENOSPC", "EDQUOT", "EACCES", "EFBIG", "EINVAL")
)
PART, JOURNAL, STAGED, FINAL = "*.part", "*/parts/*.journal", "*/staging/Repo/*", "Repo"
RECEIPT, LEASE, NOTES = "*/receipts/*", "*/lease", "Repo/.cache*"
LOSES = Traits(forgets_unsynced=True)
NO_ROOM = Traits(without=frozenset({"fallocate"}))
ROWS = [
    Row("write", EIO, PART, 8, "Input/output error", after=4, thrifty=True),
    Row("write", ENOSPC, PART, 7, "the disk is full", after=4, thrifty=True, alike=True),
    Row("write", EDQUOT, PART, 7, "quota", after=4, thrifty=True),
    Row("write", errno.EROFS, PART, 8, "Read-only", after=4, thrifty=True, alike=True),
    Row("write", EIO, JOURNAL, 8, "Input/output error", after=3, thrifty=True),
    Row("write", ENOSPC, JOURNAL, 7, "the disk is full", after=3, thrifty=True, alike=True),
    Row("write", ENOSPC, JOURNAL, 7, "the disk is full"),
    Row("write", ENOSPC, STAGED, 7, "the disk is full"),
    Row("write", ENOSPC, RECEIPT, 7, "the disk is full", thrifty=True),
    Row("write", ENOSPC, LEASE, 0),
    Row("write", ENOSPC, NOTES, 0),
    Row("mkdir", EACCES, NOTES, 0, alike=True),
    Row("write", EFBIG, PART, 8, "File too large", traits=NO_ROOM),
    Row("fsync", EIO, PART, 8, "Input/output error", traits=LOSES),
    Row("fsync", ENOSPC, PART, 7, "the disk is full", traits=LOSES, alike=True),
    Row("fsync", EIO, "*config.json", 8, "Input/output error", traits=LOSES, thrifty=True),
    Row("fsync", EIO, RECEIPT, 8, "Input/output error", thrifty=True, alike=True),
    Row("fsync", EINVAL, "*", 0),
    Row("fsyncdir", EIO, "*", 8, "Input/output error", thrifty=True),
    Row("fsyncdir", EINVAL, "*", 0),
    Row("flush", EIO, PART, 8, "Input/output error"),
    Row("flush", ENOSPC, STAGED, 7, "the disk is full", alike=True),
    Row("flush", EDQUOT, LEASE, 0, alike=True),
    Row("rename", EIO, STAGED, 8, "Input/output error"),
    Row("rename", EIO, FINAL, 8, "Input/output error", thrifty=True),
    Row("rename", EACCES, FINAL, 8, "Permission denied", thrifty=True, alike=True),
    Row("rename", EIO, RECEIPT, 8, "Input/output error", thrifty=True, alike=True),
    Row("create", ENOSPC, PART, 7, "the disk is full", alike=True),
    Row("create", EACCES, "*", 8, "Permission denied"),
    Row("create", errno.EROFS, PART, 8, "Read-only", alike=True),
    Row("mkdir", ENOSPC, "*", 7, "the disk is full"),
    Row("fallocate", ENOSPC, PART, 7, "the disk is full"),
    Row("fallocate", EDQUOT, PART, 7, "quota", alike=True),
    Row("fallocate", EFBIG, PART, 8, "File too large"),
    Row("fallocate", errno.EOPNOTSUPP, PART, 0),
    Row("fallocate", errno.ENOSYS, PART, 0, alike=True),
    Row("setattr", EFBIG, PART, 8, "File too large", traits=NO_ROOM, alike=True),
    Row("statfs", EIO, "*", 8, "Input/output error"),
    Row("lookup", EIO, "Repo", 8, "Input/output error"),
    Row("lookup", EIO, ".acestep-fetch/receipts*", 8, "Input/output error"),
    Row("lookup", EACCES, ".acestep-fetch*", 8, "Permission denied", alike=True),
    Row("lookup", errno.ESTALE, PART, 8, "tale file handle"),
    Row("setattr", EIO, LEASE, 8, "Input/output error", alike=True),
    Row("getattr", errno.ENOTCONN, PART, 8, "not connected"),
    Row("setlk", errno.ENOLCK, LEASE, 0, traits=Traits(without=frozenset({"setlk"}), refusals=errno.ENOLCK)),
    Row(
        "setlk", errno.ENOSYS, LEASE, 0, traits=Traits(without=frozenset({"setlk"}), refusals=errno.ENOSYS), alike=True
    ),
]


@pytest.mark.parametrize(
    "row", [pytest.param(row, marks=[pytest.mark.long] if row.alike else [], id=row.name) for row in ROWS]
)
def test_a_call_that_fails(row: Row, lab: Lab, tmp_path: Path) -> None:
    with frail(tmp_path, row.traits) as disk:
        fault = Fault(row.call, row.code, row.path, after=row.after)
        disk.faults.append(fault)
        ran = lab.run(disk.at)
        assert fault.struck or row.traits.without, disk.calls
        assert ran.code == row.exit, ran.err
        if row.exit:
            assert row.says in ran.error
            assert ran.hint
        assert lab.wrong(disk.backing) == set()
        disk.faults.clear()
        again = lab.run(disk.at)
        assert again.code == 0, again.err
        assert not row.thrifty or again.fetched < SIZE
        assert lab.is_whole(disk.backing)
        assert leftovers(disk.backing) == []


@pytest.mark.parametrize("path", [f"{FOLDER}/model.bin", "*.part"])
def test_what_is_there_cannot_be_read(path: str, lab: Lab, tmp_path: Path) -> None:
    """A bad sector under a finished file that is to be adopted, or under an unfinished one."""
    backing = tmp_path / "backing"
    if path == PART:
        with lab.slowly(2.5e6):
            lab.stop_half_way(lab.start(backing, "-x", "1"), backing)
    else:
        assert lab.run(backing).code == 0
        shutil.rmtree(backing / ".acestep-fetch" / "receipts")
    with frail(tmp_path) as disk:
        disk.faults.append(Fault("read", EIO, path))
        ran = lab.run(disk.at)
        assert ran.code == 8, ran.err
        assert "Input/output error" in ran.error
        assert path.strip("*") in ran.error
        assert "the disk reports a fault" in ran.hint
        disk.faults.clear()
        again = lab.run(disk.at)
        assert again.code == 0, again.err
        assert again.fetched < SIZE if path == PART else not again.fetched
        assert lab.is_whole(backing)
