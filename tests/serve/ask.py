"""One request, answered whole."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL


@dataclass(frozen=True)
class Answer:
    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def location(self) -> str:
        return self.headers["Location"]


async def ask(web: aiohttp.ClientSession, url: str, method: str = "GET", **headers: str) -> Answer:
    """Asks without following redirects; `headers` are named with "_" for "-", and the URL is sent as it is."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    target = URL(url, encoded=True)
    async with web.request(method, target, headers=named, allow_redirects=False) as reply:
        return Answer(reply.status, reply.headers, await reply.read())


async def signed(web: aiohttp.ClientSession, hub: str, repo: str, path: str) -> str:
    """The signed address of a large file, from Hugging Face's resolver."""
    return (await ask(web, f"{hub}/{repo}/resolve/main/{path}")).location
