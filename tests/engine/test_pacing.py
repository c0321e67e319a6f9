"""What the engine makes of a pace: which connections get work, and which have to let go of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from acestep_fetch.core.model import HubName, RemoteFile
from acestep_fetch.core.pacing import START
from acestep_fetch.core.spans import Span, SpanSet
from acestep_fetch.engine.sources import Place, Source
from acestep_fetch.engine.transfer import Transfer
from acestep_fetch.engine.workload import Workload
from acestep_fetch.options import Options
from tests.engine.conftest import MIB, ended, hubs, is_copy
from tests.scenarios.conftest import HF
from tests.support.recorder import Kind


def _books(*sizes: int) -> tuple[Workload, Source]:
    context: Any = SimpleNamespace(options=Options(), clock=lambda: 1.0, emit=lambda event: None)
    hub: Any = SimpleNamespace(name=HF, resolver_slots=4)
    transport: Any = None
    source = Source(hub, transport, context)
    workload = Workload(context, [source], lambda: None)
    snapshot: Any = SimpleNamespace(commit="c")
    for number, size in enumerate(sizes):
        file = RemoteFile(f"{number}", size, git_sha1="0" * 40)
        transfer = Transfer(file, f"{number}", {HF: Place(snapshot, f"{number}", size)}, {HF})
        transfer.missing = SpanSet([Span(0, size)])
        workload.add(transfer)
    return workload, source


def test_connections_beyond_the_pace_carry_tiny_files_where_there_are_many() -> None:
    few, source = _books(*[4096] * 20)
    assert few.next(source, spare=True) is None
    many, source = _books(*[4096] * 200)
    assert many.next(source, spare=True)
    beside_large, source = _books(*[4096] * 200, 50 * MIB)
    assert beside_large.next(source, spare=True) is None
    not_tiny, source = _books(*[MIB] * 200)
    assert not_tiny.next(source, spare=True) is None
    assert not_tiny.next(source)


def test_shedding_cuts_the_newest_flights_and_loses_no_byte() -> None:
    workload, source = _books(100 * MIB)
    flights = [flight for _ in range(6) if (flight := workload.next(source))]
    for flight in flights:
        workload.take_off(flight)
        flight.offset = flight.start + MIB
    source.pace = replace(source.pace, limit=4)
    (transfer,) = workload.open
    missing = len(transfer.missing)
    cut = [flight.stop - flight.offset for flight in flights[4:]]
    workload.shed(source)
    assert [flight.remaining for flight in flights[4:]] == [0, 0]
    assert all(flight.remaining for flight in flights[:4])
    assert len(transfer.missing) == missing + sum(cut)
    workload.shed(source)
    assert len(transfer.missing) == missing + sum(cut)
    received = workload.received(source)
    workload.land(flights[-1])
    assert workload.received(source) == received == 6 * MIB


def test_a_flight_that_has_not_begun_is_not_cut() -> None:
    workload, source = _books(100 * MIB)
    flight = workload.next(source)
    assert flight
    workload.take_off(flight)
    source.pace = replace(source.pace, limit=0)
    workload.shed(source)
    assert flight.remaining


async def test_hubs_share_the_first_connections(tmp_path: Path) -> None:
    # Too slow for a fast line, and no hub is given more until its connections had 0.4 s to get up to speed. The spans
    # take a second: no connection is used twice before that.
    async with hubs(tmp_path, {"a.bin": 20 * MIB}, throttle=1e6) as w:
        ran = await ended(w, 60)
        assert ran.report.exit_code == 0
        assert is_copy(w)
        first = {}
        for hub in HubName:
            bodies = [e for e in w.hubs[hub].recorder.entries if e.kind is not Kind.API and e.status in (200, 206)]
            began = min(e.at for e in bodies)
            first[hub] = len({e.peer for e in bodies if e.at < began + 0.15})
        assert all(0 < number <= START for number in first.values())
        assert sum(first.values()) <= START
