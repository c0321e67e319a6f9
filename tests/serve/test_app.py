from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from acestep_fetch.serve import EmbeddedHub
from acestep_fetch.serve.app import _reachable
from tests.serve.ask import ask, signed
from tests.serve.conftest import BIG, REPO
from tests.support.hub import serving


async def test_the_embedded_hub_serves_while_the_block_lasts(web: aiohttp.ClientSession, shelf: Path) -> None:
    async with EmbeddedHub(shelf) as hub:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", hub.url)
        assert (await ask(web, await signed(web, hub.url, REPO, "sub/model.safetensors"))).body == BIG
    with pytest.raises(aiohttp.ClientConnectorError):
        await ask(web, hub.url)


async def test_a_port_that_is_taken_is_an_error(shelf: Path) -> None:
    async with EmbeddedHub(shelf) as hub:
        with pytest.raises(OSError, match="address already in use"):
            await EmbeddedHub(shelf, port=hub.port).__aenter__()


async def test_a_file_that_shrinks_under_way_breaks_the_connection(
    web: aiohttp.ClientSession, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acestep_fetch.serve.content.CHUNK", 1000)
    async with EmbeddedHub(shelf) as hub:
        target = shelf / REPO / "sub/model.safetensors"
        target.write_bytes(BIG * 100)  # more than the sockets' buffers take
        url = await signed(web, hub.url, REPO, "sub/model.safetensors")
        async with web.get(url) as reply:
            await reply.content.readexactly(1000)
            os.truncate(target, 5000)
            with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientOSError)):
                await reply.read()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_says_how_to_use_it_and_stops_on_a_signal(shelf: Path, number: signal.Signals) -> None:
    code = f"import sys, pathlib, acestep_fetch.serve as s; sys.exit(s.run(pathlib.Path({str(shelf)!r})))"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    first, at, *exports = (process.stdout.readline().strip() for _ in range(4))
    url = at.removeprefix("at ")
    assert first.startswith("serving 1 repository of ")
    assert exports == [f"export HF_ENDPOINT={url}", f"export MODELSCOPE_ENDPOINT={url}"]
    process.send_signal(number)
    _, errors = process.communicate(timeout=5)
    assert (process.returncode, errors) == (0, "")


async def test_all_addresses_are_told_by_the_machines_name(shelf: Path) -> None:
    async with EmbeddedHub(shelf, "0.0.0.0") as hub:
        assert _reachable(hub.url) == f"http://{socket.gethostname()}:{hub.port}"
        assert _reachable("http://10.0.0.1:80") == "http://10.0.0.1:80"


async def test_the_front_page_says_what_is_there(web: aiohttp.ClientSession, shelf: Path) -> None:
    async with EmbeddedHub(shelf) as hub:
        said = (await ask(web, f"{hub.url}/")).body.decode()
    assert REPO in said
    assert f"export HF_ENDPOINT={hub.url}" in said


@pytest.mark.parametrize("revision", ["main", "the commit"])
@pytest.mark.parametrize("path", ["config.json", "sub/model.safetensors"])
async def test_a_file_that_is_only_touched_is_served_on(
    web: aiohttp.ClientSession, shelf: Path, path: str, revision: str
) -> None:
    async with serving(shelf, rescan_after=1000) as hub:
        commit = (await ask(web, f"{hub.url}/api/models/{REPO}")).json["sha"]
        huggingface = f"{hub.url}/{REPO}/resolve/{'main' if revision == 'main' else commit}/{path}"
        modelscope = f"{hub.url}/models/{REPO}/resolve/{'master' if revision == 'main' else commit}/{path}"
        for seconds in (1, 2):
            os.utime(shelf / REPO / path, (seconds, seconds))
            for url in (huggingface, modelscope):
                async with web.get(url) as reply:  # with its redirects
                    assert (reply.status, await reply.read()) == (200, (shelf / REPO / path).read_bytes())


async def test_a_signed_address_outlives_a_touch(web: aiohttp.ClientSession, shelf: Path) -> None:
    async with serving(shelf, rescan_after=0) as hub:
        address = await signed(web, hub.url, REPO, "sub/model.safetensors")
        os.utime(shelf / REPO / "sub/model.safetensors", (1, 1))
        assert (await ask(web, address)).body == BIG


async def test_half_a_repository_is_never_listed(
    web: aiohttp.ClientSession, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr("acestep_fetch.serve.digests.compute_digests", fail)
    async with EmbeddedHub(shelf) as hub:
        for url in (f"/api/models/{REPO}", f"/api/v1/models/{REPO}/repo/files", f"/{REPO}/resolve/main/config.json"):
            answer = await ask(web, hub.url + url)
            assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
