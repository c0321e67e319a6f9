"""The byte streams and the environment's proxy."""

from __future__ import annotations

from pathlib import Path

import pytest

from acestep_fetch.core.interfaces import Request
from acestep_fetch.transport.streams import Streams
from tests.hubs.scripted import Answer, ScriptedServer


async def _read(transport: Streams, url: str, headers: dict[str, str]) -> bytes:
    async with transport.get(Request(url, headers)) as body:
        return await body.read()


async def test_this_machine_is_asked_directly_and_others_by_proxy(
    monkeypatch: pytest.MonkeyPatch, server: ScriptedServer
) -> None:
    monkeypatch.setenv("HTTP_PROXY", server.origin)
    server.on("/direct", Answer(200, b"direct"))
    server.on("http://hub.example/x", Answer(200, b"by proxy"))
    async with Streams(connect_timeout=5.0) as transport:
        for _ in range(3):
            assert await _read(transport, server.origin + "/direct", {}) == b"direct"
            assert await _read(transport, "http://hub.example/x", {}) == b"by proxy"


async def test_a_netrc_does_not_get_in_the_way_of_a_token(
    monkeypatch: pytest.MonkeyPatch, server: ScriptedServer, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    server.on("/file", Answer(200, b"bytes"))
    async with Streams(connect_timeout=5.0) as transport:
        assert await _read(transport, server.origin + "/file", {"Authorization": "Bearer hf_x"}) == b"bytes"
        assert await _read(transport, server.origin + "/file", {}) == b"bytes"
    assert [asked.headers.get("authorization") for asked in server.asked] == ["Bearer hf_x", None]
