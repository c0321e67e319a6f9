"""Small made-up repositories on two hubs, and runs that must end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from acestep_fetch.core.model import HubName
from tests.scenarios.conftest import HF, MAIN, MS, Ran, World, world
from tests.support.faults import Rule
from tests.support.trees import make_repo, tree_digests

REPO = "made/Repo"
MIB = 1 << 20
Files = Mapping[str, bytes | int]


@asynccontextmanager
async def hubs(
    tmp_path: Path,
    files: Files,
    theirs: Files | None = None,
    *,
    repo: str = REPO,
    hf: Sequence[Rule] = (),
    ms: Sequence[Rule] = (),
    throttle: float | None = None,
    **settings: Any,
) -> AsyncIterator[World]:
    """Two hubs with `files` as `repo`; ModelScope has `theirs`, if given."""
    roots = {hub: tmp_path / "hubs" / hub.value for hub in HubName}
    make_repo(roots[HF], repo, files)
    make_repo(roots[MS], repo, files if theirs is None else theirs)
    what = {} if repo == MAIN else {"models": (repo,), "skip_main": True}
    async with world(
        tmp_path, tmp_path / "out", hf=hf, ms=ms, roots=roots, throttle=throttle, **what, **settings
    ) as made:
        yield made


LOADED = 5  # a machine may be so many times slower than an idle one: these limits catch hangs, they do not time


async def ended(world: World, within: float = 8.0, **options: Any) -> Ran:
    """A run that must end by itself within so many seconds on an idle machine."""
    async with asyncio.timeout(within * LOADED):
        return await world.run(**options)


def is_copy(world: World, hub: HubName = HF, repo: str = REPO) -> bool:
    """Whether the repository's folder holds what `hub` has, byte for byte."""
    name = repo.split("/")[1]
    return tree_digests(world.folder / name) == tree_digests(world.roots[hub] / repo)


def other(data: int, flavour: bytes) -> bytes:
    """`data` bytes that differ from any made-up content."""
    return (flavour * (data // len(flavour) + 1))[:data]
