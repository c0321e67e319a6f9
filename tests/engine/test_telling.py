"""What a run says: plan, bytes, readiness, each thing once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from acestep_fetch import fetch
from acestep_fetch.catalogue import Model
from acestep_fetch.core.events import (
    BytesReceived,
    Detail,
    Event,
    FileVerified,
    PlanMade,
    RunFinished,
)
from acestep_fetch.core.model import RepoId
from acestep_fetch.engine.components import ModelWork
from acestep_fetch.engine.run import Run
from tests.engine.conftest import MIB, REPO, ended, hubs, is_copy
from tests.scenarios.conftest import HF, MS, Ran
from tests.support.trees import content_of, make_repo, tree_digests


def plan_of(ran: Ran) -> PlanMade:
    (plan,) = ran.of(PlanMade)
    assert plan.total == plan.present + plan.shared + plan.partial + plan.fetch
    return plan


async def test_the_plan_knows_what_another_model_has(tmp_path: Path) -> None:
    shared = content_of("shared", 3 * MIB)
    async with hubs(tmp_path, {"one.bin": shared}) as w:
        for hub in (HF, MS):
            make_repo(w.roots[hub], "made/Second", {"two.bin": shared, "more.bin": 5000})
        await ended(w)
        ran = await ended(w, models=("made/Second",))
        assert is_copy(w, HF, "made/Second")
        assert ran.report.bytes_fetched == 5000
        assert plan_of(ran).fetch == 5000


async def test_two_files_of_one_content_are_fetched_once(tmp_path: Path) -> None:
    same = content_of("same", 2 * MIB)
    async with hubs(tmp_path, {"a/x.bin": same, "b/x.bin": same, "c.bin": b"", "d.bin": b"1"}) as w:
        ran = await ended(w)
        assert is_copy(w)
        plan = plan_of(ran)
        assert plan.fetch == ran.report.bytes_fetched == 2 * MIB + 1
        assert plan.shared == 2 * MIB
        assert len(ran.of(FileVerified)) == 3
        again = await ended(w)
        assert again.report.bytes_fetched == 0


async def test_a_model_is_certified_once() -> None:
    """Two contents of a component arrive while it is published: both of their tasks settle it."""
    certified = list[str]()

    class Publisher:
        async def certify(self, work: ModelWork) -> None:
            certified.append(work.model.name)
            await asyncio.sleep(0.01)
            work.ready = True

        async def drop_parts(self, work: ModelWork, busy: object) -> None:
            pass

    run: Any = Run.__new__(Run)
    component: Any = SimpleNamespace(published=True, error=None)
    run._works = [ModelWork(Model("made", RepoId("made", "Repo")), [component])]
    run._publisher, run._settled, run._planner = Publisher(), asyncio.Event(), SimpleNamespace(jobs={})
    await asyncio.gather(run._settle_works(component), run._settle_works(component))
    assert certified == ["made"]


@pytest.mark.parametrize(
    "raises",
    [
        "while fetching",
        pytest.param(
            "when up to date",
        ),
    ],
)
async def test_a_listener_that_raises(raises: str, tmp_path: Path) -> None:
    def broken(event: Event) -> None:
        raise RuntimeError(event.name)

    from acestep_fetch.api import fetch_async

    async with hubs(tmp_path, {"a.bin": 3000}) as w:
        report = await fetch_async(w.options(), broken)
        assert report.exit_code == 0
        assert is_copy(w)
        if raises == "when up to date":
            again = await asyncio.to_thread(fetch, options=w.options(), on_event=broken)
            assert again.exit_code == 0


async def test_two_runs_at_once_on_two_folders(tmp_path: Path) -> None:
    async with hubs(tmp_path, {"a.bin": 4 * MIB, "b.json": 300}, throttle=4e6) as w:
        folders = [tmp_path / "one", tmp_path / "two"]
        async with asyncio.TaskGroup() as group:
            runs = [group.create_task(ended(w, directory=folder)) for folder in folders]
        for run, folder in zip(runs, folders, strict=True):
            assert run.result().report.exit_code == 0
            assert tree_digests(folder / "Repo") == tree_digests(w.roots[HF] / REPO)
            assert isinstance(run.result().events[-1], RunFinished)


async def test_the_rate_limit_holds_and_is_no_stall(tmp_path: Path) -> None:
    rate = 2 * MIB
    async with hubs(tmp_path, {"a.bin": 3 * MIB, "b.bin": 200_000}, stall_timeout=0.3, connections=16) as w:
        ran = await ended(w, limit_rate=rate)
        assert ran.report.exit_code == 0
        assert is_copy(w)
        count = sum(event.count for event in ran.of(BytesReceived))
        assert count == 3 * MIB + 200_000
        assert 0.6 < count / rate / ran.report.seconds < 1.15
        assert "silent" not in ran.said


async def test_what_a_kill_and_a_loss_of_power_cost_is_told(tmp_path: Path) -> None:
    async with hubs(tmp_path, {"a.bin": 2 * MIB}) as w:
        ran = await ended(w)
        assert [e.text for e in ran.of(Detail) if "a kill costs at most 4 MiB a connection" in e.text]
        again = await ended(w, force=False)
        assert not [e.text for e in again.of(Detail) if "a kill costs" in e.text]
