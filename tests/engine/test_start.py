"""How a run begins: what is asked ahead of the plan, and what is never asked."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.engine.conftest import MIB, ended, hubs, is_copy
from tests.scenarios.conftest import HF, MS, World
from tests.support.faults import Delay, DropConnection, JsonErrorAsFile, Rule, Status
from tests.support.recorder import Entry, Kind

FILES = {"a.bin": 3 * MIB, "b.bin": 2 * MIB + 1, "config.json": 300}
LARGE = ("a.bin", "b.bin")


def file_requests(world: World) -> list[Entry]:
    return [e for hub in world.hubs.values() for e in hub.recorder.entries if e.kind is not Kind.API]


async def test_links_are_learned_while_the_other_hub_is_still_listing(tmp_path: Path) -> None:
    slow = Rule(Delay(0.7), kind=Kind.API, path="/api/v1/models/made/Repo/repo/files")
    async with hubs(tmp_path, FILES, ms=[slow]) as w:
        assert (await ended(w)).report.exit_code == 0
        asked = w.hubs[HF].recorder.of(Kind.RESOLVER)
        listed = next(e for e in w.hubs[MS].recorder.entries if e.path.endswith("/repo/files"))
        early = {e.file for e in asked if e.at < listed.at + 0.6}
        assert early == set(LARGE)
        assert is_copy(w)


async def test_each_large_file_is_resolved_once_and_never_by_head(tmp_path: Path) -> None:
    async with hubs(tmp_path, FILES) as w:
        assert (await ended(w)).report.exit_code == 0
        for hub in w.hubs.values():
            assert {e.asked.method for e in hub.recorder.entries} == {"GET"}
            assert all(len(hub.recorder.of(Kind.RESOLVER, file=name)) <= 1 for name in LARGE)
        assert len(w.hubs[HF].recorder.of(Kind.API)) + len(w.hubs[MS].recorder.of(Kind.API)) <= 2 + 5


async def test_the_first_connections_fetch_the_largest_file_and_nothing_small(tmp_path: Path) -> None:
    files = {"large.bin": 40 * MIB, **{f"b{n}.bin": 2 * MIB for n in range(4)}, **{f"{n}.json": 300 for n in range(9)}}
    async with hubs(tmp_path, files, throttle=4e6) as w:
        assert (await ended(w, 20)).report.exit_code == 0
        for hub in w.hubs.values():
            bodies = [e for e in hub.recorder.entries if e.kind is not Kind.API and e.sent > 1]  # links: a byte
            assert {e.file for e in bodies[:3]} == {"large.bin"}


async def test_a_dry_run_asks_for_no_file(tmp_path: Path) -> None:
    async with hubs(tmp_path, FILES) as w:
        assert (await ended(w, dry_run=True)).report.exit_code == 0
        assert file_requests(w) == []


async def test_what_is_here_is_not_asked_for(tmp_path: Path) -> None:
    """Without a receipt the lists are needed to know that everything is here, and nothing else is."""
    async with hubs(tmp_path, FILES) as w:
        await ended(w)
        shutil.rmtree(w.folder / ".acestep-fetch")
        for hub in w.hubs.values():
            hub.recorder.clear()
        ran = await ended(w)
        assert (ran.report.exit_code, ran.report.bytes_fetched) == (0, 0)
        assert file_requests(w) == []


async def test_a_hub_with_another_version_is_not_asked_for_it(tmp_path: Path) -> None:
    theirs = {**FILES, "a.bin": b"x" * (3 * MIB)}
    async with hubs(tmp_path, FILES, theirs) as w:
        assert (await ended(w)).report.exit_code == 0
        assert w.hubs[MS].recorder.of(Kind.RESOLVER, file="a.bin") == []
        assert is_copy(w)


@pytest.mark.parametrize("fault", [Status(500), DropConnection(), Status(404), JsonErrorAsFile(), Status(403)])
async def test_what_goes_wrong_ahead_is_left_to_those_who_need_it(fault: Any, tmp_path: Path) -> None:
    rules = [Rule(fault, kind=Kind.RESOLVER, path=name, first=1) for name in LARGE]
    async with hubs(tmp_path, FILES, hf=rules) as w:
        ran = await ended(w)
        assert ran.report.exit_code == 0, ran.said[-2000:]
        assert is_copy(w)


async def test_a_pause_that_the_resolver_asks_for_ahead_is_kept(tmp_path: Path) -> None:
    busy = Rule(Status(429, headers={"Retry-After": "1"}), kind=Kind.RESOLVER, path="a.bin", first=1)
    async with hubs(tmp_path, {"a.bin": 3 * MIB}, {"z.bin": 1}, hf=[busy]) as w:
        ran = await ended(w)
        assert ran.report.exit_code == 0
        first, second = w.hubs[HF].recorder.of(Kind.RESOLVER, file="a.bin")
        assert second.at - first.at >= 1.0


def test_the_first_questions_need_neither_the_engine_nor_the_byte_transport() -> None:
    code = (
        "import sys, acestep_fetch.engine.session, acestep_fetch.hubs, acestep_fetch.transport.api;"
        "print({'acestep_fetch.engine.run', 'aiohttp', 'huggingface_hub', 'modelscope', 'rich'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["set()"]
