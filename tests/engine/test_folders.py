"""Folders that are not empty, and runs that ask for more or for less than the one before."""

from __future__ import annotations

from pathlib import Path

import pytest

from acestep_fetch.core.events import FileReused, PlanMade
from tests.engine.conftest import REPO, ended, hubs, is_copy
from tests.scenarios.conftest import HF
from tests.support.trees import tree_digests

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
