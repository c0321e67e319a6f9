"""Looks at the way to the hubs, with the transport of a run, all hosts at once and never for long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final

from acestep_fetch.catalogue import load_catalogue
from acestep_fetch.catalogue.models import MAIN
from acestep_fetch.core.errors import SourceError
from acestep_fetch.core.interfaces import Api, Hub
from acestep_fetch.core.model import HubName
from acestep_fetch.hubs import HuggingFace, ModelScope
from acestep_fetch.options import Options
from acestep_fetch.transport.api import HttpxApi
from acestep_fetch.transport.lookups import run_async
from acestep_fetch.transport.peek import Peeking, Steps
from acestep_fetch.transport.proxies import Proxies

PATIENCE: Final = 8.0  # seconds for all of it


@dataclass(frozen=True, slots=True)
class Asked:
    """One question of a run's: `status` and after how many `seconds`, or `error`."""

    seconds: float
    status: int | None = None
    error: SourceError | None = None


@dataclass(frozen=True, slots=True)
class HubFacts:
    name: HubName
    endpoint: str
    asked: Asked
    steps: Steps


@dataclass(frozen=True, slots=True)
class NetworkFacts:
    """`google` is what the probe asks to learn which hub is near; None where only one hub is asked, and nobody else."""

    hubs: tuple[HubFacts, ...]
    google: Asked | None


def look_at_network(options: Options, patience: float = PATIENCE) -> NetworkFacts:
    """Asks both hubs and the probe's address, or the only hub of `options`. Blocks for `patience` seconds at the most,
    and a moment for the rest.

    Raises `UsageError` for a proxy, an endpoint or certificates that cannot be used.
    """
    return run_async(_look(options, patience))


async def _look(options: Options, patience: float) -> NetworkFacts:
    connect = min(options.connect_timeout, patience)
    repo = load_catalogue().find(MAIN).repo
    proxies = Proxies.chosen(options.proxy, options.no_proxy)
    async with HttpxApi(connect_timeout=connect, ca_bundle=options.ca_bundle, proxies=proxies) as api:
        both: tuple[Hub, ...] = (
            HuggingFace(api, options.huggingface_endpoint, ""),
            ModelScope(api, options.modelscope_endpoint, ""),
        )
        hubs = [hub for hub in both if options.only in (None, hub.name)]
        async with Peeking(api.proxies, api.trust) as peeking, asyncio.TaskGroup() as group:
            google = None if options.only else group.create_task(_ask(_status(api, options.probe_url, patience)))
            asked = [group.create_task(_ask(hub.probe(repo, patience))) for hub in hubs]
            steps = [group.create_task(peeking.look(hub.endpoint, patience)) for hub in hubs]
    facts = zip(hubs, asked, steps, strict=True)
    return NetworkFacts(
        tuple(HubFacts(hub.name, hub.endpoint, one.result(), other.result()) for hub, one, other in facts),
        google.result() if google else None,
    )


async def _status(api: Api, url: str, patience: float) -> int:
    return (await api.get(url, timeout=patience)).status


async def _ask(question: Coroutine[Any, Any, int]) -> Asked:
    began = time.monotonic()
    try:
        status = await question
    except SourceError as error:
        return Asked(time.monotonic() - began, error=error)
    return Asked(time.monotonic() - began, status)
