"""Every run ends: with everything there, or with an error that says what was tried."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from acestep_fetch.core.model import RemoteFile
from acestep_fetch.engine.blame import Blame
from acestep_fetch.engine.context import Context
from acestep_fetch.engine.transfer import Flight, Transfer
from acestep_fetch.options import Options
from acestep_fetch.storage.layout import Layout
from acestep_fetch.storage.threads import Disk
from tests.engine.conftest import MAIN, MIB, ended, hubs, is_copy
from tests.scenarios.conftest import HF, MS
from tests.support.faults import (
    Cut,
    Delay,
    FlipBit,
    IgnoreRange,
    Rule,
    Stall,
    Status,
    Throttle,
    Truncate,
    too_many,
)
from tests.support.recorder import Kind

LARGE = {"weights.bin": 5 * MIB}
PARTS = ("vae", "Qwen3-Embedding-0.6B", "acestep-v15-turbo", "acestep-5Hz-lm-1.7B")


async def test_patterns_that_keep_nothing_of_main(tmp_path: Path) -> None:
    files = {f"{part}/config.json": part.encode() for part in PARTS}
    async with hubs(tmp_path, files, repo=MAIN) as w:
        ran = await ended(w, 2, include=("nothing-like-this",))
        assert ran.report.exit_code == 3


async def test_ranges_ignored_by_one_hub_and_the_other_dies(tmp_path: Path) -> None:
    async with hubs(tmp_path, LARGE, ms=[Rule(IgnoreRange())], throttle=2e6, give_up_after=1.5) as w:
        run = asyncio.create_task(ended(w, 8))
        while w.served(HF) + w.served(MS) < MIB:
            await asyncio.sleep(0.01)
        await w.hubs[HF].kill()
        ran = await run
        assert ran.report.exit_code == 0, ran.said[-2000:]
        assert is_copy(w)


async def test_one_connection_that_goes_silent_again_and_again(tmp_path: Path) -> None:
    """More often than a file's crawling connections are replaced, and with nobody to take over."""
    stalls = [Rule(Stall(300_000), kind=Kind.CONTENT, first=6)]
    settings = {"connections": 1, "stall_timeout": 0.2, "give_up_after": 8.0}
    async with hubs(tmp_path, LARGE, hf=stalls, ms=[Rule(Status(404))], **settings) as w:
        ran = await ended(w)
        assert ran.report.exit_code == 0, ran.said[-2000:]
        assert is_copy(w)


async def test_ranges_ignored_for_a_file_whose_digests_differ_in_kind(tmp_path: Path) -> None:
    async with hubs(tmp_path, {"vocab.json": 3 * MIB}, hf=[Rule(IgnoreRange())]) as w:
        ran = await ended(w, 2)
        assert ran.report.exit_code == 0, ran.said[-2000:]
        assert is_copy(w)


async def test_ranges_ignored_by_both_hubs(tmp_path: Path) -> None:
    ignored = [Rule(IgnoreRange())]
    async with hubs(tmp_path, LARGE, hf=ignored, ms=list(ignored)) as w:
        ran = await ended(w, 6)
        assert ran.report.exit_code == 0, ran.said[-2000:]
        assert is_copy(w)


BROKEN = {
    "a small body is always cut": Rule(Truncate(1000, Cut.CLOSE), path="small.bin"),
    "a small body is always reset": Rule(Truncate(1000, Cut.RESET), path="small.bin"),
    "a small body always stalls": Rule(Stall(1000), path="small.bin"),
    "always too many, with a wait": Rule(too_many(1), path="small.bin"),
    "too many, come back tomorrow": Rule(too_many(86400), path="small.bin"),
    "too many, no wait named": Rule(too_many(None), path="small.bin"),
    "always 503": Rule(Status(503), path="small.bin"),
    "headers that never come": Rule(Delay(None), path="small.bin"),
}


@pytest.mark.parametrize("fault", BROKEN.values(), ids=BROKEN)
async def test_the_only_hub_never_gives_a_file(fault: Rule, tmp_path: Path) -> None:
    rule = Rule(fault.action, path=fault.path)
    async with hubs(tmp_path, {"small.bin": 50_000}, hf=[rule], give_up_after=0.4, stall_timeout=0.2) as w:
        await w.hubs[MS].kill()
        ran = await ended(w, 8)
        assert ran.report.exit_code == 5


async def test_bytes_that_flow_keep_a_transfer_alive(tmp_path: Path) -> None:
    """A hub that refuses new connections while an older one of ours streams on is not silent."""
    with Disk() as disk:
        context = Context(Options(give_up_after=5.0), Layout(tmp_path), disk, lambda event: None)
        source: Any = SimpleNamespace(name=HF, down_since=0.0)
        transfer = Transfer(RemoteFile("a", 9 * MIB, "0" * 64), "a", {HF: cast("Any", None)}, {HF})
        flight = Flight(transfer, source, 0, 9 * MIB, 0.0)
        flight.last_byte = 9.9
        transfer.flights.append(flight)
        Blame(context, {HF: source}).give_up([transfer], 10.0)
        assert transfer.open


async def test_both_hubs_die_and_come_back(tmp_path: Path) -> None:
    async with hubs(tmp_path, LARGE, throttle=0.7e6, give_up_after=8.0) as w:
        run = asyncio.create_task(ended(w))
        while w.served(HF) + w.served(MS) < MIB:
            await asyncio.sleep(0.01)
        for hub in (HF, MS):
            await w.hubs[hub].kill()
        await asyncio.sleep(0.7)
        for hub in (HF, MS):
            await w.hubs[hub].revive()
        ran = await run
        assert ran.report.exit_code == 0, ran.said[-2000:]
        assert is_copy(w)
        assert ran.report.bytes_fetched < 1.3 * 5 * MIB


async def test_a_crawling_small_file_is_asked_for_again(tmp_path: Path) -> None:
    crawl = Rule(Throttle(2000), path="small.bin", kind=None, first=2)
    async with hubs(tmp_path, {"small.bin": 100_000, "b.bin": 10}, hf=[crawl], stall_timeout=0.5) as w:
        ran = await ended(w, 2)
        assert ran.report.exit_code == 0


async def test_a_repair_outlives_a_busy_moment(tmp_path: Path) -> None:
    """The comparison is refused three times: no reason to throw everything away."""
    size = 3 * MIB
    once = [Rule(FlipBit(100), path="weights.bin", nth=2), Rule(Status(503), path="weights.bin", served=size, first=3)]
    async with hubs(tmp_path, {"weights.bin": size}, hf=once, connections=1) as w:
        await w.hubs[MS].kill()
        ran = await ended(w, 10)
        assert ran.report.exit_code == 0, ran.said[-2000:]


async def test_a_redirect_to_a_host_that_cannot_be(tmp_path: Path) -> None:
    nowhere = Status(302, {"Location": f"http://{'a' * 64}.example/x"})
    async with hubs(tmp_path, {"small.bin": 5000}, hf=[Rule(nowhere, path="small.bin")]) as w:
        ran = await ended(w, 8)
        assert ran.report.exit_code == 0, ran.said[-2000:]
