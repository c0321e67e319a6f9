"""A hub whose whole line fails half-way costs little more than if the other had been alone from the start."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest
from aiohttp import web

from acestep_fetch.api import Report, fetch_async
from acestep_fetch.options import Options
from tests.scenarios.conftest import HF
from tests.support.faults import Action, Bucket, Rule
from tests.support.hub import ServedHub, serving
from tests.support.recorder import Kind
from tests.support.relay import Bytes, Relay
from tests.support.trees import make_repo, tree_digests

REPO = "made/Large"
SIZE = 300_000_000
RATE = 10e6  # bytes a second of each hub's line


class Line(Action):
    """What all bodies of a hub share."""

    def __init__(self, rate: float) -> None:
        self._bucket = Bucket(rate)

    def drop_to(self, rate: float) -> None:
        self._bucket.rate = rate

    def reshape(self, request: web.Request, relay: Relay) -> None:
        relay.layers.append(self._through)

    async def _through(self, source: Bytes) -> Bytes:
        async with aclosing(source):
            async for piece in source:
                rest = piece
                while rest:
                    step = max(100, min(1 << 16, int(self._bucket.rate / 100)))
                    part, rest = rest[:step], rest[step:]
                    await self._bucket.take(len(part))
                    yield part


@pytest.mark.long
@pytest.mark.timeout(180)
@pytest.mark.parametrize("rate", [1000, 0.001], ids=["1 KB/s", "silence"])
async def test_a_line_that_fails_half_way_costs_a_fifth_at_most(rate: float, tmp_path: Path) -> None:
    root, out = tmp_path / "hub", tmp_path / "out"
    make_repo(root, REPO, {"model.safetensors": SIZE, "config.json": 300})
    first, second = Line(RATE), Line(RATE)
    async with (
        serving(root, hub=HF, faults=[Rule(first, kind=Kind.CONTENT)]) as one,
        serving(root, hub=HF.other, faults=[Rule(second, kind=Kind.CONTENT)]) as two,
        asyncio.TaskGroup() as group,
    ):
        run = group.create_task(_fetch(one, two, out))
        while one.faults.served + two.faults.served < SIZE / 2:
            await asyncio.sleep(0.02)
        first.drop_to(rate)
    report = run.result()
    assert report.exit_code == 0
    assert report.seconds <= 1.2 * SIZE / RATE
    assert tree_digests(out / "Large") == tree_digests(root / REPO)


async def _fetch(one: ServedHub, two: ServedHub, out: Path) -> Report:
    """With a run's own times."""
    endpoints = {"huggingface_endpoint": one.url, "modelscope_endpoint": two.url}
    return await fetch_async(Options(directory=out, models=(REPO,), skip_main=True, prefer=HF, **endpoints))
