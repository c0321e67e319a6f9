from __future__ import annotations

import os
from pathlib import Path

import aiohttp
import pytest

from acestep_fetch.core.spans import Span
from acestep_fetch.serve.content import UnsatisfiableRangeError, parse_range
from acestep_fetch.serve.signing import Signer
from tests.serve.ask import ask, signed
from tests.serve.conftest import BIG, REPO
from tests.support.hub import ServedHub, serving
from tests.support.trees import content_of, make_repo

MODEL = "sub/model.safetensors"


@pytest.mark.parametrize(
    ("header", "span"),
    [
        (None, None),
        ("bytes=0-0", Span(0, 1)),
        ("bytes=10-19", Span(10, 20)),
        ("bytes=90-999", Span(90, 100)),
        ("bytes=90-", Span(90, 100)),
        ("bytes=-5", Span(95, 100)),
        ("bytes=-500", Span(0, 100)),
        ("bytes=5-4", None),
        ("bytes=-", None),
        ("bytes=0-1,5-6", None),
        ("items=0-1", None),
        ("bytes=a-b", None),
    ],
)
def test_ranges_are_read_as_the_rfc_says(header: str | None, span: Span | None) -> None:
    assert parse_range(header, 100) == span


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_a_range_past_the_end_cannot_be_satisfied(header: str) -> None:
    with pytest.raises(UnsatisfiableRangeError):
        parse_range(header, 100)


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-99", 0, 100),
        ("bytes=299990-", 299_990, 300_000),
        ("bytes=-7", 299_993, 300_000),
        ("bytes=0-999999", 0, 300_000),
    ],
)
async def test_bytes_come_in_exact_ranges(
    web: aiohttp.ClientSession, hub: ServedHub, asked: str, start: int, stop: int
) -> None:
    answer = await ask(web, await signed(web, hub.url, REPO, MODEL), Range=asked)
    assert (answer.status, answer.body) == (206, BIG[start:stop])
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(BIG)}"
    assert answer.headers["Accept-Ranges"] == "bytes"


async def test_past_the_end_is_416(web: aiohttp.ClientSession, hub: ServedHub) -> None:
    answer = await ask(web, await signed(web, hub.url, REPO, MODEL), Range=f"bytes={len(BIG)}-")
    assert (answer.status, answer.headers["Content-Range"]) == (416, f"bytes */{len(BIG)}")


async def test_if_range_with_another_tag_brings_the_whole(web: aiohttp.ClientSession, hub: ServedHub) -> None:
    url = await signed(web, hub.url, REPO, MODEL)
    etag = (await ask(web, url, "HEAD")).headers["ETag"]
    assert (await ask(web, url, Range="bytes=0-1", If_Range=etag)).status == 206
    assert (await ask(web, url, Range="bytes=0-1", If_Range='"old"')).status == 200


async def test_a_large_file_arrives_in_one_piece(web: aiohttp.ClientSession, tmp_path: Path) -> None:
    content = content_of("large", 5_000_000)
    make_repo(tmp_path, REPO, {"m.bin": content})
    async with serving(tmp_path) as hub:
        assert (await ask(web, await signed(web, hub.url, REPO, "m.bin"))).body == content


async def test_an_expired_or_forged_address_is_refused(web: aiohttp.ClientSession, shelf: Path) -> None:
    async with serving(shelf, lifetime=-1) as hub:
        huggingface = await signed(web, hub.url, REPO, MODEL)
        modelscope = (await ask(web, f"{hub.url}/models/{REPO}/resolve/master/{MODEL}")).location
        bare = huggingface.partition("?")[0]
        for url in (huggingface, modelscope, bare):
            answer = await ask(web, url)
            assert answer.status == 403
            assert not answer.headers["Content-Type"].startswith("application/json")
            assert "X-Error-Code" not in answer.headers
    async with serving(shelf) as hub:
        url = await signed(web, hub.url, REPO, MODEL)
        assert (await ask(web, url.replace("Expires=1", "Expires=2"))).status == 403
        assert (await ask(web, url)).status == 200


def test_a_signature_is_good_until_its_time_and_for_its_file_only() -> None:
    now = 1000.0
    signer = Signer(lifetime=10, clock=lambda: now)
    for query in (signer.huggingface_query("ab"), signer.modelscope_query("ab")):
        now = 1000.0
        assert signer.accepts("ab", query)
        assert not signer.accepts("cd", query)
        assert not Signer().accepts("ab", query)
        now = 1010.0
        assert not signer.accepts("ab", query)
    assert not signer.accepts("ab", {})
    assert not signer.accepts("ab", {"auth_key": "x-é"})


@pytest.mark.parametrize(
    "path",
    [
        "..%2f..%2fsecret.txt",
        "%2e%2e/%2e%2e/secret.txt",
        "../../secret.txt",
        "sub/..%2f..%2f..%2fsecret.txt",
        "%2fetc%2fpasswd",
        "..%5c..%5csecret.txt",
        "sub/%00",
        "outside.txt",
        "linked/secret.txt",
        "loop/loop/config.json",
        ".git/config",
        ".cache/x",
        "part.bin.incomplete",
    ],
)
async def test_nothing_outside_or_hidden_is_served(web: aiohttp.ClientSession, shelf: Path, path: str) -> None:
    top = shelf / REPO
    (shelf / "secret.txt").write_text("not for you")
    (shelf.parent / "elsewhere").mkdir()
    (shelf.parent / "elsewhere/secret.txt").write_text("not for you")
    os.symlink(shelf.parent / "elsewhere/secret.txt", top / "outside.txt")
    os.symlink(shelf.parent / "elsewhere", top / "linked")
    os.symlink(top, top / "loop")
    os.symlink(top / "config.json", top / "inside.json")
    for hidden in (".git/config", ".cache/x", "part.bin.incomplete"):
        (top / hidden).parent.mkdir(exist_ok=True)
        (top / hidden).write_text("hidden")
    async with serving(shelf) as hub:
        for url in (
            f"/{REPO}/resolve/main/{path}",
            f"/models/{REPO}/resolve/master/{path}",
            f"/api/v1/models/{REPO}/repo?Revision=master&FilePath={path}",
            f"/lfs/{path}",
        ):
            answer = await ask(web, hub.url + url)
            assert answer.status in (401, 403, 404), url
            assert b"not for you" not in answer.body
        listed = (await ask(web, f"{hub.url}/api/models/{REPO}/tree/main?recursive=true")).json
        assert path not in {row["path"] for row in listed}
        assert (await ask(web, f"{hub.url}/models/{REPO}/resolve/master/inside.json")).body == b'{"a": 1}'


async def test_a_file_swapped_for_a_link_is_not_followed(web: aiohttp.ClientSession, shelf: Path) -> None:
    async with serving(shelf, rescan_after=1000) as hub:
        url = f"{hub.url}/models/{REPO}/resolve/master/config.json"
        assert (await ask(web, url)).status == 200
        target = shelf / REPO / "config.json"
        stat = target.stat()
        (shelf.parent / "outside").write_bytes(b"12345678")
        os.utime(shelf.parent / "outside", ns=(stat.st_atime_ns, stat.st_mtime_ns))
        target.unlink()
        os.symlink(shelf.parent / "outside", target)
        assert (await ask(web, url)).status == 404
