"""Each fault as a client sees it, over a real socket."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

from acestep_fetch.core.model import HubName
from tests.serve.ask import Answer, ask, signed
from tests.serve.conftest import BIG, REPO
from tests.support.faults import (
    Action,
    Cut,
    Delay,
    DropConnection,
    FlipBit,
    GzipBody,
    IgnoreRange,
    JsonErrorAsFile,
    Kind,
    RedirectLoop,
    Rule,
    ShiftContentRange,
    Stall,
    Status,
    Truncate,
    WrongTotal,
    too_many,
)
from tests.support.hub import ServedHub, ThreadedHub, serving

MODEL = "sub/model.safetensors"
CONFIG = f"/models/{REPO}/resolve/master/config.json"


async def content(web: aiohttp.ClientSession, hub: ServedHub, action: Action, **headers: str) -> Answer:
    """The large file's bytes, with `action` applied to them."""
    hub.faults.rules.append(Rule(action, kind=Kind.CONTENT, path=MODEL))
    return await ask(web, await signed(web, hub.url, REPO, MODEL), **headers)


@pytest.mark.parametrize("how", [Cut.CLOSE, Cut.RESET])
@pytest.mark.parametrize("after", [0, 1, 100_000])
async def test_a_body_that_breaks_off_delivers_what_came_before(
    web: aiohttp.ClientSession, hub: ServedHub, how: Cut, after: int
) -> None:
    hub.faults.rules.append(Rule(Truncate(after, how), kind=Kind.CONTENT))
    got = bytearray()

    async def read_all(reply: aiohttp.ClientResponse) -> None:
        while piece := await reply.content.readany():
            got.extend(piece)

    error = aiohttp.ClientPayloadError if how is Cut.CLOSE else (aiohttp.ClientPayloadError, aiohttp.ClientOSError)
    async with web.get(await signed(web, hub.url, REPO, MODEL)) as reply:
        assert reply.headers["Content-Length"] == str(len(BIG))
        with pytest.raises(error):
            await read_all(reply)
    assert got == BIG[:after]
    assert hub.recorder.sent_for(MODEL) == after


async def test_a_body_can_end_early_and_cleanly(web: aiohttp.ClientSession, hub: ServedHub) -> None:
    chunked = await content(web, hub, Truncate(1000, Cut.CHUNKED))
    assert (chunked.status, chunked.body) == (200, BIG[:1000])
    assert "Content-Length" not in chunked.headers
    hub.faults.rules.clear()
    short = await content(web, hub, Truncate(1000, Cut.SHORT_LENGTH), Range="bytes=500-9999")
    assert (short.status, short.body, short.headers["Content-Length"]) == (206, BIG[500:1500], "1000")


async def test_a_flipped_bit_is_in_the_replies_that_cover_it(web: aiohttp.ClientSession, hub: ServedHub) -> None:
    whole = await content(web, hub, FlipBit(at=150_000))
    assert [n for n in range(len(BIG)) if whole.body[n] != BIG[n]] == [150_000]
    url = await signed(web, hub.url, REPO, MODEL)
    assert (await ask(web, url, Range="bytes=150000-150001")).body[0] == BIG[150_000] ^ 1
    assert (await ask(web, url, Range="bytes=150001-150009")).body == BIG[150_001:150_010]


async def test_a_stall_is_silence_in_the_middle(web: aiohttp.ClientSession, hub: ServedHub) -> None:
    before = time.monotonic()
    assert (await content(web, hub, Stall(1000, seconds=0.2))).body == BIG
    assert time.monotonic() - before >= 0.2
    hub.faults.rules[:] = [Rule(Stall(1000), kind=Kind.CONTENT)]
    async with web.get(await signed(web, hub.url, REPO, MODEL)) as reply:
        assert await reply.content.readexactly(1000) == BIG[:1000]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reply.content.readany(), 0.1)
        assert hub.recorder.open == 1
    await until(lambda: hub.recorder.open == 0)


async def test_a_delay_comes_before_the_headers(web: aiohttp.ClientSession, hub: ServedHub) -> None:
    before = time.monotonic()
    assert (await content(web, hub, Delay(0.2))).status == 200
    assert time.monotonic() - before >= 0.2


async def test_ranges_can_be_ignored_or_misreported(web: aiohttp.ClientSession, hub: ServedHub) -> None:
    ignored = await content(web, hub, IgnoreRange(), Range="bytes=5-9")
    assert (ignored.status, ignored.body) == (200, BIG)
    hub.faults.rules.clear()
    shifted = await content(web, hub, ShiftContentRange(7), Range="bytes=5-9")
    assert (shifted.body, shifted.headers["Content-Range"]) == (BIG[5:10], f"bytes 12-16/{len(BIG)}")
    hub.faults.rules.clear()
    total = await content(web, hub, WrongTotal(-1), Range="bytes=5-9")
    assert (total.body, total.headers["Content-Range"]) == (BIG[5:10], f"bytes 5-9/{len(BIG) - 1}")


async def test_a_body_can_be_gzipped(web: aiohttp.ClientSession, hub: ServedHub) -> None:
    answer = await content(web, hub, GzipBody(), Range="bytes=5-9")
    assert (answer.status, answer.headers["Content-Encoding"]) == (200, "gzip")
    assert "Content-Length" not in answer.headers
    assert gzip.decompress(answer.body) == BIG


async def test_other_replies(web: aiohttp.ClientSession, hub: ServedHub) -> None:
    assert (await content(web, hub, Status(503, {"X": "y"}, b"no"))).headers["X"] == "y"
    hub.faults.rules.clear()
    assert (await content(web, hub, too_many(7))).headers["Retry-After"] == "7"
    hub.faults.rules.clear()
    assert (await content(web, hub, JsonErrorAsFile())).json["Code"] == 10990101007
    hub.faults.rules.clear()
    looped = await content(web, hub, RedirectLoop())
    assert looped.status == 302
    assert (await ask(web, hub.url + looped.location)).location == looped.location


async def test_a_dropped_connection_has_no_reply(web: aiohttp.ClientSession, hub: ServedHub) -> None:
    with pytest.raises(aiohttp.ClientConnectionError):
        await content(web, hub, DropConnection())


async def test_rules_count_what_they_match(web: aiohttp.ClientSession, hub: ServedHub) -> None:
    async def statuses(rule: Rule, count: int = 5) -> list[int]:
        hub.faults.rules[:] = [rule]
        return [(await ask(web, hub.url + CONFIG)).status for _ in range(count)]

    bad = Status(500)
    assert await statuses(Rule(bad, nth=2)) == [200, 500, 200, 200, 200]
    assert await statuses(Rule(bad, first=2)) == [500, 500, 200, 200, 200]
    assert await statuses(Rule(bad, after=3)) == [200, 200, 200, 500, 500]
    assert await statuses(Rule(bad, after=1, first=2)) == [200, 500, 500, 200, 200]
    assert await statuses(Rule(bad, path="*.json"), 1) == [500]
    assert await statuses(Rule(bad, path="models/ACE"), 1) == [500]
    assert await statuses(Rule(bad, path="vae/*"), 1) == [200]
    assert await statuses(Rule(bad, kind=Kind.API), 1) == [200]
    assert await statuses(Rule(bad, dialect=HubName.HUGGINGFACE), 1) == [200]
    assert await statuses(Rule(bad, method="HEAD"), 1) == [200]
    assert await statuses(Rule(bad, served=hub.recorder.bytes_sent + 9)) == [200, 200, 500, 500, 500]


async def test_a_throttle_holds_each_connection_to_its_rate(web: aiohttp.ClientSession, shelf: Path) -> None:
    async with serving(shelf, throttle=1_000_000) as hub:
        url = await signed(web, hub.url, REPO, MODEL)
        before = time.monotonic()
        await asyncio.gather(*(ask(web, url) for _ in range(2)))
        each = time.monotonic() - before
    async with serving(shelf, link=1_000_000) as hub:
        url = await signed(web, hub.url, REPO, MODEL)
        before = time.monotonic()
        await asyncio.gather(*(ask(web, url) for _ in range(2)))
        together = time.monotonic() - before
    assert each >= 0.29
    assert together >= 0.58


async def test_the_recorder_tells_what_was_asked(web: aiohttp.ClientSession, hub: ServedHub) -> None:
    await ask(web, f"{hub.url}/api/models/{REPO}")
    await ask(web, await signed(web, hub.url, REPO, MODEL), Range="bytes=5-9", X_Mark="me")
    await ask(web, hub.url + CONFIG)
    await ask(web, f"{hub.url}/api/v1/models/{REPO}/repo?FilePath=empty.txt")
    seen = hub.recorder
    assert seen.counts() == {Kind.API: 1, Kind.RESOLVER: 3, Kind.CONTENT: 1}
    (entry,) = seen.of(Kind.CONTENT)
    assert (entry.file, entry.range, entry.status, entry.sent) == (MODEL, "bytes=5-9", 206, 5)
    assert entry.headers["x-mark"] == "me"
    assert entry.seconds is not None
    assert [entry.file for entry in seen.of(dialect=HubName.MODELSCOPE)] == ["config.json", "empty.txt"]
    assert (seen.open, seen.most_open, seen.connections) == (0, 1, 1)
    (redirected,) = seen.of(file=MODEL, kind=Kind.RESOLVER)
    assert (redirected.status, redirected.sent) == (302, 0)


async def test_a_hub_can_speak_one_dialect_only(web: aiohttp.ClientSession, shelf: Path) -> None:
    async with serving(shelf, hub=HubName.HUGGINGFACE) as hub:
        assert (await ask(web, f"{hub.url}/api/models/{REPO}")).status == 200
        assert (await ask(web, await signed(web, hub.url, REPO, MODEL))).status == 200
        assert (await ask(web, hub.url + CONFIG)).status == 404


async def test_a_killed_hub_refuses_until_it_is_revived(web: aiohttp.ClientSession, shelf: Path) -> None:
    async with serving(shelf, faults=[Rule(Stall(1000, None), kind=Kind.CONTENT, first=1)]) as hub:
        url = await signed(web, hub.url, REPO, MODEL)
        async with web.get(url) as reply:
            await reply.content.readexactly(1000)
            await hub.kill()
            with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientOSError)):
                await reply.content.readany()
        with pytest.raises(aiohttp.ClientConnectorError):
            await ask(web, url)
        await hub.revive()
        assert (await ask(web, url)).body == BIG


async def test_a_threaded_hub_does_the_same(web: aiohttp.ClientSession, shelf: Path) -> None:
    with ThreadedHub(shelf) as hub:
        assert (await ask(web, hub.url + CONFIG)).status == 200
        hub.kill()
        with pytest.raises(aiohttp.ClientConnectionError):
            await ask(web, hub.url + CONFIG)
        hub.revive()
        assert (await ask(web, hub.url + CONFIG)).status == 200
        assert len(hub.recorder.entries) == 2


async def until(holds: Callable[[], bool], seconds: float = 2.0) -> None:
    """Waits for a condition that another task brings about."""
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.005)
