"""Who may write, and what becomes of files that somebody else owns."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.disk.lab import FOLDER, LARGE, SIZE, Lab, leftovers, mostly
from tests.support.nobody import NOBODY, passable


@pytest.fixture
def open_path(tmp_path: Path) -> Path:
    """`tmp_path` with every folder above it passable for all."""
    return passable(tmp_path)


def _given_to_nobody(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, 65534, 65534, follow_symlinks=False)


def _refused(lab: Lab, folder: Path, name: str) -> None:
    ran = lab.run(folder, wrapper=NOBODY)
    assert ran.code == 8, ran.err
    assert "Permission denied" in ran.error
    assert name in ran.error
    assert "check who owns the folder" in ran.hint
    assert lab.wrong(folder) == set()


def test_a_folder_of_somebody_else(lab: Lab, open_path: Path) -> None:
    folder = open_path / "out"
    folder.mkdir()
    _refused(lab, folder, ".acestep-fetch")
    assert list(folder.iterdir()) == []
    _given_to_nobody(folder)
    assert lab.run(folder, wrapper=NOBODY).code == 0
    assert lab.is_whole(folder)


@pytest.mark.parametrize("what", mostly(("lease", "parts", "staging", "receipts"), long=("parts", "staging")))
def test_our_own_files_belong_to_somebody_else(what: str, lab: Lab, open_path: Path) -> None:
    """As after a run with sudo."""
    folder = open_path / "out"
    _given_to_nobody(folder)
    _given_to_nobody(folder / ".acestep-fetch")
    place = folder / ".acestep-fetch" / what
    place.touch() if what == "lease" else place.mkdir()
    place.chmod(0o600 if what == "lease" else 0o755)
    _refused(lab, folder, what)
    _given_to_nobody(folder)
    ran = lab.run(folder, wrapper=NOBODY)
    assert ran.code == 0, ran.err
    assert lab.is_whole(folder)


def test_an_unfinished_file_of_somebody_else(lab: Lab, open_path: Path) -> None:
    folder = open_path / "out"
    with lab.slowly(2.5e6):
        lab.stop_half_way(lab.start(folder, "-x", "1"), folder)
    _given_to_nobody(folder)
    for path in (folder / ".acestep-fetch" / "parts").iterdir():
        os.chown(path, 0, 0)
        path.chmod(0o600)
    _refused(lab, folder, "/parts/")
    _given_to_nobody(folder)
    ran = lab.run(folder, wrapper=NOBODY)
    assert ran.code == 0, ran.err
    assert ran.fetched < SIZE
    assert lab.is_whole(folder)


def test_a_finished_file_that_cannot_be_read(lab: Lab, open_path: Path) -> None:
    folder = open_path / "out"
    assert lab.run(folder).code == 0
    _given_to_nobody(folder)
    shutil.rmtree(folder / ".acestep-fetch" / "receipts")
    os.chown(folder / FOLDER / LARGE, 0, 0)
    (folder / FOLDER / LARGE).chmod(0o600)
    _refused(lab, folder, LARGE)
    (folder / FOLDER / LARGE).chmod(0o644)
    ran = lab.run(folder, wrapper=NOBODY)
    assert (ran.code, ran.fetched) == (0, 0), ran.err


def test_a_component_of_somebody_else_is_missing_a_file(lab: Lab, open_path: Path) -> None:
    folder = open_path / "out"
    assert lab.run(folder).code == 0
    _given_to_nobody(folder)
    (folder / FOLDER / LARGE).unlink()
    os.chown(folder / FOLDER, 0, 0)
    _refused(lab, folder, LARGE)
    _given_to_nobody(folder)
    ran = lab.run(folder, wrapper=NOBODY)
    assert (ran.code, ran.fetched) == (0, 0), ran.err
    assert lab.is_whole(folder)
    assert leftovers(folder) == []


def test_what_is_whole_needs_no_rights(lab: Lab, open_path: Path) -> None:
    """One fetches, all use: neither a run with nothing to do nor `verify` writes anything."""
    folder = open_path / "out"
    assert lab.run(folder).code == 0
    assert lab.run(folder, wrapper=NOBODY).code == 0
    verified = subprocess.run(
        [*NOBODY, sys.executable, "-m", "acestep_fetch", "verify", "--dir", str(folder)], capture_output=True, text=True
    )
    assert verified.returncode == 0, verified.stderr


def test_a_narrow_umask(lab: Lab, open_path: Path) -> None:
    """077: files are the user's alone, and the next run can use them."""
    folder = open_path / "out"
    narrow = ("sh", "-c", 'umask 077; exec "$0" "$@"')
    with lab.slowly(2.5e6):
        lab.stop_half_way(lab.start(folder, "-x", "1", wrapper=narrow), folder)
    ran = lab.run(folder, wrapper=narrow)
    assert ran.code == 0, ran.err
    assert lab.is_whole(folder)
    assert {path.stat().st_mode & 0o077 for path in folder.rglob("*")} == {0}
