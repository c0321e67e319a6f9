"""Links that somebody plants where we write: nothing is written behind them."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest

from tests.engine.conftest import MIB, REPO, ended, hubs, is_copy
from tests.scenarios.conftest import HF

FILES = {"a/b/large.bin": 6 * MIB, "a/b/small.json": 300, "c.bin": 2 * MIB}
PLACES = ["parts", "staging", "staging/Repo", "staging/Repo/a", "staging/Repo/a/b", "pieces"]


def _plant(state: Path, place: str, outside: Path) -> None:
    """Puts a link in the place of a folder, or where one is going to be."""
    at = state / place
    if at.exists():
        at.rename(outside.with_name("moved"))
    at.parent.mkdir(parents=True, exist_ok=True)
    at.symlink_to(outside, target_is_directory=True)


@pytest.mark.parametrize("place", PLACES)
async def test_a_link_that_was_there_before(place: str, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    theirs = outside / "theirs.journal"
    theirs.write_text("not ours to sweep")
    async with hubs(tmp_path, FILES) as w:
        _plant(w.folder / ".acestep-fetch", place, outside)
        ran = await ended(w)
        assert ran.report.exit_code == 8, ran.said[-1000:]
        assert ran.report.error
        assert "a link stands" in ran.report.error.message
        assert list(outside.rglob("*")) == [theirs]
        (w.folder / ".acestep-fetch" / place).unlink()
        assert (await ended(w)).report.exit_code == 0
        assert is_copy(w)


@pytest.mark.parametrize("place", PLACES)
async def test_a_link_that_is_planted_half_way(place: str, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    async with hubs(tmp_path, FILES, throttle=0.5e6) as w:
        run = asyncio.create_task(ended(w, 20))
        while not list((w.folder / ".acestep-fetch" / "parts").glob("*.part")):
            await asyncio.sleep(0.01)
        _plant(w.folder / ".acestep-fetch", place, outside)
        ran = await run
        assert ran.report.exit_code in (0, 8), ran.said[-1000:]
        assert list(outside.rglob("*")) == []


async def test_a_link_in_the_place_of_a_file_of_ours(tmp_path: Path) -> None:
    outside = tmp_path / "precious"
    async with hubs(tmp_path, FILES) as w:
        digest = hashlib.sha256((w.roots[HF] / REPO / "c.bin").read_bytes()).hexdigest()
        swept = f"parts/{digest}.journal"  # no part belongs to it
        for place, code in (("lease", 8), (f"parts/{digest}.part", 8), (swept, 0)):
            outside.write_text("precious")
            at = w.folder / ".acestep-fetch" / place
            at.parent.mkdir(parents=True, exist_ok=True)
            at.unlink(missing_ok=True)
            at.symlink_to(outside)
            ran = await ended(w)
            assert ran.report.exit_code == code, (place, ran.said[-1000:])
            assert outside.read_text() == "precious"
            at.unlink(missing_ok=True)
        assert is_copy(w)
