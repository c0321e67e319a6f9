"""The last bytes of a flight that a second one fetches too: whoever is first ends the other, and no byte is lost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from acestep_fetch.core import stealing
from acestep_fetch.core.errors import NetworkError
from acestep_fetch.core.model import RemoteFile
from acestep_fetch.core.spans import Span, SpanSet
from acestep_fetch.engine.sources import Place, Source
from acestep_fetch.engine.transfer import Flight, Transfer
from acestep_fetch.engine.workload import Workload
from acestep_fetch.options import Options
from tests.engine.conftest import MIB, ended, hubs, is_copy
from tests.scenarios.conftest import HF, MS
from tests.support.faults import Action, Cut, DropConnection, IgnoreRange, Rule, Status, Throttle, Truncate
from tests.support.recorder import Kind

NOW = 100.0


def _books(remaining: int = MIB // 2, speed: float = 1e4, *, age: float = 5.0) -> tuple[Workload, Source, Flight]:
    """One flight under way with so many bytes to come, and a source that usually brings a megabyte a second."""
    context: Any = SimpleNamespace(options=Options(), clock=lambda: NOW, emit=lambda event: None)
    hub: Any = SimpleNamespace(name=HF, resolver_slots=4)
    transport: Any = None
    source = Source(hub, transport, context)
    source.score = replace(source.score, speed=1e6)
    workload = Workload(context, [source], lambda: None)
    snapshot: Any = SimpleNamespace(commit="c")
    size = 4 * MIB
    transfer = Transfer(
        RemoteFile("a", size, git_sha1="0" * 40), "a", {HF: Place(snapshot, "a", size)}, {HF}, missing=SpanSet()
    )
    workload.add(transfer)
    flight = Flight(transfer, source, 0, size, NOW - age)
    workload.take_off(flight)
    flight.offset, flight.speed, flight.last_byte = size - remaining, speed, NOW
    return workload, source, flight


def _hedged(**how: Any) -> tuple[Workload, Flight, Flight]:
    workload, source, flight = _books(**how)
    flight.hedge = None
    hedge = workload._hedging(source)
    assert hedge
    workload.take_off(hedge)
    return workload, flight, hedge


def test_a_slow_last_flight_is_hedged_once() -> None:
    workload, flight, hedge = _hedged()
    assert (hedge.start, hedge.stop) == (flight.offset, flight.stop)
    assert workload._hedging(flight.source) is None


@pytest.mark.parametrize(
    "how",
    [
        {"speed": 1e6},  # it ends before the hedge could
        {"remaining": 2 * MIB},  # too much to fetch twice
        {"age": 0.1, "speed": 0.0},  # it has not had the time to show what it can do
    ],
)
def test_what_is_not_worth_a_hedge(how: dict[str, Any]) -> None:
    workload, source, _ = _books(**how)
    assert workload._hedging(source) is None


def test_a_hedge_that_has_all_bytes_ends_its_rival_and_writes_what_that_has_not_brought() -> None:
    workload, flight, hedge = _hedged()
    flight.offset += 1000
    hedge.offset = hedge.stop
    span = hedge.overtake()
    assert span == Span(flight.offset, hedge.stop)
    assert flight.remaining == 0
    workload.land(flight)
    assert not flight.transfer.missing
    hedge.kept = hedge.stop
    workload.land(hedge)
    assert not flight.transfer.missing


def test_a_rival_that_is_whole_needs_no_hedge() -> None:
    workload, flight, hedge = _hedged()
    flight.offset = flight.stop
    workload.land(flight)
    hedge.offset += 10
    workload.land(hedge)
    assert not flight.transfer.missing
    assert not flight.transfer.flights


def test_what_a_failed_rival_leaves_is_owed_by_the_hedge() -> None:
    workload, flight, hedge = _hedged()
    flight.offset += 1000
    left = Span(flight.offset, flight.stop)
    workload.land(flight)
    assert not flight.transfer.missing
    hedge.offset += 10
    workload.land(hedge)
    assert list(flight.transfer.missing) == [left]


def test_a_failed_hedge_leaves_everything_to_its_rival() -> None:
    workload, flight, hedge = _hedged()
    workload.land(hedge)
    assert not flight.transfer.missing
    assert flight.hedge is None
    workload.land(flight)
    assert list(flight.transfer.missing) == [flight.owed]


def test_a_connection_asks_for_the_next_span_while_another_one_ends_where_the_line_is_fast() -> None:
    workload, source, flight = _books(remaining=1000, speed=1e6)
    source.pace = replace(source.pace, limit=1, base=1)
    assert not workload.has_room(source)
    source.pace = replace(source.pace, limit=16, base=16)
    for _ in range(15):
        other = Flight(flight.transfer, source, 0, MIB, NOW)
        workload.take_off(other)
    assert source.active == 16
    assert workload.has_room(source)
    workload.take_off(Flight(flight.transfer, source, 0, MIB, NOW))
    assert not workload.has_room(source)


def test_a_flight_with_a_hedge_is_not_shed() -> None:
    """Else its tail would have two owners: whoever takes what is missing, and the hedge."""
    workload, flight, hedge = _hedged()
    flight.source.pace = replace(flight.source.pace, limit=0)
    workload.shed(flight.source)
    assert flight.stop == hedge.stop
    assert not flight.transfer.missing


def test_nothing_more_is_fetched_of_a_transfer_that_has_failed() -> None:
    workload, source, flight = _books()
    flight.transfer.missing.add(Span(0, MIB))
    flight.transfer.fail(NetworkError("not needed any more"))
    assert workload.next(source) is None


@pytest.mark.parametrize(
    "fault", [Status(503), IgnoreRange(), Truncate(100_000, Cut.SHORT_LENGTH), DropConnection()], ids=str
)
async def test_a_hub_that_cannot_hedge_is_not_asked_on_and_on(
    fault: Action, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stealing, "WORTH_STEALING", 1e9)
    crawl = Rule(Throttle(150_000), kind=Kind.CONTENT, path="a.bin", first=1)
    refused = Rule(fault, kind=Kind.CONTENT, path="a.bin", after=2)
    async with hubs(tmp_path, {"a.bin": 3 * MIB}, hf=[crawl], ms=[refused], throttle=3e6, stall_timeout=60) as w:
        ran = await ended(w, 20)
        assert ran.report.exit_code == 0, ran.said[-2000:]
        assert is_copy(w)
        assert len(w.hubs[MS].recorder.entries) < 60


async def test_a_crawling_tail_is_brought_by_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stealing, "WORTH_STEALING", 1e9)  # or a thief would have it first
    crawl = Rule(Throttle(60_000), kind=Kind.CONTENT, path="a.bin", first=1)
    async with hubs(tmp_path, {"a.bin": 8 * MIB, "b.bin": 3 * MIB}, hf=[crawl], throttle=3e6, stall_timeout=60) as w:
        ran = await ended(w, 2)  # the crawling connection alone would take 17 s, and is not ended as such in 60
        assert ran.report.exit_code == 0, ran.said[-2000:]
        assert is_copy(w)
        assert ran.report.bytes_fetched == sum(ran.report.by_source.values()) == 11 * MIB
