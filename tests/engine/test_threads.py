"""Threads, descriptors and cancellation: nothing is closed under a thread, nothing is left open."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from acestep_fetch.core.errors import DiskError, DiskFullError
from acestep_fetch.core.events import RunFinished
from acestep_fetch.core.merge import ComponentManifest, ManifestFile
from acestep_fetch.core.model import HubName, RemoteFile
from acestep_fetch.engine import context as context_module
from acestep_fetch.engine import examine as examine_module
from acestep_fetch.engine import frontier, session
from acestep_fetch.engine.components import Component
from acestep_fetch.engine.context import Context
from acestep_fetch.options import Options
from acestep_fetch.storage.layout import Layout
from acestep_fetch.storage.lease import Lease
from acestep_fetch.storage.parts import PartFile
from acestep_fetch.storage.threads import Disk
from tests.engine.conftest import MIB, ended, hubs
from tests.scenarios.conftest import HF, MS, World
from tests.support.faults import Delay, Rule

GIB = 1 << 30


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("times", [1, 2, 3])
async def test_a_cancelled_caller_waits_for_its_thread(times: int) -> None:
    """A flight that is ended by the timer and by the run's end is cancelled twice."""
    running = threading.Event()
    over = threading.Event()

    def write() -> None:
        running.set()
        time.sleep(0.3)
        over.set()

    with Disk() as disk:
        caller = asyncio.create_task(disk.run(write))
        while not running.is_set():
            await asyncio.sleep(0.001)
        for _ in range(times):
            caller.cancel()
            await asyncio.sleep(0.02)
        with pytest.raises(asyncio.CancelledError):
            await caller
        assert over.is_set()


async def test_a_lease_taken_while_being_cancelled_is_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = Lease.take

    def slowly(path: Path, *models: Any) -> Any:
        taken = take(path, *models)
        time.sleep(0.3)
        return taken

    monkeypatch.setattr(session.Lease, "take", slowly)
    async with hubs(tmp_path, {"a.bin": 10}) as w:
        run = asyncio.create_task(w.run())
        await asyncio.sleep(0.15)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        monkeypatch.undo()
        again = take(w.folder / ".acestep-fetch" / "lease")
        assert isinstance(again, Lease)
        again.release()


async def _stopped(world: World, after: float, **options: Any) -> tuple[float, list[Any]]:
    """Runs, cancels after so many seconds; how long the stop took, and what was told."""
    from acestep_fetch.api import fetch_async

    told = list[Any]()
    run = asyncio.create_task(fetch_async(world.options(**options), told.append))
    await asyncio.sleep(after)
    began = time.monotonic()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    return time.monotonic() - began, told


@pytest.mark.parametrize("after", [0.0, 0.03, 0.08, 0.4])
async def test_a_stop_at_any_moment(after: float, tmp_path: Path) -> None:
    files = {f"{n}.bin": 3 * MIB + n for n in range(4)} | {f"small{n}.json": 1000 + n for n in range(20)}
    async with hubs(tmp_path, files, throttle=2e6) as w:
        before = open_files()
        seconds, told = await _stopped(w, after)
        assert seconds < 3.0
        if told:
            assert isinstance(told[-1], RunFinished)
            assert told[-1].exit_code == 130
        await asyncio.sleep(0.2)
        assert [t.name for t in threading.enumerate() if t.name.startswith(("disk", "hash"))] == []
        ran = await ended(w)
        assert ran.report.exit_code == 0
        assert open_files() - before < 60  # sockets of the hubs
    assert not list((w.folder / ".acestep-fetch" / "parts").iterdir())


async def test_a_stop_while_a_late_list_is_awaited(tmp_path: Path) -> None:
    late = Rule(Delay(None), path="/api/v1/models/made/Repo/repo/files")
    async with hubs(tmp_path, {"a.bin": 3 * MIB}, ms=[late], throttle=0.3e6, probe_deadline=0.2) as w:
        seconds, told = await _stopped(w, 1.0)
        assert seconds < 3.0
        assert told[-1].exit_code == 130


async def test_parts_are_closed_when_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = list[Path]()
    real = PartFile.open

    def full(path: Path, *rest: Any) -> PartFile:
        opened.append(path)
        if len(opened) == 4:
            raise OSError(errno.ENOSPC, "full")
        return real(path, *rest)

    monkeypatch.setattr(PartFile, "open", full)
    async with hubs(tmp_path, {f"{n}.bin": 2 * MIB + n for n in range(4)}) as w:
        ran = await ended(w)
        assert isinstance(ran.report.error, DiskFullError)
        names = [os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd") if _is_open(n)]
        assert [name for name in names if ".acestep-fetch/parts" in name] == []


def _is_open(number: str) -> bool:
    return os.path.lexists(f"/proc/self/fd/{number}")


async def test_many_large_files_need_few_descriptors(tmp_path: Path) -> None:
    import resource

    async with hubs(tmp_path, {f"{n}.bin": MIB + 1 + n for n in range(60)}, connections=2) as w:
        await w.hubs[MS].kill()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (open_files() + 70, hard))
        try:
            ran = await ended(w)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert ran.report.exit_code == 0, ran.report.error


@pytest.mark.parametrize("where", ["looking at what is there", "hashing what came"])
async def test_a_disk_that_cannot_be_read_is_told_as_such(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    if where == "looking at what is there":
        monkeypatch.setattr(context_module, "FileHash", broken)
    else:
        monkeypatch.setattr(frontier.PartFile, "feed", broken)
    async with hubs(tmp_path, {"a.bin": 2 * MIB}) as w:
        if where == "looking at what is there":
            (w.folder / "Repo").mkdir(parents=True)
            (w.folder / "Repo" / "a.bin").write_bytes(bytes(2 * MIB))
        ran = await ended(w)
        assert isinstance(ran.report.error, DiskError)


async def test_a_stop_while_a_large_file_is_hashed(tmp_path: Path) -> None:
    """Ctrl-C does not wait for gigabytes."""
    layout = Layout(tmp_path)
    (tmp_path / "vae").mkdir()
    with (tmp_path / "vae" / "model.bin").open("wb") as file:
        file.truncate(GIB)
    listed = ManifestFile("model.bin", RemoteFile("model.bin", GIB, sha256="0" * 64), (HF,))
    component = Component("vae", ComponentManifest("vae", "", HubName.HUGGINGFACE, "c", (listed,)), {})
    with Disk() as disk:
        context = Context(Options(), layout, disk, lambda event: None)
        known = examine_module.Known(context)
        work = asyncio.create_task(examine_module.examine(component, known, context))
        await asyncio.sleep(0.2)
        began = time.monotonic()
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
    assert time.monotonic() - began < 1.5
