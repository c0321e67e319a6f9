"""The watchdog on real faults: what stands still is ended and told, what only waits is not."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from acestep_fetch.core import liveness
from acestep_fetch.core.errors import StuckError
from acestep_fetch.core.events import BytesReceived, Detail, Event, Note, RunFinished, Waiting
from acestep_fetch.engine import watchdog
from acestep_fetch.engine.scheduler import Scheduler
from acestep_fetch.engine.transfer import Transfer
from acestep_fetch.engine.workload import Workload
from acestep_fetch.storage import platform
from tests.engine.conftest import MIB, ended, hubs, is_copy
from tests.scenarios.conftest import HF, MS, Ran
from tests.support.faults import Delay, Rule, too_many
from tests.support.recorder import Kind

BOUND = 1.5
SECRET = "hf_thisIsATokenThatNobodyMaySee"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks ten times a second, and a bound of a second and a half."""
    for module in (liveness, watchdog):
        monkeypatch.setattr(module, "TICK", 0.1)
    monkeypatch.setattr(watchdog, "longest_silence", lambda *_: BOUND)


def stuck(ran: Ran) -> str:
    """Everything that was told of a run that the watchdog ended."""
    assert isinstance(ran.report.error, StuckError), ran.said[-2000:]
    assert (ran.report.exit_code, ran.report.error.retryable) == (1, True)
    assert isinstance(ran.events[-1], RunFinished)
    assert ran.events[-1].error == ran.report.error.message
    return "\n".join([ran.report.error.message, *(d.text for d in ran.of(Detail) if "standing still" in d.text)])


async def test_a_wake_up_that_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work is there, and nobody takes it up."""
    async with hubs(tmp_path, {"a.bin": 20 * MIB, "b.json": 300}, throttle=2e6, token=SECRET) as w:
        next_of = Workload.next

        def lost(self: Workload, source: Any, **how: Any) -> Any:
            return next_of(self, source, **how) if w.served(HF) < 4 * MIB else None

        monkeypatch.setattr(Workload, "next", lost)
        monkeypatch.setattr(Scheduler, "wake", lambda self: None)
        ran = await ended(w, 20)
        said = stuck(ran)
        assert "Repo/a.bin: " in said
        assert "bytes held, no connection" in said
        assert "huggingface-0" in said
        assert "scheduler.py" in said
        assert SECRET not in ran.said
        assert "http://" not in said
        got = ran.report.bytes_fetched
        assert got > 4 * MIB
        monkeypatch.undo()
        again = await ended(w)
        assert again.report.exit_code == 0
        assert is_copy(w)
        assert again.report.bytes_fetched <= 20 * MIB + 300 - got


async def test_an_end_that_nobody_hears_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transfer is done, and the task that should go on with it is never told."""
    waited, grounded = list[Transfer](), Transfer.grounded

    async def lost(self: Transfer) -> None:
        waited.append(self)
        if len(waited) == 1:
            await asyncio.Event().wait()
        await grounded(self)

    monkeypatch.setattr(Transfer, "grounded", lost)
    async with hubs(tmp_path, {"a.bin": 2 * MIB}) as w:
        said = stuck(await ended(w, 20))
        assert "Repo/a.bin: 2097152 of 2097152 bytes held" in said
        assert "test_watchdog.py" in said
        monkeypatch.undo()
        again = await ended(w)
        assert (again.report.exit_code, again.report.bytes_fetched) == (0, 0)
        assert is_copy(w)


async def test_an_end_that_stands_still_as_well_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    go_on, grounded = asyncio.Event(), Transfer.grounded

    async def lost(self: Transfer) -> None:
        await go_on.wait()
        await grounded(self)

    monkeypatch.setattr(Transfer, "grounded", lost)
    async with hubs(tmp_path, {"a.bin": 2 * MIB}) as w:
        with caplog.at_level(logging.CRITICAL):
            run = asyncio.create_task(ended(w, 20))
            await asyncio.sleep(3.5 * BOUND)
            assert not run.done()
            go_on.set()
            stuck(await run)
    assert "nothing has moved" in caplog.text


async def test_a_disk_that_does_not_answer_is_told_and_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(liveness, "SLOW_DISK", 0.5)
    frozen, write = threading.Event(), platform.write_many_at

    def hangs(*how: Any) -> None:
        frozen.wait(30)
        time.sleep(0.1)  # slow, but it answers
        write(*how)

    monkeypatch.setattr(platform, "write_many_at", hangs)
    async with hubs(tmp_path, {"a.bin": 24 * MIB}, connections=1) as w:
        run = asyncio.create_task(ended(w, 20))
        await asyncio.sleep(3 * BOUND)
        assert not run.done()
        frozen.set()
        ran = await run
        assert ran.report.exit_code == 0, ran.said[-2000:]
        assert is_copy(w)
        notes = [note.text for note in ran.of(Note)]
        told = [text for text in notes if text.startswith("the disk has not answered for")]
        assert 2 <= len(told) <= 5
        assert "Repo/a.bin" in told[0]
        assert notes[-1] == "the disk answers again"


async def test_a_blocked_event_loop_is_logged_where_there_is_no_process_to_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from acestep_fetch.api import fetch_async

    blocked = list[float]()

    def listener(event: Event) -> None:
        if isinstance(event, BytesReceived) and not blocked:
            blocked.append(time.monotonic())
            time.sleep(2 * BOUND)

    async with hubs(tmp_path, {"a.bin": 2 * MIB}) as w:
        with caplog.at_level(logging.CRITICAL):
            report = await fetch_async(w.options(), listener)
    assert report.exit_code == 0  # it went on when it could
    assert "event loop has been blocked" in caplog.text
    assert "test_watchdog.py" in caplog.text


WAITS = {
    "an asked pause": (Rule(too_many(4), path="a.bin", first=1), "asked for a pause"),
    "a late list": (Rule(Delay(5.0), kind=Kind.API, first=2), "list of made/Repo"),
}


@pytest.mark.parametrize("wait", WAITS)
async def test_an_announced_wait_is_no_fault(wait: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is longer than the bound, and says so."""
    monkeypatch.setattr(watchdog, "_SAY_AFTER", 3)
    rule, why = WAITS[wait]
    async with hubs(tmp_path, {"a.bin": 3 * MIB}, hf=[rule]) as w:
        await w.hubs[MS].kill()
        ran = await ended(w, 20)
        assert ran.report.exit_code == 0, ran.said[-2000:]
        waits = [wait for wait in ran.of(Waiting) if why in wait.why]
        assert waits
        assert all(0 < wait.seconds <= liveness.LIST_PATIENCE for wait in waits)
        assert ran.report.seconds > 2 * BOUND


async def test_a_limit_that_lets_a_byte_pass_now_and_then_is_no_fault(tmp_path: Path) -> None:
    async with hubs(tmp_path, {"a.bin": 8}, connections=1) as w:
        ran = await ended(w, 30, limit_rate=2)
        assert ran.report.exit_code == 0
        assert ran.report.seconds > 2 * BOUND


async def test_a_process_that_waits_for_another_is_no_fault(tmp_path: Path) -> None:
    from acestep_fetch.storage.lease import Lease

    async with hubs(tmp_path, {"a.bin": 3000}) as w:
        lease = Lease.take(w.folder / ".acestep-fetch" / "lease")
        assert isinstance(lease, Lease)
        run = asyncio.create_task(ended(w, 20))
        await asyncio.sleep(2 * BOUND)
        lease.release()
        ran = await run
        assert ran.report.exit_code == 0
        assert ran.of(Waiting)


async def test_no_thread_is_left(tmp_path: Path) -> None:
    async with hubs(tmp_path, {"a.bin": 3000}) as w:
        await ended(w)
        await asyncio.sleep(0.3)
        assert "watchdog" not in [thread.name for thread in threading.enumerate()]


async def test_a_cancel_that_comes_with_the_end_stays_a_cancel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Workload, "next", lambda self, source, **how: None)
    async with hubs(tmp_path, {"a.bin": 3000}) as w:
        run = asyncio.create_task(w.run())
        await asyncio.sleep(BOUND / 2)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
