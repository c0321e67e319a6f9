"""A small repository on a running hub, and a client that follows nothing by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.support.hub import ServedHub, serving
from tests.support.trees import content_of, make_repo

REPO = "ACE-Step/small"
BIG = content_of("big", 300_000)
FILES: dict[str, bytes | int] = {
    "config.json": b'{"a": 1}',
    "empty.txt": b"",
    ".gitattributes": b"* text\n",
    "sub/deep/übung 1.txt": b"hello",
    "sub/model.safetensors": BIG,
}


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    root = tmp_path / "shelf"
    make_repo(root, REPO, FILES)
    return root


@pytest.fixture
async def hub(shelf: Path) -> AsyncIterator[ServedHub]:
    async with serving(shelf) as hub:
        yield hub


@pytest.fixture
async def web() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield session
