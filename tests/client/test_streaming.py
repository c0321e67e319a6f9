"""The async client: its events, a listener that is slow, and every way to leave it."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import acestep_fetch as af
from acestep_fetch import events
from acestep_fetch.storage import platform
from acestep_fetch.storage.lease import Lease
from tests.client.conftest import LARGE, LM, MIB, SIZE
from tests.end_to_end.conftest import Hubs
from tests.support.faults import Rule, Status
from tests.support.trees import tree_digests

ALL = SIZE + 70_300


async def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    due = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < due, "it never came to that"
        await asyncio.sleep(0.01)


def is_at_rest(folder: Path) -> bool:
    """Whether nobody writes there any more, and no thread is left that did."""
    lease = Lease.take(folder / ".acestep-fetch" / "lease")
    if isinstance(lease, Lease):
        lease.release()
    return isinstance(lease, Lease) and not any(t.name.startswith(("disk", "hash")) for t in threading.enumerate())


async def hear(download: af.Download, told: list[events.Event]) -> None:
    async for event in download:
        told.append(event)  # noqa: PERF401  # what was told before an error is wanted


async def is_taken_up(folder: Path, held: int) -> None:
    """The next run goes on from what an earlier one has left."""
    async with af.AsyncClient(dir=folder) as client:
        report = await client.fetch(LARGE)
    assert report.bytes_reused >= 0.8 * held
    assert report.bytes_fetched <= ALL - report.bytes_reused + 2 * MIB


async def test_events_and_the_report(here: Path, pair: Hubs) -> None:
    async with af.AsyncClient(dir=here / "there", jobs=8, limit_rate="80MB/s") as client:
        with pytest.raises(RuntimeError, match="nothing was fetched"):
            _ = client.report
        download = client.fetch("main", LM)
        with pytest.raises(RuntimeError, match="ended by itself"):
            _ = download.report
        told = [event async for event in download]
        assert client.report is download.report is await download
    assert isinstance(told[0], events.RunStarted)
    assert isinstance(told[-1], events.RunFinished)
    ready = [event.model for event in told if isinstance(event, events.ModelReady)]
    assert set(ready) == {"main", LM}
    assert client.report.bytes_fetched == sum(e.count for e in told if isinstance(e, events.BytesReceived))
    asked = len(pair.hf.recorder.entries)
    async with af.AsyncClient(dir=here / "there") as client:
        assert await client.ensure(LM) == (here / "there" / LM,)
    assert len(pair.hf.recorder.entries) == asked


async def test_a_listener_that_is_slow_slows_nothing_and_loses_nothing(here: Path, pair: Hubs) -> None:
    """It even blocks the event loop, until the download is over."""
    async with af.AsyncClient(dir=here / "slow") as client:
        told = list[events.Event]()
        async for event in client.fetch(LARGE):
            if isinstance(event, events.PlanMade):
                due = time.monotonic() + 60
                while not (here / "slow" / "large").exists() and time.monotonic() < due:
                    time.sleep(0.01)
            told.append(event)
    assert (here / "slow" / "large").exists()
    names = [event.name for event in told]
    assert sum(event.count for event in told if isinstance(event, events.BytesReceived)) == ALL
    assert names.count("file_done") == names.count("file_start") == 3
    assert names[-1] == "summary"
    assert names.count("bytes") < 30, "added up, as far as nothing else came between"


async def test_leaving_the_loop_early_is_a_stop(here: Path, pair: Hubs) -> None:
    held = 0
    async with af.AsyncClient(dir=here / "left") as client:
        async for event in client.fetch(LARGE):
            held += event.count if isinstance(event, events.BytesReceived) else 0
            if held > 10 * MIB:
                break
        await until(lambda: is_at_rest(here / "left"), 20)  # already before the block is left
        with pytest.raises(RuntimeError, match="ended by itself"):
            _ = client.report
    assert not (here / "left" / "large").exists()
    await is_taken_up(here / "left", held)


@pytest.mark.parametrize("waits", ["for events", "for the report"])
async def test_cancelling_the_task_is_a_stop(waits: str, here: Path, pair: Hubs) -> None:
    async def consume() -> None:
        async with af.AsyncClient(dir=here / "cancelled") as client:
            download = client.fetch(LARGE)
            if waits == "for events":
                async for _ in download:
                    pass
            else:
                await download

    task = asyncio.create_task(consume())
    await until(lambda: pair.sent > 30 * MIB)
    sent = pair.sent
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert is_at_rest(here / "cancelled"), "it was waited for"
    await is_taken_up(here / "cancelled", sent - 20 * MIB)


async def test_a_second_cancel_does_not_wait_for_a_disk_that_does_not_answer(
    here: Path, pair: Hubs, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen, thawed, write = threading.Event(), threading.Event(), platform.write_many_at

    def hangs(*how: Any) -> None:
        frozen.set()
        thawed.wait(60)
        write(*how)

    async def consume() -> None:
        async with af.AsyncClient(dir=here / "frozen") as client:
            await client.fetch(LARGE)

    monkeypatch.setattr(platform, "write_many_at", hangs)
    task = asyncio.create_task(consume())
    try:
        await until(frozen.is_set)
        task.cancel()
        await asyncio.sleep(0.5)
        assert not task.done()
        for _ in range(3):  # the download, and the block around it
            task.cancel()
            await asyncio.sleep(0.1)
        assert task.cancelled()
        assert not is_at_rest(here / "frozen")
    finally:
        thawed.set()
    await until(lambda: is_at_rest(here / "frozen"), 30)


async def test_leaving_the_block_stops_what_is_still_running(here: Path, pair: Hubs) -> None:
    async with af.AsyncClient(dir=here / "block") as client:
        download = client.fetch(LARGE)
        await until(lambda: pair.sent > 10 * MIB)
        assert not download.done
    assert download.done
    assert is_at_rest(here / "block")
    told = list[events.Event]()
    with pytest.raises(af.StoppedError):
        await hear(download, told)
    assert isinstance(told[-1], events.RunFinished)
    assert told[-1].models == {"large": "stopped"}
    with pytest.raises(RuntimeError, match="inside of `async with`"):
        client.fetch(LARGE)


async def test_a_stop_by_name_and_a_download_that_is_dropped(here: Path, pair: Hubs) -> None:
    async with af.AsyncClient() as client:
        download = client.fetch(LARGE)
        await until(lambda: pair.sent > 5 * MIB)
        download.stop()
        with pytest.raises(af.StoppedError) as stopped:
            await download
        assert stopped.value.retryable
        client.fetch(LARGE)  # nobody keeps it
        gc.collect()
        await until(lambda: is_at_rest(here / "checkpoints"), 20)
        assert not (here / "checkpoints" / "large").exists()


async def test_an_error_is_raised_after_the_last_event(here: Path, pair: Hubs) -> None:
    told = list[events.Event]()
    async with af.AsyncClient() as client:
        with pytest.raises(af.NotFoundError):
            await hear(client.fetch("nobody/nothing"), told)
        assert isinstance(told[-1], events.RunFinished)
        assert told[-1].exit_code == client.report.exit_code == 3
        with pytest.raises(af.UsageError, match="no model called"):
            client.fetch("nonsense")
        for hub in (pair.hf, pair.ms):
            hub.faults.rules.append(Rule(Status(404), path="vocab.txt"))
        assert isinstance((await client.fetch(LM, LARGE, check=False)).error, af.PartialError)
        with pytest.raises(af.NotFoundError):  # what was ready before does not count
            await client.ensure(LM, LARGE)
    with pytest.raises(af.UsageError):
        af.AsyncClient(jobs=0)


async def test_several_at_once_on_one_loop_that_stays_free(here: Path, pair: Hubs) -> None:
    late = list[float]()

    async def tick() -> None:
        while True:
            asked = time.perf_counter()
            await asyncio.sleep(0.01)
            late.append(time.perf_counter() - asked - 0.01)

    ticking = asyncio.create_task(tick())
    async with (
        af.AsyncClient(dir=here / "one") as one,
        af.AsyncClient(dir=here / "two") as two,
        asyncio.TaskGroup() as group,
    ):
        for client in (one, two, two):
            group.create_task(client.ensure(LARGE))
    ticking.cancel()
    for folder in ("one", "two"):
        assert tree_digests(here / folder / "large") == tree_digests(pair.hf.hub.setup.root / LARGE)
    print(
        f"\nthe loop was late by {1000 * sorted(late)[len(late) // 2]:.1f} ms (median), {1000 * max(late):.0f} at most"
    )
    assert sorted(late)[len(late) // 2] < 0.1
