"""Upper bounds that hold: bytes in every second, connections to one hub, files under way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from acestep_fetch.api import fetch_async
from acestep_fetch.core.events import BytesCompared, BytesReceived, Event, PieceRepaired
from acestep_fetch.engine.limits import Budget
from acestep_fetch.engine.transfer import Flight
from acestep_fetch.engine.watch import Watch
from acestep_fetch.storage.parts import RECORD_EVERY
from tests.bench.figures import most_at_once, windowed
from tests.engine.conftest import MIB, ended, hubs, is_copy
from tests.engine.test_repairing import leave_part
from tests.scenarios.conftest import HF, World
from tests.support.faults import Rule, Status
from tests.support.recorder import Entry, Kind
from tests.support.trees import content_of, tree_digests

ENDS = 0.03  # seconds by which a hub may learn later than its client that a reply has ended


def carrying(world: World) -> list[Entry]:
    """The requests that a file's bytes came by, of both hubs."""
    return [
        entry
        for hub in world.hubs.values()
        for entry in hub.recorder.entries
        if entry.kind is not Kind.API and entry.sent
    ]


def interval(entries: Iterable[Entry]) -> tuple[float, float]:
    entries = list(entries)
    first = min(entry.at for entry in entries)
    last = max(entry.at + (entry.seconds or 0.0) for entry in entries)
    return first, max(first, last - ENDS)


async def test_every_second_is_the_rate_over_all_connections_of_both_hubs(tmp_path: Path) -> None:
    rate = 2_000_000
    came = list[tuple[float, int]]()
    sources = dict[str, int]()
    clock = asyncio.get_running_loop().time

    def listen(event: Event) -> None:
        if isinstance(event, BytesReceived):
            came.append((clock(), event.count))
            sources[event.source] = sources.get(event.source, 0) + event.count

    async with hubs(tmp_path, {"a.bin": 5 * MIB, "b.bin": 4 * MIB}, connections=4) as w:
        async with asyncio.timeout(60):
            report = await fetch_async(w.options(limit_rate=rate), listen)
        assert report.exit_code == 0
        assert is_copy(w)
    found = windowed(came, skip=0.3)
    assert len(found) > 50
    assert max(found) <= 1.1 * rate
    assert min(found) >= 0.9 * rate
    assert min(sources.values()) > MIB  # the limit is one for both


async def test_a_limited_connection_is_not_stolen_from(tmp_path: Path) -> None:
    async with hubs(tmp_path, {"a.bin": 3 * MIB}, stall_timeout=0.2, connections=8) as w:
        ran = await ended(w, limit_rate=600_000)
        assert ran.report.exit_code == 0
        assert is_copy(w)
        assert "replaced" not in ran.said
        assert len([entry for entry in carrying(w) if entry.kind is Kind.CONTENT]) == 3  # spans of 1 MiB


@pytest.mark.parametrize(("throttled", "is_ended"), [(float("-inf"), True), (11.0, False), (5.0, True)])
def test_a_limited_connection_does_not_crawl(throttled: float, is_ended: bool) -> None:
    """One of many under a low limit, which waits for the network just when the timer looks."""
    ended_at = list[float]()
    source: Any = SimpleNamespace(name=HF, score=SimpleNamespace(speed=3000.0))
    flight = Flight(
        cast(Any, SimpleNamespace(replaced=0, label="a", small=False, file=SimpleNamespace(size=MIB))),
        source,
        0,
        MIB,
        began=0.0,
    )
    flight.speed, flight.throttled = 3000.0, throttled
    flight.scope = cast(Any, SimpleNamespace(reschedule=ended_at.append))
    context: Any = SimpleNamespace(options=SimpleNamespace(stall_timeout=3.0), emit=lambda event: None)
    workload: Any = SimpleNamespace(flights=[flight], sources={HF: source})
    Watch(context, workload, cast(Any, None), lambda: None)._end_crawling(12.0)
    assert bool(ended_at) is is_ended


async def test_what_repair_compares_is_limited_and_counted(tmp_path: Path) -> None:
    """A wrong piece of an earlier run: every held piece is compared with the other hub, within the limit."""
    rate, pieces = 8_000_000, 4
    right = content_of("made/Repo/a.bin", pieces * RECORD_EVERY)
    async with hubs(tmp_path, {"a.bin": right}) as w:
        leave_part(w.folder, right, [(n, "modelscope", n != 0) for n in range(pieces)])
        ran = await ended(w, limit_rate=rate)
        assert ran.report.exit_code == 0
        assert is_copy(w)
        assert [event.culprit for event in ran.of(PieceRepaired)] == ["modelscope"]
        compared = sum(event.count for event in ran.of(BytesCompared))
        fetched = sum(event.count for event in ran.of(BytesReceived))
        assert compared >= len(right)
        assert fetched == RECORD_EVERY
        assert ran.report.bytes_fetched == compared + fetched == sum(ran.report.by_source.values())
        assert ran.report.seconds > 0.95 * (compared + fetched) / rate


@pytest.mark.parametrize("most", [1, 3])
async def test_no_more_connections_than_allowed(most: int, tmp_path: Path) -> None:
    files = {"a.bin": 4 * MIB, "b.bin": 3 * MIB} | {f"s{n}.json": 60_000 + n for n in range(12)}
    async with hubs(tmp_path, files, throttle=4e6) as w:
        ran = await ended(w, connections=most)
        assert ran.report.exit_code == 0
        assert is_copy(w)
        for hub in w.hubs.values():
            carried = [entry for entry in hub.recorder.entries if entry.kind is not Kind.API]
            assert 1 <= most_at_once(interval([entry]) for entry in carried) <= most


async def test_repair_keeps_to_the_connections_too(tmp_path: Path) -> None:
    right = content_of("made/Repo/a.bin", 8 * RECORD_EVERY)
    async with hubs(tmp_path, {"a.bin": right, "b.bin": 6 * MIB}, throttle=8e6) as w:
        held = [(n, "modelscope" if n % 2 else "huggingface", n != 1) for n in range(8)]
        leave_part(w.folder, right, held)
        ran = await ended(w, connections=1)
        assert ran.report.exit_code == 0
        assert is_copy(w)
        assert ran.of(BytesCompared)
        for hub in w.hubs.values():
            carried = [entry for entry in hub.recorder.entries if entry.kind is not Kind.API]
            assert most_at_once(interval([entry]) for entry in carried) == 1


@pytest.mark.parametrize("most", [1, 2, None])
async def test_no_more_files_than_allowed(most: int | None, tmp_path: Path) -> None:
    large = {f"l{n}.bin": 2 * MIB + n for n in range(4)}
    small = {f"s{n}.json": 200_000 + n for n in range(6)}
    async with hubs(tmp_path, large | small, throttle=4e6) as w:
        ran = await ended(w, jobs=most)
        assert ran.report.exit_code == 0
        assert is_copy(w)
        files = by_content(w)
        assert len(files) == len(large) + len(small)
        at_once = most_at_once(interval(entries) for entries in files.values())
        assert at_once <= most if most else at_once > 2


def by_content(world: World) -> dict[str, list[Entry]]:
    """The requests by the file whose bytes they carried: signed addresses name its digest."""
    names = {digest: path for path, digest in tree_digests(world.folder / "Repo").items()}
    found = dict[str, list[Entry]]()
    for entry in carrying(world):
        digest = entry.path.rsplit("/", 1)[-1]
        found.setdefault(names.get(digest, entry.file), []).append(entry)
    return found


async def test_one_file_at_a_time_ends_where_a_file_cannot_be_had(tmp_path: Path) -> None:
    missing = Rule(Status(404), path="s1.json")
    async with hubs(tmp_path, {"l.bin": 2 * MIB, "s1.json": 3000, "s2.json": 4000}, hf=[missing], ms=[missing]) as w:
        ran = await ended(w, jobs=1)
        assert ran.report.exit_code == 3


async def test_takers_pass_in_turn_and_none_starves() -> None:
    loop = asyncio.get_running_loop()
    budget = Budget(1_000_000, loop.time)
    order = list[str]()

    async def take(name: str, count: int, times: int) -> None:
        for _ in range(times):
            await budget.take(count)
            order.append(name)

    async with asyncio.TaskGroup() as group:
        group.create_task(take("greedy", 100_000, 3))
        group.create_task(take("modest", 5_000, 20))
    assert budget.chunk == 10_000
    assert order.index("greedy") >= 8  # its ten chunks have the modest one's takes in between
    assert order[-1] == "greedy"


async def test_a_budget_without_a_rate_lets_everything_pass() -> None:
    budget = Budget(None, asyncio.get_running_loop().time)
    assert not budget.limited
    assert budget.chunk is None
    assert not await asyncio.wait_for(budget.take(1 << 50), 1)
