"""Several models at once: ready one by one in the order in which they were asked for, and none stops another."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from acestep_fetch.core.events import BytesReceived, FileStarted, ModelFailed, ModelReady, PlanMade
from acestep_fetch.engine.space import SPARE
from acestep_fetch.storage import platform
from tests.engine.conftest import MIB, ended, hubs, is_copy
from tests.scenarios.conftest import HF, MS, Ran, World
from tests.support.faults import FlipBit, Rule
from tests.support.trees import make_repo

# The first has the smallest of the large files and more small ones; the last has the largest.
FILES: Mapping[str, Mapping[str, int]] = {
    "First": {"model.bin": 8 * MIB + 9, **{f"{n}.json": 40_000 + n for n in range(12)}},
    "Second": {"model.bin": 9 * MIB, "other.bin": 5 * MIB, "config.json": 300},
    "Third": {"model.bin": 20 * MIB, "config.json": 310},
    "Fourth": {"model.bin": 12 * MIB, "vocab.txt": 70_000},
}
NAMES = tuple(FILES)
SIZE = sum(sum(files.values()) for files in FILES.values())


@asynccontextmanager
async def four(tmp_path: Path, **settings: Any) -> AsyncIterator[World]:
    async with hubs(tmp_path, {"x": 1}, **settings) as w:
        w.settings["models"] = tuple(f"made/{name}" for name in NAMES)
        for name, files in FILES.items():
            for hub in (HF, MS):
                make_repo(w.roots[hub], f"made/{name}", files)
        yield w


def came_before(ran: Ran, model: str, names: tuple[str, ...]) -> int:
    """Bytes that had come of the models `names` when `model` was ready."""
    at = next(n for n, event in enumerate(ran.events) if isinstance(event, ModelReady) and event.model == model)
    early = [event for event in ran.events[:at] if isinstance(event, BytesReceived)]
    return sum(event.count for event in early if event.path.split("/")[0] in names)


def readiness(ran: Ran) -> list[str]:
    return [event.model for event in ran.of(ModelReady)]


async def test_models_become_ready_one_by_one(tmp_path: Path) -> None:
    """With a rate limit, so that what is done in what order is seen by what has come."""
    async with four(tmp_path, limit_rate=14 * MIB, connections=3) as w:
        ran = await ended(w)
        assert ran.report.exit_code == 0
        assert all(is_copy(w, HF, f"made/{name}") for name in NAMES)
        assert readiness(ran) == list(NAMES)
        share = [came_before(ran, name, NAMES) / SIZE for name in NAMES]
        print("of all bytes, when a model was ready:", [f"{s:.0%}" for s in share])
        own = [sum(sum(FILES[n].values()) for n in NAMES[: at + 1]) / SIZE for at in range(4)]
        under_way = 2 * 3 * 2 * MIB / SIZE  # what three connections to each hub may have begun of the next
        assert all(came <= least + under_way for came, least in zip(share, own, strict=True))


@pytest.mark.parametrize(
    "settings", [{"jobs": 2}, {"throttle": 3e6, "connections": 3}], ids=["jobs", "few connections"]
)
async def test_the_order_holds_however_many_files_are_under_way(settings: dict[str, float], tmp_path: Path) -> None:
    async with four(tmp_path, **settings) as w:
        ran = await ended(w)
        assert ran.report.exit_code == 0
        assert readiness(ran)[0] == "First"
        assert readiness(ran).index("Second") < readiness(ran).index("Fourth")
        began = [event.path.split("/")[0] for event in ran.of(FileStarted) if event.path.endswith("model.bin")]
        assert began == list(NAMES)


async def test_a_content_that_two_models_share_comes_with_the_first(tmp_path: Path) -> None:
    async with four(tmp_path, limit_rate=20 * MIB, connections=3) as w:
        for hub in (HF, MS):
            same = (w.roots[hub] / "made/Fourth/model.bin").read_bytes()
            make_repo(w.roots[hub], "made/First", {"shared.bin": same})
        ran = await ended(w)
        assert readiness(ran)[0] == "First"
        assert came_before(ran, "First", NAMES[1:]) < 12 * MIB
        assert ran.report.bytes_fetched == SIZE


async def test_one_that_fails_does_not_stop_the_others(tmp_path: Path) -> None:
    async with four(tmp_path) as w:
        for hub in (HF, MS):
            (w.roots[hub] / "made/Second/model.bin").rename(w.roots[hub] / "made/Second/wrong.bin")
            w.hubs[hub].faults.rules.append(Rule(FlipBit(at=5), path="wrong.bin"))
        ran = await ended(w, 20)
        assert ran.report.exit_code == 10
        assert readiness(ran) == ["First", "Third", "Fourth"]
        (failed,) = ran.of(ModelFailed)
        assert (failed.model, failed.exit_code, failed.retryable) == ("Second", 6, False)
        assert ran.report.models == {"First": "ready", "Second": "failed", "Third": "ready", "Fourth": "ready"}


@pytest.mark.parametrize(
    ("free", "fit"),
    [
        (45 * MIB, ["First"]),
        (54 * MIB, ["First", "Fourth"]),
        (70 * MIB, ["First", "Second", "Fourth"]),
        (33 * MIB, []),
    ],
)
async def test_what_does_not_fit_names_what_does(
    free: int, fit: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "free_bytes", lambda folder: free)
    async with four(tmp_path) as w:
        ran = await ended(w)
        assert ran.report.exit_code == 7
        assert ran.report.bytes_fetched == 0
        assert ran.of(FileStarted) == []
        error = ran.report.error
        assert error
        assert f"{(SIZE + SPARE) / 1e6:.1f} MB needed" in error.message
        assert error.hint
        named = " ".join([*(f"--model made/{name}" for name in fit), "--skip-main"])
        assert error.hint.endswith(f"this would fit: {named}" if fit else "nothing was downloaded")
        if fit:
            less = await ended(w, models=tuple(f"made/{name}" for name in fit))
            assert less.report.exit_code == 0
            assert sum(plan.fetch for plan in less.of(PlanMade)) < free
