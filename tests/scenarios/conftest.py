"""Two hubs on loopback with the same made-up main model, and runs against them."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest

from acestep_fetch.api import Report, fetch_async
from acestep_fetch.core.events import Event
from acestep_fetch.core.model import HubName
from acestep_fetch.options import Options
from tests.support.faults import Rule
from tests.support.hub import ServedHub, serving
from tests.support.recorder import Kind
from tests.support.trees import make_catalogue, tree_digests

HF, MS = HubName.HUGGINGFACE, HubName.MODELSCOPE
MAIN = "ACE-Step/Ace-Step1.5"
E = TypeVar("E", bound=Event)
SCALE = 0.01  # 101 MB in all; the DiT has 48 MB, so six pieces


@pytest.fixture(scope="session")
def trees(shared_trees: Path) -> Path:
    """`trees/<hub>/OWNER/NAME`: the main model as each hub has it."""
    for hub in HubName:
        make_catalogue(shared_trees / hub.value, scale=SCALE, hub=hub, models=["main"])
    return shared_trees


@dataclass
class Ran:
    """A run and everything it said."""

    report: Report
    events: list[Event]
    folder: Path

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def said(self) -> str:
        return "\n".join(str(event) for event in self.events)


@dataclass
class World:
    """Two hubs; `run` fetches from them into `folder`."""

    hubs: dict[HubName, ServedHub]
    roots: dict[HubName, Path]
    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)

    def options(self, **more: Any) -> Options:
        defaults: dict[str, Any] = {
            "directory": self.folder,
            "huggingface_endpoint": self.hubs[HF].url,
            "modelscope_endpoint": self.hubs[MS].url,
            "prefer": HF,
            "give_up_after": 8.0,
            "stall_timeout": 2.0,
            "connections": 6,
        }
        return Options(**{**defaults, **self.settings, **more})

    async def run(self, **more: Any) -> Ran:
        events = list[Event]()
        report = await fetch_async(self.options(**more), events.append)
        return Ran(report, events, self.folder)

    def is_right(self, truth: HubName = HF, *, but: Sequence[str] = ()) -> bool:
        """Whether the folder holds what `truth` has, byte for byte."""
        here, there = tree_digests(self.folder), tree_digests(self.roots[truth] / MAIN)
        return {p: d for p, d in here.items() if p not in but} == {p: d for p, d in there.items() if p not in but}

    def wrong_files(self) -> set[str]:
        """Files under their final names that neither hub has like that."""
        either = [tree_digests(root / MAIN) for root in self.roots.values()]
        return {p for p, d in tree_digests(self.folder).items() if d not in [tree.get(p) for tree in either]}

    def leftovers(self) -> list[str]:
        parts = self.folder / ".acestep-fetch" / "parts"
        return [path.name for path in parts.iterdir()] if parts.exists() else []

    def served(self, hub: HubName, kind: Kind | None = None) -> int:
        return sum(entry.sent for entry in self.hubs[hub].recorder.of(kind) if entry.kind is not Kind.API)


@asynccontextmanager
async def world(
    trees: Path,
    folder: Path,
    *,
    hf: Sequence[Rule] = (),
    ms: Sequence[Rule] = (),
    roots: dict[HubName, Path] | None = None,
    throttle: float | None = None,
    lifetime: float = 3600.0,
    **settings: Any,
) -> AsyncIterator[World]:
    """Two hubs with scripted faults."""
    places = {hub: trees / hub.value for hub in HubName} | (roots or {})
    async with (
        serving(places[HF], hub=HF, faults=hf, throttle=throttle, lifetime=lifetime) as one,
        serving(places[MS], hub=MS, faults=ms, throttle=throttle, lifetime=lifetime) as two,
    ):
        yield World({HF: one, MS: two}, places, folder, settings)


def copied(trees: Path, hub: HubName, into: Path) -> Path:
    """A copy of a hub's tree that a test may change."""
    shutil.copytree(trees / hub.value, into, copy_function=_link)
    return into


def _link(source: str, target: str) -> str:
    Path(target).hardlink_to(source)
    return target


def replace(file: Path, data: bytes) -> None:
    """Gives a linked file new content without touching the original."""
    file.unlink()
    file.write_bytes(data)
