"""Many small files: both hubs at once, few requests, and no version but the truth's."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web

from acestep_fetch.core.events import FileVerified, SourceSwitched
from acestep_fetch.core.model import HubName
from tests.engine.conftest import MIB, REPO, ended, hubs, is_copy, other
from tests.scenarios.conftest import HF, MS, Ran, World
from tests.support.faults import Action, Delay, FlipBit, JsonErrorAsFile, Rule, Status
from tests.support.recorder import Entry, Kind

COUNT = 150
FILES = {f"{n // 50}/{n}.json": 2000 + n for n in range(COUNT)}
CACHE = "/api/resolve-cache/"


def asked(world: World, hub: HubName) -> list[Entry]:
    """The requests for files."""
    return world.hubs[hub].recorder.of(Kind.RESOLVER)


def shares(ran: Ran) -> Counter[str]:
    """How many files came from which hub."""
    return Counter(name for event in ran.of(FileVerified) for name in event.by_source)


async def test_both_hubs_serve_them_with_one_request_each(tmp_path: Path) -> None:
    """Hugging Face lists git's ids and ModelScope sha256, so nothing is proven equal before it is here."""
    async with hubs(tmp_path, FILES) as w:
        ran = await ended(w)
        assert ran.report.exit_code == 0
        assert is_copy(w)
        assert min(shares(ran)[hub.value] for hub in HubName) > COUNT // 10
        assert len(asked(w, HF)) + len(asked(w, MS)) == COUNT


async def test_modelscope_as_the_truth_shares_them_too(tmp_path: Path) -> None:
    async with hubs(tmp_path, FILES) as w:
        ran = await ended(w, prefer=MS)
        assert ran.report.exit_code == 0
        assert is_copy(w, MS)
        assert min(shares(ran)[hub.value] for hub in HubName) > COUNT // 10


async def test_another_version_never_lands_and_is_soon_not_asked_any_more(tmp_path: Path) -> None:
    theirs = {path: other(int(size), b"another") for path, size in FILES.items()}
    async with hubs(tmp_path, FILES, theirs) as w:
        ran = await ended(w)
        assert ran.report.exit_code == 0
        assert is_copy(w)
        assert 1 <= len(asked(w, MS)) <= 3
        assert shares(ran) == Counter({HF.value: COUNT})


async def test_one_file_that_differs_costs_one_request(tmp_path: Path) -> None:
    path = "1/70.json"
    async with hubs(tmp_path, FILES, {**FILES, path: other(FILES[path], b"another")}) as w:
        ran = await ended(w)
        assert ran.report.exit_code == 0
        assert is_copy(w)
        wrong = [entry for entry in asked(w, MS) if entry.file == path]
        assert len(wrong) <= 1
        assert len(asked(w, HF)) + len(asked(w, MS)) == COUNT + len(wrong)


async def test_another_version_is_all_there_is(tmp_path: Path) -> None:
    """The truth cannot be had, and what may be had is not the truth: the whole component moves."""
    theirs = {path: other(int(size), b"another") for path, size in FILES.items()}
    async with hubs(tmp_path, FILES, theirs, hf=[Rule(Status(404), kind=Kind.RESOLVER)]) as w:
        ran = await ended(w)
        assert ran.report.exit_code == 0
        assert is_copy(w, MS)


@pytest.mark.parametrize("nth", [1, 2])
async def test_an_address_that_is_refused_is_not_made_up_again(nth: int, tmp_path: Path) -> None:
    refused = Rule(Status(404), path=CACHE, nth=nth)
    async with hubs(tmp_path, FILES, hf=[refused], connections=1) as w:
        await w.hubs[MS].kill()
        ran = await ended(w, 30)
        assert ran.report.exit_code == 0
        assert is_copy(w)
        statuses = Counter(entry.status for entry in asked(w, HF))
        assert statuses == {307: COUNT + 1 - nth, 206: COUNT, 404: 1}


@pytest.mark.parametrize("fault", [Status(404), FlipBit(7), JsonErrorAsFile()], ids=lambda fault: type(fault).__name__)
async def test_the_other_hub_has_what_the_first_has_not(fault: Action, tmp_path: Path) -> None:
    broken = Rule(fault, kind=Kind.RESOLVER)
    async with hubs(tmp_path, {"one.json": 2000}, hf=[broken]) as w:  # Hugging Face's connections look for work first
        ran = await ended(w)
        assert ran.report.exit_code == 0
        assert is_copy(w)
        assert broken.seen
        assert [event.source for event in ran.of(SourceSwitched)] == [HF]
        assert shares(ran) == Counter({MS.value: 1})


@dataclass(frozen=True)
class Straight(Action):
    """The bytes from ``/resolve/`` itself, as it is for private repositories."""

    root: Path

    async def instead(self, request: web.Request) -> web.StreamResponse:
        data = (self.root / REPO / request.match_info["path"]).read_bytes()
        said = {"Content-Range": f"bytes 0-{len(data) - 1}/{len(data)}"}
        return web.Response(status=206, body=data, headers=said)


async def test_a_resolver_without_redirects(tmp_path: Path) -> None:
    straight = Rule(Straight(tmp_path / "hubs" / HF.value), path="/made/Repo/resolve/")
    async with hubs(tmp_path, FILES, hf=[straight, Rule(Status(401), path=CACHE)]) as w:
        await w.hubs[MS].kill()
        ran = await ended(w, 30)
        assert ran.report.exit_code == 0
        assert is_copy(w)
        assert Counter(entry.status for entry in asked(w, HF)) == {206: COUNT, 401: 1}


async def test_nobody_waits_long_for_the_first_answer(tmp_path: Path) -> None:
    """The request that would tell whether addresses can be made up is never answered."""
    never = Rule(Delay(None), kind=Kind.RESOLVER, nth=1)
    async with hubs(tmp_path, FILES, hf=[never]) as w:
        await w.hubs[MS].kill()
        ran = await ended(w, 30)
        assert ran.report.exit_code == 0
        assert is_copy(w)
        first, second, *_ = asked(w, HF)
        assert second.at - first.at < 2.5  # long before the silent one is replaced


async def test_a_lie_behind_a_made_up_address(tmp_path: Path) -> None:
    lie = Rule(FlipBit(7), path=CACHE, nth=3)
    async with hubs(tmp_path, FILES, hf=[lie]) as w:
        ran = await ended(w)
        assert ran.report.exit_code == 0
        assert is_copy(w)
        assert lie.seen >= 3
        assert Counter(entry.status for entry in asked(w, HF))[307] > 0  # from there on the resolver is asked again


async def test_large_and_small_ones_share_the_way(tmp_path: Path) -> None:
    """Neither waits for the end of the other."""
    files = {**FILES, **{f"{n}.safetensors": 3 * MIB for n in range(3)}}
    async with hubs(tmp_path, files, throttle=1.5e6, connections=4) as w:
        ran = await ended(w, 30)
        assert ran.report.exit_code == 0
        assert is_copy(w)
        order = [event.path.endswith(".json") for event in ran.of(FileVerified)]
        assert order.index(False) > COUNT // 10  # small ones did not wait for the large ones
    started = [entry for hub in HubName for entry in w.hubs[hub].recorder.of(Kind.CONTENT)]
    assert min(entry.at for entry in started) < max(entry.at for hub in HubName for entry in asked(w, hub))
