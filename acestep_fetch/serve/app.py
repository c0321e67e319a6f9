"""The embedded hub, put together: both dialects and the bytes behind them in one aiohttp application."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from ssl import SSLContext
from types import TracebackType
from typing import Final, Self

from aiohttp import hdrs, web

from acestep_fetch.core.model import SHA1_HEX, SHA256_HEX, RepoId
from acestep_fetch.serve.content import disposition, ranged
from acestep_fetch.serve.huggingface import PAGE, HuggingFaceRoutes
from acestep_fetch.serve.library import Library
from acestep_fetch.serve.modelscope import LISTED_AT_MOST, ModelScopeRoutes
from acestep_fetch.serve.signing import LIFETIME, Signer

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# What Hugging Face grants anonymous clients in five minutes; announced here, never enforced.
_QUOTAS: Final = {"api": 500, "resolvers": 3000}


def create_app(
    library: Library,
    *,
    page: int = PAGE,
    listed_at_most: int = LISTED_AT_MOST,
    lifetime: float = LIFETIME,
) -> web.Application:
    """An application that offers `library` in both dialects and closes it in the end.

    `page` is Hugging Face's page size, `listed_at_most` ModelScope's silent limit, `lifetime` how many seconds a
    signed address lives.
    """
    signer = Signer(lifetime=lifetime)
    app = web.Application(middlewares=[_say_unreadable])
    app.add_routes(HuggingFaceRoutes(library, signer, page=page).routes())
    app.add_routes(ModelScopeRoutes(library, signer, listed_at_most=listed_at_most).routes())
    app.add_routes([web.get("/lfs/{sha256}", _Content(library, signer).reply), web.get("/", _front(library))])
    app.on_response_prepare.append(_announce_quota)

    async def closing(_: web.Application) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(library.close)

    app.cleanup_ctx.append(closing)
    return app


class EmbeddedHub:
    """``async with EmbeddedHub(directory) as hub`` serves `directory` at `hub.url` until the block ends."""

    def __init__(
        self, directory: Path, host: str = "127.0.0.1", port: int = 0, *, ssl_context: SSLContext | None = None
    ) -> None:
        self.library = Library(directory)
        self.host, self.port = host, port
        self._ssl_context = ssl_context
        app = create_app(self.library)
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.5)

    @property
    def url(self) -> str:
        """Scheme, host and port; the port is known once the hub runs."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self._ssl_context else 'http'}://{host}:{self.port}"

    async def __aenter__(self) -> Self:
        """Raises `OSError` where the address cannot be had."""
        await self._runner.setup()
        try:
            site = web.TCPSite(self._runner, self.host, self.port, ssl_context=self._ssl_context)
            await site.start()
        except BaseException:
            await self._runner.cleanup()
            raise
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()


def run(directory: Path, host: str = "127.0.0.1", port: int = 0) -> int:
    """Serves `directory` until SIGINT or SIGTERM, and says how to use it. Returns the exit code.

    Raises `OSError` where the address cannot be had.
    """
    asyncio.run(_serve(directory, host, port))
    return 0


async def _serve(directory: Path, host: str, port: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:  # Windows: Ctrl-C ends asyncio.run by itself
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
    async with EmbeddedHub(directory, host, port) as hub, asyncio.TaskGroup() as group:
        repos = await hub.library.repositories()
        _say(f"serving {len(repos)} {'repository' if len(repos) == 1 else 'repositories'} of {hub.library.root}")
        _say(usage(_reachable(hub.url)))
        reading = group.create_task(_read_ahead(hub.library, repos))
        await stop.wait()
        reading.cancel()


async def _read_ahead(library: Library, repos: list[RepoId]) -> None:
    """Hashes everything before somebody has to wait for it."""
    for repo in repos:
        with suppress(OSError):  # whoever asks for it will hear
            await library.listing(repo)


def usage(url: str) -> str:
    """The address, and the lines that make the hubs' own clients use it."""
    return f"at {url}\n  export HF_ENDPOINT={url}\n  export MODELSCOPE_ENDPOINT={url}"


def _reachable(url: str) -> str:
    """`url`, with this machine's name where all addresses are served."""
    return url.replace("//0.0.0.0:", f"//{socket.gethostname()}:").replace("//[::]:", f"//{socket.gethostname()}:")


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201  # the command's own output


class _Content:
    """The bytes behind the signed addresses, by digest, as a CDN serves them."""

    def __init__(self, library: Library, signer: Signer) -> None:
        self._library, self._signer = library, signer

    async def reply(self, request: web.Request) -> web.StreamResponse:
        sha256 = request.match_info["sha256"]
        if not SHA256_HEX.fullmatch(sha256) or not self._signer.accepts(sha256, request.query):
            raise web.HTTPForbidden(text="Auth failed: this address has expired or was not signed here")
        blob = await self._library.by_sha256(sha256)
        if blob is None:
            raise web.HTTPNotFound(text="no such object")
        return ranged(request, blob, sha256, _linked(sha256, request.query))


def _linked(sha256: str, query: Mapping[str, str]) -> dict[str, str]:
    """What huggingface_hub reads here, since it follows redirects within one origin: digest, size and commit."""
    headers = {"X-Linked-ETag": f'"{sha256}"', hdrs.CONTENT_DISPOSITION: disposition(query.get("filename", sha256))}
    commit = query.get("commit", "")
    return headers | ({"X-Repo-Commit": commit} if SHA1_HEX.fullmatch(commit) else {})


def _front(library: Library) -> Handler:
    async def front(request: web.Request) -> web.StreamResponse:
        url = str(request.url.origin())
        repos = "".join(f"{repo}\n" for repo in await library.repositories())
        return web.Response(text=f"{repos}\n{usage(url)}\n")

    return front


@web.middleware
async def _say_unreadable(request: web.Request, handler: Handler) -> web.StreamResponse:
    """503 where a folder cannot be listed as a whole now, which every client knows to try again."""
    try:
        return await handler(request)
    except ConnectionError:
        raise
    except OSError as exc:
        raise web.HTTPServiceUnavailable(text="the folder cannot be read now", headers={"Retry-After": "1"}) from exc


async def _announce_quota(request: web.Request, response: web.StreamResponse) -> None:
    path = request.path
    is_resolver = "/resolve/" in path or path.startswith("/api/resolve-cache/")
    if (is_resolver or path.startswith("/api/models/")) and not path.startswith("/models/"):
        bucket = "resolvers" if is_resolver else "api"
        response.headers.setdefault("RateLimit", f'"{bucket}";r={_QUOTAS[bucket]};t=300')
        response.headers.setdefault("RateLimit-Policy", f'"fixed window";"{bucket}";q={_QUOTAS[bucket]};w=300')
