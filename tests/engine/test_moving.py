"""A component that moves to the other hub's version while its files are under way."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pytest

from acestep_fetch.core.events import ComponentMoved
from tests.engine.conftest import MIB, REPO, ended, hubs, is_copy, other
from tests.scenarios.conftest import HF, MS
from tests.support.faults import Delay, Rule, Status, Throttle

BIG = 3 * MIB


@dataclass(frozen=True)
class Pair:
    """How many seconds the weights take from each hub."""

    name: str
    mine: float
    theirs: float


PAIRS = [
    Pair("the old version arrives last", 3.0, 0.7),
    Pair("the old version arrives first, after the move", 1.0, 1.5),
    Pair("the old version is there before the move", 0.1, 1.0),
]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
async def test_versions_are_never_mixed(pair: Pair, tmp_path: Path) -> None:
    size = BIG
    mine = {"config.json": b"{}", "weights.bin": other(size, b"mine")}
    theirs = {"config.json": b"[]", "weights.bin": other(size, b"theirs")}
    missing = [Rule(Delay(0.5), path="config.json"), Rule(Status(404), path="config.json")]
    slow = [Rule(Throttle(total=size / seconds), path="weights.bin") for seconds in (pair.mine, pair.theirs)]
    async with hubs(tmp_path, mine, theirs, hf=[*missing, slow[0]], ms=[slow[1]]) as w:
        try:
            ran = await ended(w, 3)
        finally:  # also where the run does not end
            assert not (w.folder / "Repo").exists() or is_copy(w, MS)
        assert ran.of(ComponentMoved)
        assert ran.report.exit_code == 0, ran.said[-3000:]
        assert is_copy(w, MS)
        assert w.leftovers() == []
        assert not [path for path in (w.folder / ".acestep-fetch" / "staging").rglob("*") if path.is_file()]


async def test_a_move_to_a_listing_with_another_kind_of_digest(tmp_path: Path) -> None:
    """ModelScope's sha256 of a file of 2 MB says nothing of the git digest that Hugging Face lists."""
    vocab = 2_000_000
    missing = [Rule(Delay(1.0), path="config.json"), Rule(Status(404), path="config.json")]
    async with hubs(
        tmp_path,
        {"config.json": b"{}", "vocab.json": vocab},
        {"config.json": b"[1]", "vocab.json": vocab},
        ms=missing,
    ) as w:
        ran = await ended(w, prefer=MS)
        assert ran.of(ComponentMoved)
        assert ran.report.exit_code == 0
        assert is_copy(w, HF)


async def test_an_empty_file_of_the_version_that_is_moved_to(tmp_path: Path) -> None:
    async with hubs(
        tmp_path,
        {"config.json": b"{}", "weights.bin": 5000},
        {"config.json": b"[]", "weights.bin": 5000, "__init__.py": b""},
        hf=[Rule(Status(404), path="config.json", dialect=HF)],
    ) as w:
        ran = await ended(w)
        assert ran.report.exit_code == 0, ran.said[-2000:]
        assert is_copy(w, MS)


async def test_a_part_of_what_is_already_there_is_removed(tmp_path: Path) -> None:
    """A second fetch of a content may have begun while the first was on its way to its place."""
    async with hubs(tmp_path, {"a.bin": 2 * MIB, "b.bin": 3 * MIB}) as w:
        digest = hashlib.sha256((w.roots[HF] / REPO / "a.bin").read_bytes()).hexdigest()
        assert (await ended(w)).report.exit_code == 0
        (w.folder / "Repo" / "b.bin").unlink()
        part = w.folder / ".acestep-fetch" / "parts" / f"{digest}.part"
        part.write_bytes(bytes(2 * MIB))
        assert (await ended(w)).report.exit_code == 0
        assert list(part.parent.iterdir()) == []
        assert is_copy(w)
