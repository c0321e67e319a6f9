"""Folders that are not empty, and runs that ask for more or for less than the one before."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from acestep_fetch.core.events import FileReused, PlanMade
from tests.engine.conftest import REPO, ended, hubs, is_copy
from tests.scenarios.conftest import HF
from tests.support.trees import make_repo, tree_digests

FILES = {"a.bin": 2_000_000, "b.json": 300, "code.py": 500, "deep/c.txt": 70_000, "empty.txt": b""}


async def test_a_subset_then_all_of_it(tmp_path: Path) -> None:
    async with hubs(tmp_path, FILES) as w:
        first = await ended(w, include=("*.json", "*.txt"))
        assert first.report.exit_code == 0
        assert set(tree_digests(w.folder)) == {"Repo/b.json", "Repo/deep/c.txt", "Repo/empty.txt"}
        ran = await ended(w)
        assert is_copy(w)
        assert ran.report.bytes_fetched == 2_000_500
        assert ran.of(PlanMade)[0].present == 70_300


@pytest.mark.parametrize("staged", [False, True], ids=["under its name", "in staging"])
async def test_what_others_left(staged: bool, tmp_path: Path) -> None:
    """Right files are adopted, wrong ones replaced, foreign ones left alone (under the final name)."""
    async with hubs(tmp_path, FILES) as w:
        folder = w.folder / ".acestep-fetch" / "staging" / "Repo" if staged else w.folder / "Repo"
        (folder / "deep").mkdir(parents=True)
        source = w.roots[HF] / REPO
        (folder / "b.json").write_bytes((source / "b.json").read_bytes())
        (folder / "a.bin").write_bytes(bytes(2_000_000))
        (folder / "deep" / "c.txt").write_bytes(b"short")
        (folder / "mine.txt").write_bytes(b"mine")
        if not staged:
            (folder / "code.py").write_bytes(b"# rewritten by ACE-Step")
        ran = await ended(w)
        assert ran.report.exit_code == 0
        assert "Repo/b.json" in {event.path for event in ran.of(FileReused)}
        found = tree_digests(w.folder / "Repo")
        if staged:
            assert is_copy(w)
        else:
            assert found.pop("mine.txt")
            assert (w.folder / "Repo" / "code.py").read_bytes() == b"# rewritten by ACE-Step"
            there = tree_digests(source)
            assert {p: d for p, d in found.items() if p != "code.py"} == {
                p: d for p, d in there.items() if p != "code.py"
            }
        again = await ended(w)
        assert again.report.bytes_fetched == 0


async def test_force_replaces_everything_and_keeps_what_is_not_ours(tmp_path: Path) -> None:
    async with hubs(tmp_path, FILES) as w:
        await ended(w)
        (w.folder / "Repo" / "code.py").write_bytes(b"# rewritten")
        (w.folder / "Repo" / "mine.txt").write_bytes(b"mine")
        ran = await ended(w, force=True)
        assert ran.report.exit_code == 0
        assert (w.folder / "Repo" / "mine.txt").read_bytes() == b"mine"
        (w.folder / "Repo" / "mine.txt").unlink()
        assert is_copy(w)
        assert ran.report.bytes_fetched == 2_070_800


async def test_what_was_damaged_in_secret_is_not_copied_to_another_model(tmp_path: Path) -> None:
    """The receipt vouches for it, with its size and its time; the copy is proven all the same."""
    async with hubs(tmp_path, {"shared.bin": 2_000_000, "a.json": 300}) as w:
        shared = (w.roots[HF] / REPO / "shared.bin").read_bytes()
        for root in w.roots.values():
            make_repo(root, "made/Other", {"shared.bin": shared, "b.json": 400})
        await ended(w)
        victim = w.folder / "Repo" / "shared.bin"
        times = victim.stat()
        victim.write_bytes(shared[:1_000_000] + bytes([shared[1_000_000] ^ 1]) + shared[1_000_001:])
        os.utime(victim, ns=(times.st_atime_ns, times.st_mtime_ns))
        ran = await ended(w, models=("made/Other",))
        assert ran.report.exit_code == 0
        assert is_copy(w, repo="made/Other")
        assert ran.report.bytes_fetched == 2_000_400


@pytest.mark.parametrize("what", ["a file where the folder goes", "a folder where a file goes"])
async def test_something_in_the_way_is_told_before_the_download(what: str, tmp_path: Path) -> None:
    async with hubs(tmp_path, FILES) as w:
        w.folder.mkdir()
        if what == "a file where the folder goes":
            (w.folder / "Repo").write_bytes(b"not a folder")
        else:
            (w.folder / "Repo" / "a.bin" / "x").mkdir(parents=True)
        ran = await ended(w)
        assert ran.report.exit_code == 8
        assert ran.report.bytes_fetched == 0
