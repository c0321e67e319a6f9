"""What every part of the engine is handed: the disk, the clock, chance, and whom to tell."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from acestep_fetch.core.events import Event, Listener
from acestep_fetch.options import Options
from acestep_fetch.storage.layout import Layout
from acestep_fetch.storage.threads import Disk

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Context:
    """`clock` is monotonic seconds, `wall` epoch seconds, `jitter` a draw from [0, 1)."""

    options: Options
    layout: Layout
    disk: Disk
    listener: Listener
    jitter: Callable[[], float] = random.random
    wall: Callable[[], float] = time.time

    def clock(self) -> float:
        return asyncio.get_running_loop().time()

    def emit(self, event: Event) -> None:
        """Tells the listener. One that raises is logged; it never harms a download."""
        try:
            self.listener(event)
        except Exception:  # whatever a listener of somebody else's raises
            _log.exception("a listener failed on %s", event.name)
