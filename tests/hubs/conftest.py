from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from acestep_fetch.hubs import Patience
from acestep_fetch.transport.api import HttpxApi
from tests.hubs.scripted import FakeTime, ScriptedServer, scripted_server


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with scripted_server() as running:
        yield running


@pytest.fixture
async def other() -> AsyncIterator[ScriptedServer]:
    async with scripted_server() as running:
        yield running


@pytest.fixture
async def api() -> AsyncIterator[HttpxApi]:
    async with HttpxApi() as opened:
        yield opened


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def patience(time: FakeTime) -> Patience:
    return Patience(request=0.5, sleep=time.sleep, clock=time.clock, jitter=lambda: 0.0, now=lambda: 1_800_000_000.0)
