"""What a run asks before it knows what it has to do: both hubs' lists and the probe, all at once.

The answers are a round trip away, and that time is not wasted: the byte transport and the rest of the engine are
imported meanwhile, and connections to both hubs opened. So this module, and what it imports, is kept small.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from acestep_fetch.core.budget import AHEAD
from acestep_fetch.core.interfaces import Api, Hub, Transport
from acestep_fetch.core.model import RepoId
from acestep_fetch.engine.context import Context
from acestep_fetch.engine.listing import Listings, Pins, Select
from acestep_fetch.engine.probe import race


@dataclass(frozen=True, slots=True)
class Network:
    """Everything that needs a socket, made only when it is needed."""

    hubs: Sequence[Hub]
    api: Api
    open_transport: Callable[
        [], Coroutine[Any, Any, Transport]
    ]  # slow to import, so it is called while the hubs are asked
    select: Select


class Opening:
    """The first questions of a run, under way in `group` until `close`. A run that fetches nothing has no transport."""

    def __init__(
        self,
        repos: Sequence[RepoId],
        network: Network,
        group: asyncio.TaskGroup,
        context: Context,
        pins: Pins,
    ) -> None:
        self.listings = Listings(group, network.hubs, network.select, context, pins)
        for repo in repos:
            self.listings.ask(repo)
        self.choice = group.create_task(race(network.hubs, network.api, repos[0], context), name="probe")
        self._network, self._group, self._connections = network, group, context.options.connections
        self._tasks = list[asyncio.Task[None]]()
        idle = context.options.dry_run or context.options.adopt_only
        self._transport = None if idle else group.create_task(self._open(), name="transport")

    async def transport(self) -> Transport | None:
        """The byte transport, once it is there."""
        return await self._transport if self._transport else None

    def meanwhile(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Lets `work` go on beside the run until `close`."""
        self._tasks.append(self._group.create_task(work, name=name))

    def close(self) -> None:
        """Whoever has not answered by now is not needed any more."""
        self.listings.cancel()
        for task in self._tasks:
            task.cancel()

    async def _open(self) -> Transport:
        transport = await self._network.open_transport()
        ahead = min(AHEAD, self._connections)
        for hub in self._network.hubs:
            self.meanwhile(transport.connect(hub.endpoint, ahead), f"connect {hub.name}")
        return transport
