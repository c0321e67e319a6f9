"""A loss of power at any moment: no wrong file under a final name, no receipt that lies, and the next run ends well."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from acestep_fetch.api import fetch_async
from acestep_fetch.core.model import HubName
from acestep_fetch.options import Options
from acestep_fetch.storage import parts
from tests.crash.disk import Op, after_power_loss, recorded
from tests.support.hub import ServedHub, serving
from tests.support.trees import make_repo, tree_digests

MIB: Final = 1 << 20
REPO: Final = "made/Repo"
FILES: Final = {"large.bin": 9 * MIB + 17, "middle.bin": MIB + 4097, "a/vocab.txt": 60_000, "config.json": 300}
CUTS: Final = 40  # moments, spread over the run
LOSE: Final = (0.0, 0.5, 1.0)


@asynccontextmanager
async def _hub(tmp_path: Path, **how: Any) -> AsyncIterator[ServedHub]:
    make_repo(tmp_path / "hub", REPO, FILES)
    async with serving(tmp_path / "hub", **how) as hub:
        yield hub


def _options(hub: ServedHub, folder: Path) -> Options:
    return Options(
        directory=folder,
        models=(REPO,),
        skip_main=True,
        huggingface_endpoint=hub.url,
        modelscope_endpoint=hub.url,
        prefer=HubName.HUGGINGFACE,
        connections=3,
    )


async def _recording(hub: ServedHub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Op]:
    monkeypatch.setattr(parts, "SYNC_EVERY", 4 * MIB)  # so that the run is long enough for a few
    with recorded(folder) as book:
        report = await fetch_async(_options(hub, folder))
    assert report.exit_code == 0
    return book.ops


async def _survives(ops: list[Op], hub: ServedHub, folder: Path, there: dict[str, Any], seed: int, lose: float) -> None:
    """One loss of power after `ops`, and the run after it."""
    after_power_loss(ops, folder, random.Random(seed), lose=lose)
    final = folder / "Repo"
    found = tree_digests(final) if final.exists() else {}
    assert {path: digest for path, digest in found.items() if there.get(path) != digest} == {}
    report = await fetch_async(_options(hub, folder))
    assert report.exit_code == 0, report.error
    assert tree_digests(final) == there
    left = (folder / ".acestep-fetch").rglob("*")
    stale = (path for path in left if path.suffix in (".part", ".journal", ".tmp") and path.parent.name != "pieces")
    assert list(stale) == []


async def test_the_recording_is_what_happened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing lost: the folder is the same. So no call that changes the disk is missed."""
    async with _hub(tmp_path) as hub:
        ops = await _recording(hub, tmp_path / "out", monkeypatch)
        after_power_loss(ops, tmp_path / "copy", random.Random(0), lose=0.0)
        assert _everything(tmp_path / "copy") == _everything(tmp_path / "out")
        assert {"write", "resize", "sync", "make", "move", "mkdir"} <= {op.kind for op in ops}


def _everything(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("lose", LOSE)
async def test_power_is_lost_at_some_moments(lose: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with _hub(tmp_path) as hub:
        there = tree_digests(tmp_path / "hub" / REPO)
        ops = await _recording(hub, tmp_path / "out", monkeypatch)
        for number in range(CUTS):
            cut = len(ops) * (number + 1) // CUTS
            await _survives(ops[:cut], hub, tmp_path / f"{number}", there, number, lose)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("lose", LOSE)
async def test_power_is_lost_at_every_moment(lose: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with _hub(tmp_path) as hub:
        there = tree_digests(tmp_path / "hub" / REPO)
        ops = await _recording(hub, tmp_path / "out", monkeypatch)
        for cut in range(len(ops) + 1):
            await _survives(ops[:cut], hub, tmp_path / f"{cut}", there, cut, lose)
