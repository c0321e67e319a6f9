"""Two hubs that are not at loopback's own names, their bytes at a third address, and a run that fetches from them."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import trustme
from aiohttp import hdrs, web

from acestep_fetch.api import Report, fetch_async
from acestep_fetch.core.model import HubName
from acestep_fetch.options import Options
from tests.support.faults import Action, Rule
from tests.support.hub import ServedHub, serving
from tests.support.recorder import Kind
from tests.support.relay import Relay
from tests.support.trees import make_repo, tree_digests

REPO: Final = "made/Repo"
FILES: Final = {"model.safetensors": 12 << 20, "second.safetensors": 3 << 20, "config.json": 900, "vocab.json": 40_000}
HF_HOST: Final = "127.0.0.2"
MS_HOST: Final = "127.0.0.3"
CONTENT_HOST: Final = "127.0.0.4"
HOSTS: Final = {HubName.HUGGINGFACE: HF_HOST, HubName.MODELSCOPE: MS_HOST}


class Elsewhere(Action):
    """Large files' bytes are at another host."""

    def reshape(self, request: web.Request, relay: Relay) -> None:
        there = relay.headers.get(hdrs.LOCATION, "")
        if "/lfs/" in there:
            relay.headers[hdrs.LOCATION] = there.replace(str(request.url.host), CONTENT_HOST, 1)


def server_context(ca: trustme.CA, *names: str, **details: Any) -> ssl.SSLContext:
    """For a server with these names, certified by `ca`."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert(*(names or (HF_HOST, MS_HOST, CONTENT_HOST)), **details).configure_cert(context)
    return context


@dataclass
class World:
    hubs: dict[HubName, ServedHub]
    urls: dict[HubName, str]
    source: Path
    target: Path
    events: list[str] = field(default_factory=list)

    async def fetch(self, **settings: Any) -> Report:
        defaults: dict[str, Any] = {
            "directory": self.target,
            "models": (REPO,),
            "skip_main": True,
            "huggingface_endpoint": self.urls[HubName.HUGGINGFACE],
            "modelscope_endpoint": self.urls[HubName.MODELSCOPE],
            "prefer": HubName.HUGGINGFACE,
            "connections": 4,
            "give_up_after": 5.0,
        }
        return await fetch_async(Options(**{**defaults, **settings}), lambda event: self.events.append(repr(event)))

    def is_whole(self) -> bool:
        return tree_digests(self.target / "Repo") == tree_digests(self.source / REPO)

    def peers(self, hub: HubName | None = None) -> set[str]:
        """From which addresses the hubs were asked."""
        asked = [served for name, served in self.hubs.items() if hub in (None, name)]
        return {entry.peer[0] for served in asked for entry in served.recorder.entries}

    def hosts_asked(self) -> set[str]:
        """By the Host header: what was asked, wherever the connection came from."""
        found = (entry.headers["host"] for served in self.hubs.values() for entry in served.recorder.entries)
        return {host.rpartition(":")[0] for host in found}

    def kinds(self) -> set[Kind]:
        return {entry.kind for served in self.hubs.values() for entry in served.recorder.entries if entry.sent}


@asynccontextmanager
async def world(
    folder: Path,
    *,
    tls: ssl.SSLContext | None = None,
    faults: Iterable[Rule] = (),
    files: dict[str, int] | None = None,
    **settings: Any,
) -> AsyncIterator[World]:
    source = folder / "hub"
    make_repo(source, REPO, files or FILES)
    rules = [Rule(Elsewhere(), method=None), *faults]
    async with AsyncExitStack() as stack:
        hubs = {
            hub: await stack.enter_async_context(
                serving(source, hub=hub, host="0.0.0.0", ssl_context=tls, faults=rules, **settings)
            )
            for hub in HubName
        }
        scheme = "https" if tls else "http"
        urls = {hub: f"{scheme}://{HOSTS[hub]}:{served.port}" for hub, served in hubs.items()}
        yield World(hubs, urls, source, folder / "out")
