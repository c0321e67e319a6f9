"""Both hubs against the embedded hub, which the official clients accept too: small pages, a low cut, one truth."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from acestep_fetch.core.errors import NotFoundError
from acestep_fetch.core.interfaces import Hub
from acestep_fetch.core.model import RepoId
from acestep_fetch.hubs import HuggingFace, ModelScope
from acestep_fetch.hubs.account import no_login
from acestep_fetch.serve.app import create_app
from acestep_fetch.serve.library import Library
from acestep_fetch.transport.api import HttpxApi

REPO = RepoId("ACE-Step", "Tiny")
FILES = {f"{folder}/{n} ü.json": f"{folder}{n}".encode() for folder in ("vae", "lm/deep") for n in range(4)}


@pytest.fixture
async def hubs(tmp_path: Path, api: HttpxApi) -> AsyncIterator[list[Hub]]:
    for path, content in FILES.items():
        target = tmp_path / str(REPO) / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    runner = web.AppRunner(create_app(Library(tmp_path), page=3, listed_at_most=6))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = "http://{}:{}".format(*runner.addresses[0][:2])
    yield [
        HuggingFace(api, url, find_login=no_login),
        ModelScope(api, url, find_login=no_login, listing_cap=6),
    ]
    await runner.cleanup()


async def test_both_list_the_same_files(hubs: list[Hub]) -> None:
    for hub in hubs:
        snapshot = await hub.list_files(REPO, None)
        assert {file.path: file.size for file in snapshot.files} == {path: len(data) for path, data in FILES.items()}
        assert len(snapshot.commit) == 40
        for file in snapshot.files:
            data = FILES[file.path]
            git = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
            assert file.digest is not None
            assert file.digest.hex in (hashlib.sha256(data).hexdigest(), git)
        assert await hub.list_files(REPO, snapshot.commit) == snapshot


async def test_what_is_located_is_there(hubs: list[Hub], api: HttpxApi) -> None:
    for hub in hubs:
        snapshot = await hub.list_files(REPO, None)
        for path, data in FILES.items():
            assert (await api.get(hub.locate(snapshot, path).url)).body == data
        missing = await api.get(hub.locate(snapshot, "nowhere").url)
        found = hub.explain(missing.status, missing.headers, missing.body)
        assert found is not None
        assert found.failure == "missing"


async def test_what_is_missing_is_missing(hubs: list[Hub]) -> None:
    for hub in hubs:
        assert await hub.probe(REPO, 3.0) == 200
        for repo, revision in ((REPO, "v9"), (RepoId("ACE-Step", "Nowhere"), None)):
            with pytest.raises(NotFoundError):
                await hub.list_files(repo, revision)
