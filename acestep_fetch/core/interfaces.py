"""The Protocols between the layers: the engine sees hubs and transports only through these.

`api` hands the implementations in; tests wrap them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from acestep_fetch.core.errors import SourceError
from acestep_fetch.core.model import HubName, RepoId, Snapshot
from acestep_fetch.core.pacing import Newcomer
from acestep_fetch.core.secrecy import scrubbed


@dataclass(frozen=True, slots=True)
class Request:
    """Where to ask for a file's bytes. `headers` may carry a token and go to this URL's origin only."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:  # the address may be signed
        return f"Request({scrubbed(self.url)!r})"


class Body(Protocol):
    """A reply whose body is still to come. Header names are lower case."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def setup(self) -> Newcomer | None:
        """How long the connection took to be set up, name lookup aside; None where it was there already."""
        ...

    async def read(self) -> bytes:
        """The next bytes as they come in, b"" at the clean end. Raises `SourceError` on anything else."""
        ...

    async def fill(self, buffer: memoryview, arrived: Callable[[int], bool]) -> int:
        """Puts bytes into `buffer` as they come in and returns how many: as many as it holds, unless the body ends
        before (0 at its end), or `arrived`, which is told the size of each arrival, says that it is enough. Raises
        `SourceError`; what had arrived by then is in the buffer. Not to be mixed with `read`."""
        ...


class Transport(Protocol):
    """Opens byte streams. Never follows redirects, never retries, never adds credentials, never decodes."""

    def get(self, request: Request) -> AbstractAsyncContextManager[Body]: ...

    async def connect(self, url: str, count: int) -> None:
        """Opens `count` connections to `url`'s origin for requests to come, and asks nothing on them. Never fails:
        what is wrong with a connection is for the request to find out that needs it."""
        ...


@dataclass(frozen=True, slots=True)
class ApiReply:
    """A whole small reply. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str  # after redirects

    def __repr__(self) -> str:  # headers set cookies, and a body may repeat what was sent
        return f"ApiReply({self.status}, {scrubbed(self.url)!r}, {len(self.body)} bytes)"


class Api(Protocol):
    """Speaks to the hubs' APIs: whole small replies, redirects followed within one origin."""

    async def get(
        self,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> ApiReply:
        """Any HTTP status is a reply. Raises `SourceError` where none came."""
        ...


class Hub(Protocol):
    """Where repositories live. Knows its API, URLs, tokens and error dialect; never moves the bytes of a file."""

    @property
    def name(self) -> HubName: ...

    @property
    def endpoint(self) -> str:
        """Scheme, host and port."""
        ...

    @property
    def resolver_slots(self) -> int:
        """How many requests the hub's resolver takes at once without trouble."""
        ...

    async def probe(self, repo: RepoId, timeout: float) -> int:
        """Asks one small question; returns the HTTP status (below 500 = usable). Raises `SourceError`."""
        ...

    async def list_files(self, repo: RepoId, revision: str | None) -> Snapshot:
        """Every file of `repo` at one commit, with digests; `revision` None is the hub's default branch.

        Raises `NotFoundError` (repository or revision), `AccessError` (gated, private, bad token) or
        `NetworkError` (after its own few retries), and `IntegrityError` for a listing that cannot be believed.
        """
        ...

    def locate(self, snapshot: Snapshot, path: str) -> Request:
        """The resolver's URL for a file, pinned to the snapshot's commit."""
        ...

    def second_address(self, snapshot: Snapshot, path: str) -> Request | None:
        """Another address of the same file, to be asked once where `locate`'s says that it is missing."""
        ...

    def shortcut(self, snapshot: Snapshot, path: str) -> Request | None:
        """An address that should give a small file's bytes with one request where `locate`'s takes two; None where
        there is none, or one of the snapshot's did not work."""
        ...

    def has_shortcuts(self, snapshot: Snapshot) -> bool:
        """Whether one of them worked, so that the others may be asked for without a trial."""
        ...

    def judge_shortcut(self, snapshot: Snapshot, path: str, headers: Mapping[str, str] | None) -> bool:
        """Whether the reply of a shortcut is the file, by its headers; None where there were none, or the bytes were
        not the file's. Where it is not, it was the last one of the snapshot."""
        ...

    def explain(self, status: int, headers: Mapping[str, str], body: bytes) -> SourceError | None:
        """What a reply of the resolver that is not 2xx/3xx means, or a 200/206 whose `body` is the hub's JSON error
        envelope; None where the reply is none of these. `body` is the first few KiB."""
        ...

    def drop_token(self) -> bool:
        """Goes on without the token, which the hub does not accept; False if there was none to drop."""
        ...

    def take_warnings(self) -> tuple[str, ...]:
        """What people should know since the last call: a token that was dropped, a login that cannot be read."""
        ...
