"""The connections: workers that ask for work, fetch it and report.

Every source has as many workers as it may have connections. A failed transfer is a result, not an exception; its
siblings go on. Disk errors end everything, because they would hit the next file as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from acestep_fetch.core.errors import SourceError
from acestep_fetch.engine.blame import Blame
from acestep_fetch.engine.context import Context
from acestep_fetch.engine.flight import fetch_hedge, fetch_small, fetch_span
from acestep_fetch.engine.limits import Budget
from acestep_fetch.engine.sources import Source
from acestep_fetch.engine.transfer import Flight
from acestep_fetch.engine.watch import Watch
from acestep_fetch.engine.workload import Workload
from acestep_fetch.storage import platform

_IDLE: Final = 1.0  # seconds after which an idle worker looks again by itself


class Scheduler:
    """Runs workers until it is cancelled."""

    def __init__(self, context: Context, sources: Iterable[Source]) -> None:
        self.workload = Workload(context, sources, self.wake)
        self.blame = Blame(context, self.workload.sources)
        self._context = context
        self.budget = Budget(context.options.limit_rate, context.clock, context.pulse.beat)
        self._changed = asyncio.Event()

    def wake(self) -> None:
        """Something changed: idle workers look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Works until cancelled. Raises what the disk raises."""
        self._context.pulse.explain(self.workload.describe)
        watch = Watch(self._context, self.workload, self.blame, self.wake)
        async with asyncio.TaskGroup() as group:
            for source in self.workload.sources.values():
                for index in range(source.most):
                    group.create_task(self._work(source), name=f"{source.name}-{index}")
            group.create_task(watch.run(), name="watch")

    async def _work(self, source: Source) -> None:
        while True:
            changed = self._changed
            async with source.slots:
                pause = source.pause(self._context.clock())
                spare = not self.workload.has_room(source)
                flight = None if pause else self.workload.next(source, spare=spare)
                if flight:
                    await self._fly(flight)
                    continue
            await _wait(changed, pause or _IDLE)

    async def _fly(self, flight: Flight) -> None:
        transfer = flight.transfer
        self.workload.take_off(flight)
        try:
            fetch = fetch_small if transfer.small else fetch_hedge if flight.is_hedge else fetch_span
            await fetch(flight, self._context, self.budget)
        except SourceError as error:
            if flight.owed or (flight.rival and flight.rival.remaining):  # if not, another connection brought it all
                self.blame.failed(flight, error)
        except OSError as exc:
            raise platform.explain(exc, transfer.label) from exc
        else:
            transfer.strikes.pop(flight.source.name, None)
            if flight.is_trial:
                flight.source.agreed(transfer.places[flight.source.name])
        finally:
            self.workload.land(flight)


async def _wait(changed: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await changed.wait()
    except TimeoutError:
        pass
