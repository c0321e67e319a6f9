"""Runs rows of the fault corpus side by side, most of whose time is waiting."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from acestep_fetch.api import Report, fetch_async
from acestep_fetch.core.events import Detail, Event, Waiting
from acestep_fetch.core.model import HubName
from acestep_fetch.options import Options
from tests.corpus.rows import FILES, Row
from tests.support.hub import serving
from tests.support.trees import make_repo, tree_digests

AT_ONCE: Final = 6
MOST_SECONDS: Final = 60.0
REPO: Final = "made/Repo"


@dataclass
class Silence:
    """The longest time in which a run told nothing, and had not said how long it would."""

    heard: float = field(default_factory=time.monotonic)
    longest: float = 0.0
    since: str = ""
    last: str = "the start"  # what was told

    def listen(self, event: Event) -> None:
        now = time.monotonic()
        if now - self.heard > self.longest:
            self.longest, self.since = now - self.heard, self.last
        if not isinstance(event, Detail):  # what only --verbose tells is no news
            self.last = str(event)
            self.heard = now + event.seconds if isinstance(event, Waiting) else now


@dataclass
class Outcome:
    """What a row did: the run with the fault, what lay under final names after it, and the run without."""

    report: Report | None = None
    said: list[str] = field(default_factory=list)
    silence: Silence = field(default_factory=Silence)
    wrong: set[str] = field(default_factory=set)
    whole: bool = False
    again: Report | None = None
    whole_again: bool = False
    leftovers: list[str] = field(default_factory=list)
    trouble: BaseException | None = None


def run_all(rows: Sequence[Row], folder: Path) -> dict[str, Outcome]:
    """The outcome of each row, by its name."""
    make_repo(folder / "hub", REPO, FILES)
    return asyncio.run(_all(rows, folder))


async def _all(rows: Sequence[Row], folder: Path) -> dict[str, Outcome]:
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(number: int, row: Row) -> Outcome:
        async with gate:
            outcome = Outcome()
            try:
                async with asyncio.timeout(MOST_SECONDS):
                    await _run(row, folder / "hub", folder / str(number), outcome)
            except (Exception, asyncio.CancelledError) as exc:
                outcome.trouble = exc
            return outcome

    done = await asyncio.gather(*(one(number, row) for number, row in enumerate(rows)))
    return {row.name: outcome for row, outcome in zip(rows, done, strict=True)}


async def _run(row: Row, root: Path, target: Path, outcome: Outcome) -> None:
    settings = dict(row.settings)
    of_hub = {name: settings.pop(name) for name in ("lifetime", "throttle") if name in settings}
    there = tree_digests(root / REPO)
    async with AsyncExitStack() as stack:
        hubs = {
            hub: await stack.enter_async_context(serving(root, hub=hub, faults=row.rules(hub), **of_hub))
            for hub in HubName
        }
        options = _options(target, {hub: served.url for hub, served in hubs.items()}, settings)
        outcome.silence = Silence()

        def listen(event: Event) -> None:
            outcome.said.append(str(event))
            outcome.silence.listen(event)

        outcome.report = await fetch_async(options, listen)
        here = tree_digests(target / "Repo") if (target / "Repo").exists() else {}
        outcome.wrong = {path for path, digest in here.items() if there.get(path) != digest}
        outcome.whole = here == there
        for served in hubs.values():
            served.faults.rules.clear()
        outcome.again = await fetch_async(options)
        outcome.whole_again = tree_digests(target / "Repo") == there
        parts = target / ".acestep-fetch" / "parts"
        outcome.leftovers = [path.name for path in parts.iterdir()] if parts.exists() else []


def _options(target: Path, urls: dict[HubName, str], settings: dict[str, Any]) -> Options:
    defaults: dict[str, Any] = {
        "directory": target,
        "models": (REPO,),
        "skip_main": True,
        "huggingface_endpoint": urls[HubName.HUGGINGFACE],
        "modelscope_endpoint": urls[HubName.MODELSCOPE],
        "prefer": HubName.HUGGINGFACE,
        "give_up_after": 3.0,
        "stall_timeout": 0.4,
        "connections": 4,
    }
    return Options(**{**defaults, **settings})
