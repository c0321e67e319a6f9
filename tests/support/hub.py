"""A hub to test against: the embedded one on a real socket, recorded, with faults, to be killed and revived."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from ssl import SSLContext
from types import TracebackType
from typing import Any, Self, TypeVar

from aiohttp import web

from acestep_fetch.core.model import HubName
from acestep_fetch.serve.app import create_app
from acestep_fetch.serve.huggingface import PAGE
from acestep_fetch.serve.library import LFS_FROM, Library
from acestep_fetch.serve.modelscope import LISTED_AT_MOST
from acestep_fetch.serve.signing import LIFETIME
from tests.support.faults import Faults, Rule, Throttle
from tests.support.recorder import Handler, Kind, Recorder, dialect_of, kind_of
from tests.support.relay import reset

T = TypeVar("T")


@dataclass(frozen=True)
class Setup:
    """How a hub is built; the defaults are the product's. `hub` makes it speak that hub's dialect only.

    `throttle` is bytes a second for each connection, `link` for all together.
    """

    root: Path
    hub: HubName | None = None
    faults: Iterable[Rule] = ()
    throttle: float | None = None
    link: float | None = None
    page: int = PAGE
    listed_at_most: int = LISTED_AT_MOST
    lifetime: float = LIFETIME
    lfs_from: int = LFS_FROM
    checkpoints: bool | None = None
    renamed: Mapping[str, str] | None = None
    rescan_after: float = 1.0
    ssl_context: SSLContext | None = None
    host: str = "127.0.0.1"
    port: int = 0


class ServedHub:
    """A running hub. `faults.rules` may be changed at any time."""

    def __init__(self, setup: Setup) -> None:
        rules = list(setup.faults)
        if setup.throttle or setup.link:
            rules.append(Rule(Throttle(setup.throttle, total=setup.link), method=None))
        self.setup, self.faults, self.recorder = setup, Faults(rules), Recorder()
        self.port = setup.port
        self._reserved: socket.socket | None = None
        self._site: web.SockSite | None = None
        self._runner = web.AppRunner(
            self._app(), handler_cancellation=True, access_log=None, shutdown_timeout=0.05, keepalive_timeout=60
        )

    @property
    def url(self) -> str:
        return f"{'https' if self.setup.ssl_context else 'http'}://{self.setup.host}:{self.port}"

    @property
    def connections(self) -> int:
        """That are open now."""
        return len(self._runner.server.connections) if self._runner.server else 0

    async def start(self) -> None:
        self._reserved = self._socket()  # bound but not listening: connecting is refused while the hub is dead
        self.port = self._reserved.getsockname()[1]
        await self._runner.setup()
        await self.revive()

    async def stop(self) -> None:
        await self.kill()
        await self._runner.cleanup()
        if self._reserved is not None:
            self._reserved.close()

    async def kill(self) -> None:
        """Ends all connections with RST at once; new ones are refused."""
        if self._site is not None:
            site, self._site = self._site, None
            for handler in list(self._runner.server.connections if self._runner.server else ()):
                if handler.transport is not None:
                    reset(handler.transport)
            await site.stop()

    async def revive(self) -> None:
        """Listens again on the same port; does nothing if it never stopped."""
        if self._site is None:
            self._site = web.SockSite(self._runner, self._socket(), ssl_context=self.setup.ssl_context)
            await self._site.start()

    def _socket(self) -> socket.socket:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((self.setup.host, self.port))
        return sock

    def _app(self) -> web.Application:
        setup = self.setup
        library = Library(
            setup.root,
            checkpoints=setup.checkpoints,
            lfs_from=setup.lfs_from,
            renamed=setup.renamed,
            rescan_after=setup.rescan_after,
        )
        app = create_app(library, page=setup.page, listed_at_most=setup.listed_at_most, lifetime=setup.lifetime)
        app.middlewares.extend([self.recorder, self.faults, *([_Only(setup.hub)] if setup.hub else [])])
        return app


class _Only:
    """Refuses the other hub's dialect."""

    __middleware_version__ = 1

    def __init__(self, hub: HubName) -> None:
        self._hub = hub

    async def __call__(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if dialect_of(request) is not self._hub and kind_of(request) is not Kind.CONTENT:
            raise web.HTTPNotFound(text=f"this is {self._hub.title}")
        return await handler(request)


@asynccontextmanager
async def serving(root: Path, **settings: Any) -> AsyncIterator[ServedHub]:
    """Serves `root` on the running loop until the block ends; `settings` are the fields of `Setup`."""
    hub = ServedHub(Setup(root, **settings))
    await hub.start()
    try:
        yield hub
    finally:
        await hub.stop()


class ThreadedHub:
    """The same in a thread with a loop of its own, for tests that run a command as a subprocess."""

    def __init__(self, root: Path, **settings: Any) -> None:
        self._setup = Setup(root, **settings)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="hub", daemon=True)
        self._hub: ServedHub | None = None

    @property
    def hub(self) -> ServedHub:
        assert self._hub is not None, "the hub runs inside `with` only"
        return self._hub

    @property
    def url(self) -> str:
        return self.hub.url

    @property
    def recorder(self) -> Recorder:
        return self.hub.recorder

    @property
    def faults(self) -> Faults:
        return self.hub.faults

    def kill(self) -> None:
        self._run(self.hub.kill())

    def revive(self) -> None:
        self._run(self.hub.revive())

    def __enter__(self) -> Self:
        self._thread.start()
        self._hub = self._run(_started(self._setup))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self.hub.stop())
        self._run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        with suppress(RuntimeError):
            self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result(30)


async def _started(setup: Setup) -> ServedHub:
    hub = ServedHub(setup)
    await hub.start()
    return hub
