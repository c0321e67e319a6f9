"""A server on a real socket that says what it is told to: one list of answers for each path, the last one repeats."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass(frozen=True)
class Answer:
    status: int = 200
    body: Any = b""  # bytes as they are, anything else as JSON
    headers: dict[str, str] = field(default_factory=dict)
    hang: bool = False


Script = Answer | Callable[["Asked"], Answer]


@dataclass(frozen=True)
class Asked:
    path: str  # as it came, with its escapes
    query: dict[str, str]
    headers: dict[str, str]  # lower-case names


class ScriptedServer:
    def __init__(self) -> None:
        self.origin = ""
        self.asked = list[Asked]()
        self.hold: Callable[[], Awaitable[object]] | None = None  # what each request waits for before its answer
        self._scripts = dict[str, list[Script]]()

    def on(self, path: str, *script: Script) -> None:
        self._scripts[path] = list(script)

    def paths(self) -> list[str]:
        return [asked.path for asked in self.asked]

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.raw_path.split("?")[0]
        headers = {name.lower(): value for name, value in request.headers.items()}
        asked = Asked(path, dict(request.query), headers)
        self.asked.append(asked)
        if self.hold:
            await self.hold()
        script = self._scripts.get(path, [Answer(418)])
        step = script.pop(0) if len(script) > 1 else script[0]
        answer = step if isinstance(step, Answer) else step(asked)
        if answer.hang:
            await asyncio.Event().wait()
        body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        return web.Response(status=answer.status, body=body, headers=answer.headers)


@asynccontextmanager
async def scripted_server() -> AsyncIterator[ScriptedServer]:
    server = ScriptedServer()
    runner = web.ServerRunner(web.Server(server._handle), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    server.origin = f"http://{host}:{port}"
    try:
        yield server
    finally:
        await runner.cleanup()


@dataclass
class FakeTime:
    """Sleeps cost nothing and are written down; the clock moves by them."""

    seconds: float = 0.0
    slept: list[float] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds

    def clock(self) -> float:
        return self.seconds
